"""Tick and lot of a whole source: inferred from its prices and trades, or given and checked.

Rules kept here:

* inferred, a unit is the largest power of ten that divides every value; a tick may also be 2, 2.5 or 5 times
  one, where so many prices are multiples of it that none other is likely;
* but of prices one in ten thousand may be off it (a broken digit, an order older than the tick): they are
  moved to the nearest tick, counted and named. More of them make the tick finer;
* a given unit is kept to the same measure, and refused beyond it with the first lines that are off;
* an inferred lot in which too little money could be counted is made coarser (``held_lot``).
"""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from agent.core.arrays import IntArray
from agent.core.errors import InputError
from agent.core.instrument import Instrument
from agent.core.money import MOST_TL
from connectors.importers.decimals import SCALE
from connectors.importers.raw_rows import Place
from connectors.units.money_room import coarser_lot

_TOLERANCE = 10_000  # one off in so many
_NAMED = 3
_POWERS = 19
_STEPS = (25, 5, 2)
"""Ticks in use beside powers of ten, as multiples of one: 0.25, 0.5 and 0.2."""
_ENOUGH = 1_000  # prices that are needed to tell such a tick from chance


COARSEST = Decimal(10) ** 6
"""Of the lots that are inferred."""


def held_lot(instrument: Instrument, largest: float, total: float) -> Decimal:
    """The instrument's lot, or a coarser one in which its orders and all that was traded can be counted.

    ``largest`` is the value of the largest trade or bar, ``total`` that of all: quantity x price in ticks.
    """
    lot = coarser_lot(instrument)
    if largest / float(lot) > MOST_TL:
        while lot < COARSEST and total / float(lot) > MOST_TL:
            lot = (lot * 10).normalize()
    return lot


def coarser(finest: Decimal, lot: Decimal, what: str) -> str:
    """What a report says of a lot that was made coarser."""
    return f"{what} are multiples of {finest:f}: held to {lot:f}, for the sums to fit 64 bits"


class UnitFinder:
    """Learns the unit of one kind of values, in 1e-8 or in another power of ten."""

    def __init__(
        self,
        name: str,
        of: str,
        given: Decimal | None,
        place: Place,
        *,
        tolerant: bool,
        scale: int = SCALE,
    ) -> None:
        """``name``: tick or lot; ``of``: what it divides. Raises InputError on a unit that is none."""
        self._name, self._of, self._given, self._place = name, of, given, place
        self._scale = scale
        self._step = _step(name, given, scale)
        self._tolerant = tolerant
        self._counts = np.zeros(_POWERS, np.int64)  # values by the largest power of ten that divides them
        self._ends = np.zeros((_POWERS, 100), np.int64)  # the same, by the two digits that end them before it
        self._first: list[list[str]] = [[] for _ in range(_POWERS)]
        self._off = 0  # values that the given unit does not divide
        self._first_off: list[str] = []

    def learn(self, values: IntArray, where: IntArray) -> None:
        """Take in values above 0 and the places where they stand."""
        powers = _powers_of_ten(values)
        counts = np.bincount(powers, minlength=_POWERS)
        for k in np.flatnonzero(counts):
            if len(self._first[k]) < _NAMED:
                self._name_some(self._first[k], np.flatnonzero(powers == k), values, where)
        self._counts += counts
        if self._tolerant:
            np.add.at(self._ends, (powers, values // 10**powers % 100), 1)
        if self._step:
            off = np.flatnonzero(values % self._step)
            self._off += len(off)
            self._name_some(self._first_off, off, values, where)

    def _name_some(self, names: list[str], rows: IntArray, values: IntArray, where: IntArray) -> None:
        for i in rows[: _NAMED - len(names)]:
            value = Decimal(int(values[i])).scaleb(-self._scale).normalize()
            names.append(f"{value:f} in {self._place.name(int(where[i]))}")

    @property
    def found(self) -> bool:
        return bool(self._counts.any())

    def unit(self) -> Decimal:
        """The unit. Raises InputError where there is none, or the given one does not fit."""
        if not self.found and self._given is None:
            raise InputError(
                f"no {self._name} can be inferred: the files hold no {self._of} of this symbol; "
                f"give --{self._name}-size"
            )
        if self._given is None:
            return self._times() * Decimal(10) ** (self._power() - self._scale)
        if self._off > self._allowed():
            fits = f"{Decimal(10) ** (self._power() - self._scale):f}"
            raise InputError(
                f"{self._name} {self._given} does not divide the {self._of} of the capture, which are "
                f"multiples of {fits} ({self._off:,} rows; {', '.join(self._first_off)}): give {fits}, "
                "or leave it out"
            )
        return self._given

    def named(self) -> list[str]:
        """The first values that are off the unit, with their places."""
        if self._given is not None:
            return self._first_off
        return [name for names in self._first[: self._power()] for name in names][:_NAMED]

    def _times(self) -> int:
        """The largest step in use that divides all values, in the power of ten that does; of prices only."""
        power = self._power()
        if not self._tolerant or self._ends[power:].sum() < _ENOUGH:
            return 1
        ends = self._ends[power:], np.arange(100)
        return next((step for step in _STEPS if _all_divisible(*ends, step)), 1)

    def _allowed(self) -> int:
        return int(self._counts.sum()) // _TOLERANCE if self._tolerant else 0

    def _power(self) -> int:
        """The largest power of ten off which no more values are than allowed."""
        off = np.cumsum(self._counts)
        return int(np.searchsorted(off, self._allowed(), side="right"))


def _all_divisible(ends: IntArray, digits: IntArray, step: int) -> bool:
    """Whether every value counted in ``ends`` [power above the unit, last two digits] is a multiple."""
    return not any(row[digits * 10**k % step > 0].any() for k, row in enumerate(ends))


def _powers_of_ten(values: IntArray) -> IntArray:
    powers = np.zeros(len(values), np.int64)
    for k in range(1, _POWERS):
        divides = values % 10**k == 0
        if not divides.any():
            break
        powers += divides
    return powers


def _step(name: str, given: Decimal | None, scale: int) -> int:
    """A given unit in the smallest held; 0 for none. Raises InputError."""
    if given is None:
        return 0
    if not given.is_finite() or given <= 0 or given.scaleb(scale) % 1:
        least = f"{Decimal(1).scaleb(-scale):f}"
        raise InputError(f"{name} {given} is not allowed: give a positive multiple of {least}, as in 0.01")
    return int(given.scaleb(scale))
