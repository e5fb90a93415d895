"""``doctor`` compares this computer's clock with the exchange's."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from agent.app.checks import installation_checks
from agent.app.checks.installation_checks import Check, compared_clocks, run_checks
from agent.config import Config
from agent.core.clock import Clock
from agent.core.errors import ExchangeError
from connectors.ccxt_feed import CcxtFeed
from tests.integration.faulty_binance import FaultyBinance

MS = 10**6


def _checks(folder: Path, monkeypatch: pytest.MonkeyPatch, ahead_ms: int) -> dict[str, Check]:
    """All checks, against an exchange whose clock is ahead of ours."""

    @contextlib.asynccontextmanager
    async def feed(config: Config, clock: Clock) -> AsyncIterator[tuple[CcxtFeed, Callable[[], bool]]]:
        server = FaultyBinance(clock_ahead_ms=ahead_ms)
        await server.start(folder)
        made = CcxtFeed("binance", clock, session_factory=server.session)
        yield made, lambda: False
        await made.close()
        await server.stop()

    monkeypatch.setattr(installation_checks, "open_feed", feed)
    config = Config(exchange="binance", database=f"sqlite:///{folder / 'agent.db'}", out=folder)
    return {check.name: check for check in run_checks(config)}


@pytest.mark.parametrize(
    ("ahead_ms", "ok", "word"), [(5000, False, "behind"), (-5000, False, "ahead of"), (0, True, "")]
)
def test_a_clock_that_is_wrong_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead_ms: int, ok: bool, word: str
) -> None:
    """By the exchange's own answers: five seconds off fails and says which way; the exchange is fine."""
    found = _checks(tmp_path, monkeypatch, ahead_ms)
    assert found["exchange"].ok, found["exchange"].detail
    assert found["clock"].ok is ok
    assert f"{word} binance's" in found["clock"].detail
    if not ok:
        assert "set this computer's clock" in found["clock"].detail


def test_what_cannot_be_compared_is_not_called_right() -> None:
    """No answer is no comparison; the embedded exchange has our clock; a slow answer proves little."""
    with pytest.raises(ExchangeError, match="not compared: kraken did not tell its time"):
        compared_clocks("kraken", 0, None)
    assert "nothing to compare with" in compared_clocks("embedded", 0, 1)
    assert compared_clocks("kraken", 1500 * MS, 1200 * MS) == "1500.0 ms behind kraken's, to 600.0 ms"
