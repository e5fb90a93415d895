"""The options of a parent order, declared once.

From ``Order`` come the ``order`` section of the configuration and of every schedule (pydantic reads the
types and limits), and the options of every command that takes an order (``agent.cli.options`` reads the
``Option`` of each field). ``agent.orders.build_spec`` checks an order against an instrument. This is a plain
dataclass that needs neither pydantic's models nor numpy, because ``--help`` must answer at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args, get_origin, get_type_hints

from annotated_types import Gt

from agent.amounts import without_exponent
from agent.core.orders.order_defaults import (
    DEFAULT_ALIGN,
    DEFAULT_MAX_RATE,
    DEFAULT_MIN_RATE,
    DEFAULT_RISK_AVERSION,
    DEFAULT_TACTIC,
)
from agent.durations import Duration, DurationOrZero
from agent.engine.tactics.tactic_registry import TACTIC_NAMES, TacticName

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

_S = 10**9


class _NoneTwice:
    """Refuses a list that names one thing twice. Pydantic is imported when it calls."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(_none_twice, handler(source))


def _none_twice(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} is named {names.count(name)} times: name each once")
    return names


@dataclass(frozen=True, slots=True)
class Option:
    """How a person gives a field: what it means, what the value looks like, the flag if named differently."""

    help: str
    metavar: str
    flag: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A parent order as a user gives it. Exactly one of ``quantity`` and ``notional`` is needed."""

    __pydantic_config__: ClassVar[Mapping[str, str | bool]] = {
        "extra": "forbid",
        "allow_inf_nan": False,
        "hide_input_in_errors": True,
    }

    side: Annotated[Literal["buy", "sell"], Option("Which way to trade.", "buy|sell")] = "buy"
    quantity: Annotated[
        Decimal | None,
        Option("How much, as the market counts: base currency, contracts or money.", "QUANTITY"),
    ] = None
    notional: Annotated[
        Decimal | None, Option("How much, as money in the quote currency, fees not included.", "MONEY")
    ] = None
    benchmark: Annotated[Literal["vwap", "twap"], Option("What judges the order.", "vwap|twap")] = "vwap"
    min_duration: Annotated[
        DurationOrZero,
        Option("Shortest window: completes in the interval that ends it, or later.", "DURATION"),
    ] = 20 * _S
    max_duration: Annotated[Duration, Option("Longest window: done by its end.", "DURATION")] = 60 * _S
    interval: Annotated[Duration, Option("Time between decisions, as in 45s.", "DURATION")] = 5 * _S
    algo: Annotated[
        str, Option("What decides how much to trade in each interval: lem, twap, vwap, ...", "NAME")
    ] = "lem"
    algo_params: Annotated[
        dict[str, float],
        Option(
            "Parameter of the algo, as in rate=0.1 of pov; may be repeated.", "NAME=VALUE", "--algo-param"
        ),
    ] = field(default_factory=dict)
    tactic: Annotated[
        TacticName,
        Option("How a slice becomes child orders.", "|".join(TACTIC_NAMES)),
    ] = DEFAULT_TACTIC
    shadows: Annotated[
        tuple[str, ...],
        _NoneTwice(),
        Option("Algos that work the same order for comparison, as in twap,vwap.", "NAMES", "--shadow"),
    ] = ("twap", "vwap", "pov")
    limit_price: Annotated[Decimal | None, Option("Never trade beyond this price.", "PRICE")] = None
    participation_cap: Annotated[
        float | None,
        Option("Most own share of the market's volume since the order's start, in (0, 1].", "SHARE"),
    ] = None
    min_rate: Annotated[float, Option("Least share of the order in an interval.", "SHARE")] = DEFAULT_MIN_RATE
    max_rate: Annotated[float, Option("Most share of the order in an interval.", "SHARE")] = DEFAULT_MAX_RATE
    risk_aversion: Annotated[float, Gt(0), Option("Weight of deviation against gain, above 0.", "WEIGHT")] = (
        DEFAULT_RISK_AVERSION
    )
    align: Annotated[
        Literal["none", "grid"],
        Option("Intervals start with the order (none) or at multiples of their length (grid).", "none|grid"),
    ] = DEFAULT_ALIGN

    @property
    def has_size(self) -> bool:
        """Whether it says how much."""
        return self.quantity is not None or self.notional is not None

    def __post_init__(self) -> None:
        """Amounts are written out wherever they are printed or kept."""
        for name in ("quantity", "notional", "limit_price"):
            if isinstance(value := getattr(self, name), Decimal):
                object.__setattr__(self, name, without_exponent(value))


@dataclass(frozen=True, slots=True)
class OptionOfField:
    """A field of ``Order`` with its option."""

    name: str
    option: Option
    kind: object  # the field's type, without what annotates it

    @property
    def flag(self) -> str:
        return self.option.flag or f"--{self.name.replace('_', '-')}"

    @property
    def is_mapping(self) -> bool:
        """Names with values, given one by one."""
        return get_origin(self.kind) is dict

    @property
    def is_list(self) -> bool:
        return get_origin(self.kind) is tuple

    def holds(self, kind: type) -> bool:
        """Whether the value is of that type, or none."""
        return self.kind is kind or kind in get_args(self.kind)


@cache
def order_fields() -> tuple[OptionOfField, ...]:
    """Every field of ``Order`` in order, as options."""
    found: list[OptionOfField] = []
    hints = get_type_hints(Order, include_extras=True)
    for each in fields(Order):
        kind, *extras = get_args(hints[each.name])
        (option,) = (extra for extra in extras if isinstance(extra, Option))
        found.append(OptionOfField(each.name, option, kind))
    return tuple(found)
