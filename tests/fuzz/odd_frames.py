"""Frames that no exchange should send, made of real ones, through the real ccxt client over TLS.

A case is one feed, which a market runs through; ``FRAMES`` of its messages are changed, repeated, cut,
swapped or replaced. Afterwards the market goes on as it should, and the tape must hold every trade of it
once, under its id, and the book of the exchange. ``python -m tests.fuzz.odd_frames --count 400`` runs many
cases and ends with one JSON line; ``tests.fuzz.campaign`` draws them among the others.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.core.market.tape import Flag, Kind
from agent.system_clock import SystemClock
from connectors.ccxt_feed import CcxtFeed
from tests.fuzz.damaged_sessions import change_json
from tests.fuzz.trial import Case, fault_of, run_here
from tests.fuzz.world import World
from tests.integration.faulty_binance import FaultyBinance
from tests.integration.test_ccxt_feed import Run, live
from tests.integration.test_stream_faults import OPTIONS

FRAMES = 60
"""Changed messages of a case, about."""
SHARES = (0.02, 0.1, 0.5)
WITHIN_S = 25.0
"""After the last odd frame: ccxt reconnects with pauses of up to 30 s, the feed with its own."""
REPLACED = (
    '{"error":{"code":-1121,"msg":"Invalid symbol."}}',
    '{"code":-1121,"msg":"Invalid symbol."}',
    '{"error":{"code":2,"msg":"Invalid request"},"id":1}',
    '{"error":{"code":-1003,"msg":"Too many"}}',
    '{"status":401,"error":{"code":-2015,"msg":"Invalid API-key"}}',
    '{"e":"depthUpdate","s":"BTCUSDT","U":1,"u":[],"b":{},"a":5}',
    *(
        '{"status":"x"}',
        '{"e":"serverShutdown","E":1}',
        '{"e":"depthUpdate"}',
        '{"e":"aggTrade"}',
        "null",
        "{}",
    ),
    *("[]", "[[[]]]", "0", '"text"', "NaN", "\x00", "", " ", "<html>", '{"result":null,"id":1}'),
    *('{"result":"x","id":null}', '{"stream":"x","data":5}', '{"e":"bookTicker","s":"BTCUSDT"}'),
    *('{"e":[],"s":{}}', '{"e":"24hrTicker","s":"BTCUSDT"}'),
)


class Changes:
    """What happens to the frames of one case."""

    def __init__(self, draw: random.Random, share: float) -> None:
        self.draw, self.share, self.on = draw, share, True
        self.changed = 0
        self.kinds: Counter[str] = Counter()
        self._kept: list[str] = []

    def __call__(self, text: str) -> list[str]:
        """What is sent in place of a frame."""
        if not self.on or self.draw.random() >= self.share:
            return [text]
        self.changed += 1
        kind = self.draw.choice(
            [self._field, self._field, self._field, self._replaced, self._cut, self._moved]
        )
        self.kinds[kind.__name__] += 1
        return kind(text)

    def _field(self, text: str) -> list[str]:
        document = json.loads(text)
        for _ in range(self.draw.choice([1, 1, 1, 2, 4])):
            change_json(self.draw, document)
            document = copy.deepcopy(document)  # it may hold a value that other frames are given too
        return [json.dumps(document)]

    def _replaced(self, text: str) -> list[str]:
        return [self.draw.choice(REPLACED), *([text] if self.draw.random() < 0.5 else [])]

    def _cut(self, text: str) -> list[str]:
        return [text[: self.draw.randrange(len(text))]]

    def _moved(self, text: str) -> list[str]:
        """Held back, or sent again, alone or after others."""
        self._kept.append(text)
        if self.draw.random() < 0.5:
            return []
        kept, self._kept = self._kept, []
        self.draw.shuffle(kept)
        return kept * self.draw.choice([1, 1, 2])


def make_case(draw: random.Random, world: World) -> Case:
    """A feed whose frames are changed; it must bring the whole market all the same."""
    seed, share = draw.randrange(2**32), draw.choice(SHARES)
    folder = world.fresh()
    return Case([], f"frames changed by seed {seed}, a share of {share}", call=_caller(folder, seed, share))


def _caller(folder: Path, seed: int, share: float) -> Callable[[], object]:
    def call() -> None:
        asyncio.run(_checked(folder, random.Random(seed), share))
        raise SystemExit(0)

    return call


async def _checked(folder: Path, draw: random.Random, share: float) -> Changes:
    """Run the market; raises AssertionError where the tape is not the market's."""
    unseen: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, found: unseen.append(repr(found)))
    server, changes = FaultyBinance(draw.randrange(2**32)), Changes(draw, share)
    await server.start(folder)
    await server.trade(50)
    feed = CcxtFeed("binance", SystemClock(), session_factory=server.session, options=OPTIONS)
    run = Run(server, feed)
    try:
        await live(run)
        await server.play(0.3)
        server.frames = changes
        began_s = time.monotonic()
        while changes.changed < FRAMES and time.monotonic() - began_s < 30:
            await server.play(0.05, 400)
        changes.on = False
        await _heals(run)
    finally:
        await run.close()
        await server.stop()
    assert unseen == [], unseen[:3]
    return changes


async def _heals(run: Run) -> None:
    deadline_s = time.monotonic() + WITHIN_S
    while (fault := _fault(run)) and time.monotonic() < deadline_s:
        assert run._task is not None
        if run._task.done() and (error := run._task.exception()):
            raise AssertionError(f"the stream ended: {error!r}") from error
        await run.server.play(0.1)
        await asyncio.sleep(0.2)
    assert not fault, f"{fault}: {run.feed.health()}"


def _fault(run: Run) -> str:
    """What is wrong with the tape; "" where nothing is."""
    rows = run.tape
    trades = rows[(rows["kind"] == Kind.TRADE)]
    got = Counter(int(i) for i in trades["ext_id"])
    first = int(trades["ext_id"][0])
    wanted = {t["a"]: t for t in run.server.aggregates if t["a"] >= first}
    if twice := [i for i, n in got.items() if n > 1]:
        return f"twice on the tape: {twice[:5]}"
    if missing := sorted(wanted.keys() - got.keys()):
        return f"{len(missing)} missing: {missing[:5]}"
    if more := sorted(got.keys() - wanted.keys()):
        return f"{len(more)} that never were: {more[:5]}"
    priced = trades[trades["flags"] & Flag.IMPOSSIBLE == 0]["price_ticks"]
    if len(priced) and not 3_900_000 < priced.min() <= priced.max() < 9_100_000:
        return f"prices from {priced.min()} to {priced.max()}"
    if run.book() != run.server_book():
        return "another book"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=400, help=f"cases, of some {FRAMES} changed frames each")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    faults, began_s = 0, time.monotonic()
    for number in range(given.first, given.first + given.count):
        with tempfile.TemporaryDirectory() as folder:
            draw = random.Random(f"{given.seed}/frames/{number}")
            seed, share = draw.randrange(2**32), draw.choice(SHARES)
            case = Case(
                [], f"--seed {given.seed} --first {number} --count 1", call=_caller(Path(folder), seed, share)
            )
            fault = fault_of(case, run_here(case, Path(folder)))
        if fault:
            faults += 1
            sys.stdout.write(f"{case.about}: {fault}\n")
            sys.stdout.flush()
    told: dict[str, Any] = {"cases": given.count, "seed": given.seed, "faults": faults}
    sys.stdout.write(json.dumps({**told, "wall_s": round(time.monotonic() - began_s)}) + "\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
