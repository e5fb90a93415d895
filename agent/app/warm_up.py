"""Everything compiled and warm before the first connection, on every core, saying how far it is.

Kernels come in parts that can be compiled apart from each other. What is not on disk yet is shared out:
this process takes a part, helpers (``agent.app.compile_helper``, one for each further core) take others,
and the files they write (``agent.core.compile.kernel_cache``) are read here afterwards. A kernel that two
parts need is compiled by one of them; the other waits for it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from numba.core import event

from agent.algos import optimal_stopping
from agent.core.compile import checksum
from agent.core.compile.kernel_cache import KernelCache
from agent.core.compile.kernel_digest import kernels_below
from agent.core.instrument import Instrument
from agent.core.market import carried_bars, feature_formulas, trade_bars
from agent.core.market.bars import empty_fbars
from agent.core.market.features import features, recent_sigma
from agent.core.market.trade_bars import BarSeries, TradeColumns
from agent.core.types import BenchmarkKind, MarketView, OrderView, Side, TargetKind
from agent.venue.kernel import loop
from agent.venue.kernel.book_sample import book_sample
from agent.venue.kernel.tape_market import TapeMarket
from connectors.embedded.synthetic import synthetic_kernel
from connectors.embedded.synthetic.synthetic_market import SyntheticMarket

MOST_HELPERS = 3
"""The largest part bounds what more of them would gain, and each imports the program."""

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is (0: not known)."""


@dataclass(frozen=True, slots=True)
class Part:
    """Kernels that are compiled together: those that Python calls, and a way to call each once."""

    kernels: Sequence[Any]
    call: Callable[[], None]

    @property
    def on_disk(self) -> bool:
        return all(_on_disk(kernel) for kernel in self.kernels)


def parts(model: bool, synthetic: bool) -> dict[str, Part]:
    """By name, those that take longest first. ``model``, ``synthetic``: the model's and that market's too."""
    found = {
        "book and queue": Part(
            (loop.run, loop.take, loop.rest, loop.withdraw, loop.forget_lane, book_sample),
            TapeMarket([_instrument()]).warm_up,
        ),
        "bars and rule": Part(
            (
                trade_bars._accumulate,
                trade_bars.put_floats,
                carried_bars.run_up,
                optimal_stopping._backward,
                checksum._crc32_blocks,
            ),
            warm_up_bars,
        ),
    }
    if synthetic:
        found = {"synthetic market": Part((synthetic_kernel.run,), _warm_up_synthetic), **found}
    if model:
        from lem.serving import kernel_parts as lem

        features_of_bars = Part(
            (
                feature_formulas.known,
                feature_formulas.arguments,
                feature_formulas.settle,
                feature_formulas.sigmas,
            ),
            _warm_up_features,
        )
        found = {
            "encoder": Part(lem.ENCODER, lem.warm_up_encoder),
            **found,
            "decisions": Part(lem.DECISIONS, lem.warm_up_decisions),
            "features": features_of_bars,
        }
    return found


def warm_up(model: bool, synthetic: bool, progress: Progress) -> None:
    """Compile what is not on disk, on every core, and call everything once in this process."""
    needed = parts(model, synthetic)
    missing = [name for name, part in needed.items() if not part.on_disk]
    if missing:
        _compile(needed, missing, progress)
    progress("loading compiled code", 0, 0)
    for part in needed.values():
        part.call()


def _compile(needed: dict[str, Part], missing: Sequence[str], progress: Progress) -> None:
    kernels = kernels_below(kernel for name in missing for kernel in needed[name].kernels)
    count = _Count(kernels, progress)
    waiting = deque(missing)
    helpers = min(MOST_HELPERS, (os.cpu_count() or 1) - 1, len(missing) - 1)
    with ThreadPoolExecutor(max(1, helpers)) as pool:
        done = [pool.submit(_drive_helper, waiting, count) for _ in range(helpers)]
        with compilations(count.compiled):
            while waiting:
                with suppress(IndexError):  # a helper has just taken the last one
                    needed[waiting.popleft()].call()
        for each in done:
            each.result()


class _Count:
    """Kernels compiled so far, here and by helpers; for several types of arguments they count once."""

    def __init__(self, kernels: Sequence[Any], progress: Progress) -> None:
        own = [
            k for k in kernels if k.targetoptions.get("inline") != "always"
        ]  # that is done with its caller
        self._left = {_name(kernel) for kernel in own if not _on_disk(kernel)}
        self._total, self._progress = len(self._left), progress
        self._say()

    def compiled(self, name: str) -> None:
        self._left.discard(name)
        self._say()

    def _say(self) -> None:
        done = self._total - len(self._left)
        self._progress("compiling for this processor, once", done, self._total)


def _drive_helper(waiting: deque[str], count: _Count) -> None:
    """Give parts to a helper until none waits. A helper that fails leaves its part to this process."""
    command = [sys.executable, "-m", "agent.app.compile_helper"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, bufsize=1, **pipes) as helper:  # type: ignore[call-overload]
        with suppress(BrokenPipeError, IndexError):
            while True:
                print(waiting.popleft(), file=helper.stdin)
                for line in helper.stdout:
                    if line.startswith("done"):
                        break
                    count.compiled(line.strip())
        with suppress(BrokenPipeError):
            helper.stdin.close()


@contextmanager
def compilations(told: Callable[[str], None]) -> Iterator[None]:
    """While it lasts, ``told`` gets the name of each of our kernels that this process has compiled."""

    class Listener(event.Listener):  # type: ignore[misc]
        def on_start(self, event: Any) -> None:
            """Only ends count."""

        def on_end(self, event: Any) -> None:
            kernel = event.data["dispatcher"]
            if isinstance(getattr(kernel, "_cache", None), KernelCache):
                told(_name(kernel))

    with event.install_listener("numba:compile", Listener()):
        yield


def _name(kernel: Any) -> str:
    return f"{kernel.py_func.__module__}.{kernel.py_func.__qualname__}"


def _on_disk(kernel: Any) -> bool:
    cache = getattr(kernel, "_cache", None)
    return not isinstance(cache, KernelCache) or cache.holds_current()


def _instrument() -> Instrument:
    """Any: only types matter."""
    one = Decimal(1)
    return Instrument(0, "none", "A/B", "A", "B", "B", one, one, 0, one)


def _warm_up_synthetic() -> None:
    SyntheticMarket(past_s=1.0).past()


def _warm_up_features() -> None:
    """Of two empty bars."""
    features(empty_fbars(2), 60_000_000_000, 2)
    recent_sigma(empty_fbars(2))


def warm_up_bars() -> None:
    """Trades into bars, the fallback's programme, and what checks the tape."""
    second, count = 10**9, 6
    bars = BarSeries(_instrument(), second, 0, count)
    at = np.arange(-count, 0, dtype=np.int64) * second
    prices = 1000 + np.array([0, 3, -2, 5, 1, 4], dtype=np.int64)
    bars.update(TradeColumns(at, prices, np.ones(count, np.int64), np.ones(count, np.int8)))
    bars.totals(-count, 0)
    order = OrderView(
        side=Side.BUY,
        target_kind=TargetKind.QUANTITY,
        benchmark=BenchmarkKind.TWAP,
        t=1,
        m=1,
        n=3,
        interval_ns=second,
        start_ns=0,
        remaining=0.6,
        lot_share=0.01,
        least_share=0.01,
        min_rate=0.0,
        max_rate=1.0,
        achieved_price=1000.0,
        benchmark_price=1001.0,
        arrival_price=1000.0,
        own_volume_share=0.0,
        expected_participation=0.0,
        risk_aversion=1.0,
    )
    rule = optimal_stopping.OptimalStopping()
    rule.decide(order, MarketView(second, second, bars.view(0), 1000.0, 1.0))
    checksum.crc32_blocks(np.zeros(2 * checksum.SMALL, np.uint8), 0, checksum.SMALL, checksum.SMALL)
