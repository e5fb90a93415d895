"""What stands for the id of a trade that has none, so that repeats are told from equal trades."""

from __future__ import annotations

from connectors.ccxt_types import CcxtTrade


class Telling:
    """One telling of the trades of a market: a connection, or a page. It tells each trade once.

    So equal trades without an id, in one telling, are as many trades as there are; the n-th of them has the
    same stand-in for an id in every telling.
    """

    def __init__(self, remembered: int = 10_000) -> None:
        self._times: dict[str, int] = {}
        self._remembered = remembered

    def stand_in(self, trade: CcxtTrade) -> str:
        """What stands for the id of a trade without one."""
        text = "/".join(map(str, (trade["timestamp"], trade["side"], trade["price"], trade["amount"])))
        before = self._times.pop(text, 0)
        self._times[text] = before + 1
        if len(self._times) > self._remembered:
            del self._times[next(iter(self._times))]
        return f"{text}/{before}" if before else text


def is_trade_number(text: object) -> bool:
    """Whether an id is a number of 63 bits."""
    return str(text).isdecimal() and len(str(text)) < 20 and int(str(text)) < 2**63
