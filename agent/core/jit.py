"""One way to compile: cached on disk, no ``fastmath`` (sums are sequential and reproducible)."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")


def njit(function: Callable[P, R]) -> Callable[P, R]:
    """Compile ``function`` with Numba on first use and cache the machine code."""
    return cast(Callable[P, R], numba.njit(cache=True)(function))
