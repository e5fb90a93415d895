"""One torch thread: at these sizes it is as fast as two, and far faster where cores are shared."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
