"""CRC-32 of bytes in memory, zlib's numbers at the speed of memory: every row that is read is summed twice.

Carry-less multiplication folds 64 bytes a step (V. Gopal et al., "Fast CRC Computation for Generic
Polynomials Using PCLMULQDQ Instruction", Intel, 2009). Where the processor lacks it, or Numba was told to
compile for another, zlib computes the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from itertools import chain, pairwise, repeat

import llvmlite.binding as llvm
import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.base import BaseContext as TargetContext
from numba.core.typing import Context as TypingContext
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

from agent.core.compile.jit import njit

ByteArray = npt.NDArray[np.uint8]

POLYNOMIAL = 0x104C11DB7  # of IEEE 802.3, as zlib's, gzip's and Arrow's readers know it
CHUNK, LANE = 64, 16  # bytes folded a step, in four lanes
_ALL = 0xFFFFFFFF


def _host_can() -> bool:
    config = numba.config
    if config.DISABLE_JIT or config.CPU_NAME or config.CPU_FEATURES:
        return False
    return bool(llvm.get_host_cpu_features().get("pclmul"))


FOLDS = _host_can()
Generate = Callable[[TargetContext, ir.IRBuilder, Signature, Sequence[ir.Value]], ir.Value]

SMALL = 4096
"""Bytes below which zlib is done before a compiled function is called."""


def _multiplier(bits: int) -> int:
    """Return x^bits modulo the polynomial, bits reflected, as the folding step wants it."""
    rest = 1
    for _ in range(bits):
        rest <<= 1
        if rest >> 32:
            rest ^= POLYNOMIAL
    return int(f"{rest:032b}"[::-1], 2) << 1


def _byte_table() -> npt.NDArray[np.uint32]:
    """The remainder of each byte, for what is left of a fold and of the data."""
    reflected = int(f"{POLYNOMIAL & _ALL:032b}"[::-1], 2)
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(reflected), table >> 1)
    return table.astype(np.uint32)


_TABLE = _byte_table()
_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_PAIR = ir.VectorType(_I64, 2)
_FAR = ir.Constant(_PAIR, [_multiplier(8 * CHUNK + 32), _multiplier(8 * CHUNK - 32)])
_NEAR = ir.Constant(_PAIR, [_multiplier(8 * LANE + 32), _multiplier(8 * LANE - 32)])


class _Folding:
    """Emits the steps of a fold into a function that is being built."""

    def __init__(self, builder: ir.IRBuilder, address: ir.Value) -> None:
        self.builder, self._address = builder, address
        kind = ir.FunctionType(_PAIR, [_PAIR, _PAIR, _I8])
        self._multiply = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.pclmulqdq")

    def load(self, offset: ir.Value) -> ir.Value:
        place = self.builder.inttoptr(self.builder.add(self._address, offset), _PAIR.as_pointer())
        lane = self.builder.load(place)
        lane.align = 1
        return lane

    def moved(self, lane: ir.Value, multipliers: ir.Constant) -> ir.Value:
        """The lane's remainder further on in the data: low halves and high halves multiplied, added."""
        low, high = (
            self.builder.call(self._multiply, [lane, multipliers, _I8(which)]) for which in (0x00, 0x11)
        )
        return self.builder.xor(low, high)


@intrinsic
def _folded(
    _typing: TypingContext, _address: types.Type, _chunks: types.Type, _crc: types.Type
) -> tuple[Signature, Generate]:
    """(address, 1 or more chunks of 64 bytes there, the register before them) -> 16 bytes, as two words."""
    signature = types.UniTuple(types.uint64, 2)(types.intp, types.intp, types.uint64)

    def generate(
        context: TargetContext, builder: ir.IRBuilder, made: Signature, arguments: Sequence[ir.Value]
    ) -> ir.Value:
        address, chunks, crc = arguments
        fold = _Folding(builder, address)
        lanes = [cgutils.alloca_once_value(builder, fold.load(_I64(LANE * j))) for j in range(4)]
        seed = builder.insert_element(_PAIR((0, 0)), crc, _I32(0))
        builder.store(builder.xor(builder.load(lanes[0]), seed), lanes[0])
        with cgutils.for_range(builder, builder.sub(chunks, _I64(1))) as loop:
            base = builder.mul(builder.add(loop.index, _I64(1)), _I64(CHUNK))
            for j, lane in enumerate(lanes):
                new = fold.load(builder.add(base, _I64(LANE * j)))
                builder.store(builder.xor(fold.moved(builder.load(lane), _FAR), new), lane)
        rest = builder.load(lanes[0])
        for lane in lanes[1:]:
            rest = builder.xor(fold.moved(rest, _NEAR), builder.load(lane))
        words = [builder.extract_element(rest, _I32(j)) for j in range(2)]
        return context.make_tuple(builder, made.return_type, words)

    return signature, generate


@njit
def _crc32(data: ByteArray, start: int) -> int:
    """``zlib.crc32(data, start)``."""
    crc = np.uint32(start) ^ np.uint32(_ALL)
    chunks = len(data) // CHUNK
    if chunks:
        words = _folded(data.ctypes.data, chunks, np.uint64(crc))
        crc = np.uint32(0)
        for word in words:
            for shift in range(0, 64, 8):
                byte = np.uint32((word >> np.uint64(shift)) & np.uint64(255))
                crc = _TABLE[(crc ^ byte) & np.uint32(255)] ^ (crc >> np.uint32(8))
    for i in range(chunks * CHUNK, len(data)):
        crc = _TABLE[(crc ^ np.uint32(data[i])) & np.uint32(255)] ^ (crc >> np.uint32(8))
    return int(crc ^ np.uint32(_ALL))


@njit
def _crc32_blocks(data: ByteArray, start: int, first: int, size: int, out: npt.NDArray[np.uint32]) -> None:
    low, high, crc = 0, min(first, len(data)), start
    for i in range(len(out)):
        out[i] = _crc32(data[low:high], crc)
        low, high, crc = high, min(high + size, len(data)), 0


def crc32(data: ByteArray, start: int = 0) -> int:
    """``zlib.crc32(data, start)`` of contiguous bytes."""
    return int(_crc32(data, start)) if FOLDS and len(data) >= SMALL else zlib.crc32(data.data, start)


def crc32_blocks(data: ByteArray, start: int, first: int, size: int) -> list[int]:
    """The CRC-32 of each block of contiguous bytes: ``first`` that go on from ``start``, then ``size`` each.

    The last block may be shorter; no data, no blocks.
    """
    if not len(data):
        return []
    if FOLDS and len(data) >= SMALL:
        out = np.empty(1 + max(0, -(-(len(data) - first) // size)), np.uint32)
        _crc32_blocks(data, start, first, size, out)
        return [int(crc) for crc in out]
    edges = [0, *range(first, len(data), size), len(data)]
    starts = chain([start], repeat(0))
    return [
        zlib.crc32(data.data[low:high], crc)
        for (low, high), crc in zip(pairwise(edges), starts, strict=False)
    ]
