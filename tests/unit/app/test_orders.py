"""A user's order is checked before anything is sent: amounts, durations, rates, minimums."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.amounts import parse_amount
from agent.config import parse_config
from agent.core.errors import InputError
from agent.core.instrument import Instrument
from agent.core.types import ParentSpec, Side, TargetKind
from agent.durations import format_duration, parse_duration_ns
from agent.orders import build_spec

MS, S = 10**6, 10**9
PRICE = Decimal(60_000)
BTC = Instrument(
    number=0,
    exchange="embedded",
    symbol="BTC/USDT",
    base="BTC",
    quote="USDT",
    settle="USDT",
    tick=Decimal("0.01"),
    lot=Decimal("0.00001"),
    min_lots=10,
    min_notional=Decimal(10),
)


def spec(price: Decimal | None = PRICE, **changed: Any) -> ParentSpec:
    """One BTC, 20 s to 60 s in steps of 5 s, but for what is ``changed``."""
    order = parse_config({"order": {"quantity": Decimal(1), **changed}}).order
    return build_spec(order, BTC, "s-P1", price)


def refusal(price: Decimal | None = PRICE, **changed: Any) -> str:
    with pytest.raises(InputError) as caught:
        spec(price, **changed)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_a_good_order_arrives_in_integers() -> None:
    """Lots, ticks and ns, exact; everything else as given."""
    made = spec(side="sell", quantity=Decimal("1.50001"), limit_price=Decimal("59999.99"), max_rate=0.5)
    assert (made.target_kind, made.target, made.side) == (TargetKind.QUANTITY, 150_001, Side.SELL)
    assert made.limit_price_ticks == 5_999_999
    assert (made.max_intervals, made.min_intervals, made.interval_ns) == (12, 4, 5 * S)
    assert (made.parent_id, made.symbol, made.max_rate) == ("s-P1", "BTC/USDT", 0.5)


def test_money_arrives_in_ticks_times_lots() -> None:
    """A notional target is an exact count of tick x lot, never more than was asked for."""
    made = spec(quantity=None, notional=Decimal("250000.00000019"))
    assert made.target_kind is TargetKind.NOTIONAL
    assert BTC.notional(made.target) == Decimal("250000.0000001")


@pytest.mark.parametrize("name", ["quantity", "notional", "limit price"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("-1", "-1 is not allowed: it must be a positive number"),
        ("0", "0 is not allowed: it must be a positive number"),
        ("0.000", "0.000 is not allowed: it must be a positive number"),
        ("nan", "NaN is not allowed: it must be a positive number"),
        ("inf", "Infinity is not allowed: it must be a positive number"),
        ("much", "'much' is not a number: write it as in 0.5"),
        ("", "'' is not a number: write it as in 0.5"),
    ],
)
def test_amounts_of_the_command_line_are_positive_numbers(name: str, text: str, words: str) -> None:
    """The message names the option, the value and what is allowed."""
    with pytest.raises(InputError) as caught:
        parse_amount(text, name)
    assert str(caught.value) == f"{name} {words}"


def test_an_amount_keeps_every_digit() -> None:
    """Decimals, not floats: what was typed is what is worked."""
    assert parse_amount("0.100000000000000001", "quantity") == Decimal("0.100000000000000001")


@pytest.mark.parametrize("amount", [Decimal(-1), Decimal(0)])
@pytest.mark.parametrize("kind", ["quantity", "notional", "limit_price"])
def test_amounts_of_the_configuration_are_positive(kind: str, amount: Decimal) -> None:
    """The same rule where the value comes from config.yaml or a schedule."""
    other = {"quantity": None} if kind == "notional" else {}
    message = refusal(**{**other, kind: amount})
    assert message == f"{kind.replace('_', ' ')} {amount} is not allowed: it must be a positive number"


def test_an_over_precise_quantity_names_its_neighbours() -> None:
    """More digits than the lot has: the two quantities that are allowed are in the message."""
    message = refusal(quantity=Decimal("0.123456"))
    assert "0.123456" in message
    assert "lot 0.00001: use 0.12345 or 0.12346" in message


def test_an_over_precise_limit_names_its_neighbours() -> None:
    """The same for a limit price between two ticks."""
    assert "tick 0.01: use 60000.00 or 60000.01" in refusal(limit_price=Decimal("60000.004"))


@pytest.mark.parametrize(
    ("quantity", "notional"), [(None, None), (Decimal(1), Decimal(60_000))], ids=["neither", "both"]
)
def test_exactly_one_target(quantity: Decimal | None, notional: Decimal | None) -> None:
    """Neither and both are refused alike."""
    message = refusal(quantity=quantity, notional=notional)
    assert message == "give exactly one of --quantity and --notional"


def test_min_longer_than_max() -> None:
    """Both durations are named, as a person writes them."""
    message = refusal(min_duration="90s", max_duration="60s")
    assert message == "min duration 90s is longer than max duration 1m"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"max_duration": "61s"}, "max duration 61s is not a multiple of the interval 5s: the nearest is 1m"),
        (
            {"max_duration": "63s"},
            "max duration 63s is not a multiple of the interval 5s: the nearest is 65s",
        ),
        (
            {"min_duration": "22s"},
            "min duration 22s is not a multiple of the interval 5s: the nearest is 20s",
        ),
        (
            {"min_duration": "1s", "max_duration": "2s"},
            "min duration 1s is not a multiple of the interval 5s: the nearest is 5s",
        ),
    ],
)
def test_durations_are_multiples_of_the_interval(changed: dict[str, Any], words: str) -> None:
    """The nearest duration that is one is named, and is never zero."""
    assert refusal(**changed) == words


@pytest.mark.parametrize("cap", [0.0, -0.1, 1.01])
def test_a_participation_cap_is_a_share(cap: float) -> None:
    """In (0, 1]: the value and the range are named."""
    message = refusal(participation_cap=cap)
    assert message == f"participation cap {cap:g} is not allowed: it must be in (0, 1], as in 0.1"
    assert spec(participation_cap=1.0).participation_cap == 1.0


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.0, 0.05, "max rate 0.05 over 12 intervals trades only 0.6 of the order: give at least 0.08333"),
        (0.5, 1.0, "min rate 0.5 would complete the order before its min duration of 4 intervals"),
        (0.6, 0.5, "min 0.6 and max 0.5"),
        (-0.1, 1.0, "min -0.1"),
        (0.0, 1.1, "max 1.1"),
        (0.0, 0.0, "max above 0"),
        (float("nan"), 1.0, "order.min_rate = nan: Input should be a finite number"),
    ],
)
def test_rates_that_no_schedule_satisfies(low: float, high: float, words: str) -> None:
    """Infeasible limits are refused with the reason, and with one that would do where there is one."""
    assert words in refusal(min_rate=low, max_rate=high)


def test_rates_that_just_suffice_pass() -> None:
    """The bounds the messages name are accepted: exactly 1/n an interval, and just under 1/(m - 1)."""
    assert spec(max_rate=1 / 12).max_rate == 1 / 12
    assert spec(min_rate=0.33, max_rate=0.5).min_rate == 0.33


def test_a_quantity_below_the_exchanges_minimum() -> None:
    """The least quantity is named, and is itself accepted."""
    assert refusal(None, quantity=Decimal("0.00009")) == (
        "quantity 0.00009 BTC is below the exchange's minimum 0.00010"
    )
    assert spec(None, quantity=Decimal("0.0001")).target == 10


def test_a_quantity_worth_less_than_the_minimum_notional() -> None:
    """Enough lots but too little money, judged at the current price; without a price it is not judged."""
    message = refusal(quantity=Decimal("0.00016"))
    assert "0.00016 BTC is worth 9.60 USDT: the exchange's minimum is 10" in message
    assert spec(quantity=Decimal("0.00017")).target == 17
    assert spec(None, quantity=Decimal("0.00016")).target == 16


def test_a_notional_below_the_exchanges_minimum() -> None:
    """The least money is named, and is itself accepted."""
    message = refusal(quantity=None, notional=Decimal("9.99"))
    assert message == "notional 9.99 USDT is below the exchange's minimum 10"
    assert BTC.notional(spec(quantity=None, notional=Decimal(10)).target) == 10


@pytest.mark.parametrize(
    ("text", "ns"),
    [("500ms", 500 * MS), ("90s", 90 * S), ("15m", 900 * S), ("1.5h", 5400 * S), (" 3d ", 259_200 * S)],
)
def test_durations_are_read_exactly(text: str, ns: int) -> None:
    """Every unit, fractions and surrounding blanks."""
    assert parse_duration_ns(text) == ns


@pytest.mark.parametrize(
    "text", ["", "5", "s", "-5s", "0s", "0.0000001ms", "30m1h", "1m1m", "1h30", "5S", "nans", "1e3s"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    """No unit, no number, nothing positive, units that do not fall: the text and what to write instead."""
    with pytest.raises(InputError) as caught:
        parse_duration_ns(text)
    assert str(caught.value) == (
        f"duration {text!r} is not understood: write a number and ms, s, m, h or d (90s), or more (2m10s)"
    )


@pytest.mark.parametrize(
    ("ns", "text"),
    [(90 * S, "90s"), (120 * S, "2m"), (7200 * S, "2h"), (86_400 * S, "1d"), (1500 * MS, "1500ms")],
)
def test_durations_are_written_in_the_largest_unit_that_fits(ns: int, text: str) -> None:
    """What messages say is what a person would type."""
    assert format_duration(ns) == text


@given(st.integers(min_value=1, max_value=10**10))
def test_a_written_duration_reads_back(ms: int) -> None:
    """Writing and reading lose nothing, from a millisecond to four months."""
    assert parse_duration_ns(format_duration(ms * MS)) == ms * MS
