"""One way to compile: cached on disk, no ``fastmath`` (sums are sequential and reproducible)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar, cast

import numba

from agent.core.kernel_cache import KernelCache

P = ParamSpec("P")
R = TypeVar("R")


def njit(function: Callable[P, R]) -> Callable[P, R]:
    """Compile ``function`` with Numba on first use and cache the machine code."""
    compiled = numba.njit(function)
    with suppress(RuntimeError):  # no directory can be written to: every process compiles for itself
        compiled._cache = KernelCache(function)
    return cast(Callable[P, R], compiled)
