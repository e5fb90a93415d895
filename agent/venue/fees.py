"""Fees in parts per million of the notional, maker and taker apart; a rebate is negative.

The rates are those of the tier that the volume before a fill has reached: the volume one starts with
and the session's own notional in quote since. (Exchanges count 30 days and look once a day.) Every fee
is valued in quote at its fill's price, in integers, and charged in quote, in what the fill brings in,
or in a third currency at a given rate and discount: for as long as there is enough of it, and in quote
from the first fill on that it does not cover. A third currency that is the quote currency by another
name is no third one: neither rate nor discount is of any use then.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from agent.core.errors import InternalError
from agent.core.instrument import Instrument
from agent.core.money import PPM
from agent.core.types import Side
from agent.venue.account import Account

QUOTE, RECEIVED = "quote", "received"
SMALLEST_THIRD = Decimal("0.00000001")  # third currencies are charged in whole units of this, rounded up


@dataclass(frozen=True, slots=True)
class FeeTier:
    """The rates from a 30-day volume (quote currency) on."""

    volume: Decimal
    maker_ppm: int
    taker_ppm: int


@dataclass(frozen=True, slots=True)
class Fees:
    """``currency`` "quote" charges the quote currency, "received" what the fill brings in, else its name.

    ``rate`` is the quote money that one unit of a third currency is worth, ``discount_ppm`` what it
    takes off the fee (a rebate stays whole).
    """

    maker_ppm: int
    taker_ppm: int
    currency: str = QUOTE
    tiers: tuple[FeeTier, ...] = ()  # by rising volume
    start_volume: Decimal = Decimal(0)
    rate: Decimal | None = None  # None where no third currency needs one
    discount_ppm: int = 0

    @property
    def third(self) -> str:
        """The third currency, or ""."""
        return "" if self.currency in (QUOTE, RECEIVED) else self.currency

    def ppm(self, maker: bool, volume: Decimal = Decimal(0)) -> int:
        """The rate at a 30-day ``volume``."""
        rates = (self.maker_ppm, self.taker_ppm)
        for tier in self.tiers:
            if volume >= tier.volume:
                rates = (tier.maker_ppm, tier.taker_ppm)
        return rates[0] if maker else rates[1]

    def discounted(self, fee_tlp: int) -> int:
        """The fee when the third currency pays it, rounded up to a whole tick x lot x ppm."""
        return fee_tlp if fee_tlp <= 0 else -(-fee_tlp * (PPM - self.discount_ppm) // PPM)

    def currency_of(self, instrument: Instrument, side: Side) -> str:
        """What a fee is charged in, where no third currency pays it: of contracts what they settle in."""
        if self.currency == RECEIVED and side is Side.BUY and not instrument.contract:
            return instrument.base
        return instrument.settle

    def worst_rate(self) -> Decimal:
        """The largest rate of all tiers, 0 for rebates: what must be set aside with an order."""
        rates = [r for t in self.tiers for r in (t.maker_ppm, t.taker_ppm)]
        return Decimal(max(self.maker_ppm, self.taker_ppm, 0, *rates)) / PPM


@dataclass(frozen=True, slots=True)
class Charge:
    """A fee as charged. ``amount`` is in ``currency``; ``notice`` says what changed with this fill."""

    fee_tlp: int
    currency: str
    amount: Decimal
    notice: str = ""


class FeeBook:
    """One lane's fees: how much it has traded, and whether its third currency still pays."""

    def __init__(self, fees: Fees) -> None:
        self._fees = fees
        self.volume = fees.start_volume
        self._third = fees.third

    def charge(
        self, account: Account, instrument: Instrument, side: Side, price_ticks: int, lots: int, maker: bool
    ) -> Charge:
        """Work out the fee of a fill and count the fill. The account is only looked at."""
        fees = self._fees
        fee_tlp = instrument.value_tl(price_ticks, lots) * fees.ppm(maker, self.volume)
        self.volume += instrument.quote_notional(price_ticks, lots)
        notice = ""
        if self._third not in ("", instrument.settle):
            less_tlp = fees.discounted(fee_tlp)
            amount = self._in_third(instrument, less_tlp, price_ticks)
            if amount <= account.available(self._third):
                return Charge(less_tlp, self._third, amount)
            notice = self._fall_back(account.available(self._third), amount, instrument)
        currency = fees.currency_of(instrument, side)
        money = instrument.notional(fee_tlp) / PPM
        amount = money if currency == instrument.settle else money / instrument.price(price_ticks)
        return Charge(fee_tlp, currency, amount, notice)

    def _in_third(self, instrument: Instrument, fee_tlp: int, price_ticks: int) -> Decimal:
        money = instrument.notional(fee_tlp) / PPM
        if instrument.inverse:  # the rate is in quote money
            money *= instrument.price(price_ticks)
        if self._fees.rate is None:
            raise InternalError(f"fees in {self._third} without what it is worth: venue_setup refuses that")
        return (money / self._fees.rate).quantize(SMALLEST_THIRD, ROUND_CEILING)

    def _fall_back(self, left: Decimal, amount: Decimal, instrument: Instrument) -> str:
        third, self._third = self._third, ""
        return (
            f"{left.normalize():f} {third} do not cover the fee of {amount.normalize():f} {third}:"
            f" fees are charged in {instrument.settle} from here on"
        )
