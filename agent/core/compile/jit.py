"""One way to compile: cached on disk, no ``fastmath`` (sums are sequential and reproducible)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar, cast

import numba

from agent.core.compile.kernel_cache import KernelCache

P = ParamSpec("P")
R = TypeVar("R")


def njit(function: Callable[P, R]) -> Callable[P, R]:
    """Compile ``function`` with Numba on first use and cache the machine code."""
    return _cached(function, numba.njit(function))


def njit_flat(function: Callable[P, R]) -> Callable[P, R]:
    """``njit`` for functions that make no arrays and keep none: nothing in them counts references.

    Numba counts a reference for each array of a tuple at each use of the tuple, atomically. In the venue's
    loop, whose state is some twenty arrays, that took four fifths of the time. Making an array in such a
    function is a compile-time error. What it calls must be ``njit_flat`` too.
    """
    return _cached(function, numba.njit(_nrt=False)(function))


def njit_part(function: Callable[P, R]) -> Callable[P, R]:
    """``njit`` for what only compiled code calls: nothing is built to call it from Python. That fails."""
    return _cached(function, numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True)(function))


def njit_inner(function: Callable[P, R]) -> Callable[P, R]:
    """``njit_flat`` for what only compiled code calls: nothing is built to call it from Python, which takes
    a third of the compilation. Called from Python it fails.
    """
    return _cached(function, numba.njit(_nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True)(function))


def njit_inline(function: Callable[P, R]) -> Callable[P, R]:
    """``njit_inner``, put into its callers' code before that is compiled: for the body of a hot loop."""
    options = {"_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True, "inline": "always"}
    return _cached(function, numba.njit(**options)(function))


def direct(function: Callable[P, R]) -> Callable[P, R]:
    """Call a compiled function at its machine code: half a microsecond, where Numba looks at types for 20.

    It is compiled for the types of the first call. Nothing looks at those of later ones: they must be the
    same, arrays in dtype, dimensions and contiguity too.
    """
    code: list[Callable[P, R]] = []

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if not code:
            compiled = cast(Any, function)
            types = tuple(numba.typeof(arg) for arg in args)
            code.append(function if numba.config.DISABLE_JIT else compiled.compile(types))
        return code[0](*args, **kwargs)

    return call


def _cached(function: Callable[P, R], compiled: Any) -> Callable[P, R]:
    if numba.config.DISABLE_JIT:  # to debug, or to see which lines of kernels tests reach
        return function
    with suppress(RuntimeError):  # no directory can be written to: every process compiles for itself
        kernels = compiled._cache = KernelCache(compiled)
        compile_one = compiled.compile

        def compile_once(signature: Any) -> Any:
            with kernels.compiling():
                return compile_one(signature)

        compiled.compile = compile_once  # what Numba calls for each new signature, from Python or a caller
    return cast(Callable[P, R], compiled)
