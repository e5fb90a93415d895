"""The feed of a former session: of what its exchange still trades, by the same steps.

A symbol that is not listed any more, or has another price or lot step, cannot go on: what its tape counts in
would change in the middle. Its orders expire, and say why; the others go on.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence

import structlog

from agent.app.live_feed import Market
from agent.app.lives.former_session import FormerSession
from agent.app.world.run_world import OpenFeed
from agent.core.clock import Clock
from agent.core.errors import OrderError, SessionError
from agent.core.instrument import Instrument
from agent.core.ports import Feed
from agent.entry.hints import agent_command

log = structlog.get_logger("resume")
STEPS = ("tick", "lot", "multiplier", "inverse", "base", "quote", "settle")
"""What a tape counts in."""


@contextlib.asynccontextmanager
async def open_again(
    former: FormerSession, clock: Clock, open_feed: OpenFeed
) -> AsyncIterator[tuple[Feed, Market]]:
    """The feed, connected to what can go on; ``former.unworkable`` is told the rest.

    Raises SessionError where nothing can. A feed that has refused a symbol is of no more use: it is opened
    anew without that.
    """
    while True:
        wanted = _wanted(former)
        async with open_feed(former.config, clock, former.began_ns) as (feed, market):
            found = await _connected(feed, former, wanted)
            if found is None:
                continue
            for symbol, why in former.unworkable.items():
                log.warning("symbol_cannot_go_on", symbol=symbol, reason=why)
            yield feed, market
            return


def _wanted(former: FormerSession) -> list[Instrument]:
    wanted = [i for i in former.reader.instruments if i.symbol not in former.unworkable]
    if not wanted:
        raise SessionError(
            f"session {former.path.name} cannot go on: {'; '.join(former.unworkable.values())}; close it with"
            f" `{agent_command('sessions', 'end', former.path)}`"
        )
    return wanted


async def _connected(
    feed: Feed, former: FormerSession, wanted: Sequence[Instrument]
) -> list[Instrument] | None:
    """The instruments as they are now; None where one of them cannot go on, which is noted."""
    try:
        found = await feed.instruments([i.symbol for i in wanted], [i.number for i in wanted])
    except OrderError as error:
        if error.symbol is None:
            raise
        former.unworkable[error.symbol] = str(error)
        return None
    changed = {then.symbol: _changed(then, now) for then, now in zip(wanted, found, strict=True)}
    former.unworkable |= {symbol: why for symbol, why in changed.items() if why}
    return None if any(changed.values()) else found


def _changed(then: Instrument, now: Instrument) -> str:
    """How an instrument is another than it was; "" where it is not."""
    differing = [
        f"{name} {getattr(then, name)} then and {getattr(now, name)} now"
        for name in STEPS
        if getattr(then, name) != getattr(now, name)
    ]
    return f"{then.symbol} is counted otherwise: {', '.join(differing)}" if differing else ""
