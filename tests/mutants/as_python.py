"""A pytest plugin for kernels that run as Python: where Numba compiles nothing, they need a little help.

Rows of the tape give their members by name, as they do when compiled, and so do two functions that exist in
compiled code only.
"""

from __future__ import annotations

import functools
import inspect
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
from numba.cpython.unsafe import numbers


def pytest_configure() -> None:
    from agent.core.compile import jit

    numbers.leading_zeros = lambda word: 64 - int(word).bit_length()
    numbers.trailing_zeros = lambda word: (int(word) & -int(word)).bit_length() - 1
    jit._cached = _with_rows


def _with_rows(function: Callable[..., Any], _: Any) -> Callable[..., Any]:
    names = list(inspect.signature(function).parameters)
    at = names.index("events") if "events" in names else len(names)

    @functools.wraps(function)
    def call(*given: Any) -> Any:
        return function(*given[:at], *map(_rows, given[at : at + 1]), *given[at + 1 :])

    return call


def _rows(events: Any) -> Any:
    if not isinstance(events, np.ndarray):
        return events
    row = namedtuple("row", events.dtype.names or ())
    return [row(*each) for each in events.tolist()]
