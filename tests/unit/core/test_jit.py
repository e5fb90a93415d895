"""How the kernels are compiled: ``_nrt`` is an option of Numba's that its manual does not name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

from agent.core.compile.jit import njit, njit_flat, njit_inline, njit_inner

Row = np.ndarray[Any, Any]


def held(arrays: tuple[Row, Row], i: int) -> int:
    """What the venue's loop does all the time: an array of a tuple, and an entry of that."""
    return int(arrays[i % 2][i])


def references(compiler: Callable[[Any], Any]) -> int:
    """How often ``held`` counts references when compiled with the options of ``compiler``."""
    options = compiler(held).targetoptions
    compiled = numba.jit(**{k: v for k, v in options.items() if not k.endswith("_wrapper")})(
        held
    )  # afresh: code from the disk cannot be looked into
    assert compiled((np.arange(3), np.arange(3)), 2) == 2
    return sum(code.count("NRT_") for code in compiled.inspect_llvm().values())


@pytest.mark.parametrize("flat", [njit_flat, njit_inner, njit_inline])
def test_flat_functions_count_no_references(flat: Callable[[Any], Any]) -> None:
    """Fails where a Numba drops or ignores the option: the venue's loop would be five times slower."""
    assert references(flat) == 0
    assert references(njit) > 0
