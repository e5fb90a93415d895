"""What a run says, and refuses, of an exchange's units at its start. Over TLS, with the real client."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from agent.core.errors import ExchangeError, OrderError
from tests.integration.faulty_binance import FaultyBinance
from tests.integration.test_halted_market import ran, settings

pytestmark = pytest.mark.slow


class CoarseStep(FaultyBinance):
    """Says that prices are multiples of a hundred, and trades by the cent."""

    def _exchangeInfo(self, query: Any) -> Any:  # noqa: N802  (the endpoint's name)
        answer = super()._exchangeInfo(query)
        answer["symbols"][0]["filters"][0]["tickSize"] = "100"
        return answer


class FineSteps(FaultyBinance):
    """States finer steps than its prices and sizes have."""

    def __init__(self, tick: str) -> None:
        super().__init__()
        self.steps = (tick, "0.00000001")

    def _exchangeInfo(self, query: Any) -> Any:  # noqa: N802  (the endpoint's name)
        answer = super()._exchangeInfo(query)
        prices, sizes = answer["symbols"][0]["filters"][:2]
        prices["tickSize"], sizes["stepSize"] = self.steps
        return answer


async def _play(server: FaultyBinance) -> None:
    await server.play(20, 1000)


@pytest.mark.parametrize(("exchange", "lines"), [("luno", 1), ("binance", 0)])
async def test_an_exchange_that_was_not_gone_through_says_so_once(
    tmp_path: Path, exchange: str, lines: int
) -> None:
    """In the run's log, before anything else happens."""
    with capture_logs() as logs:
        await ran(settings(tmp_path, exchange=exchange), tmp_path, FaultyBinance(), _play)
    said = [line for line in logs if line["event"] == "units_not_verified"]
    assert len(said) == lines
    assert all("units of luno are not verified" in line["reason"] for line in said)


async def test_a_stated_step_that_the_book_contradicts_is_refused(tmp_path: Path) -> None:
    """In plain words, before a session is written."""
    with pytest.raises(
        ExchangeError, match=r"price tick of BTC/USDT on binance .* the exchange says 100, and"
    ):
        await ran(settings(tmp_path), tmp_path, CoarseStep(), lambda s: asyncio.sleep(30))
    assert not (tmp_path / "sessions").exists()


async def test_steps_too_fine_for_64_bits_are_counted_in_a_coarser_lot(tmp_path: Path) -> None:
    """1e-6 x 1e-8 holds 92,234 dollars: said, and the order is done at the market's price."""
    with capture_logs() as logs:
        result = await ran(settings(tmp_path), tmp_path, FineSteps("0.000001"), _play)
    (said,) = [line["reason"] for line in logs if line["event"] == "lot_coarsened"]
    assert (
        "counted in 0.0001 BTC, not in the exchange's 0.00000001: with that 64 bits would hold 92,200 USDT"
        in said
    )
    (parent,) = result.summary.parents()
    assert (parent["state"], parent["filled"]) == ("completed", "0.1000")
    assert abs(parent["gain_bps"]) < 100


async def test_steps_that_no_lot_mends_refuse_the_market(tmp_path: Path) -> None:
    """1e-10 x 1e-8: a lot in which enough fits would be a whole bitcoin. The most that fits is named."""
    with pytest.raises(
        OrderError, match=r"BTC/USDT on binance cannot be counted: .* hold 9\.22 USDT at most"
    ):
        await ran(settings(tmp_path), tmp_path, FineSteps("0.0000000001"), lambda s: asyncio.sleep(30))
    assert not (tmp_path / "sessions").exists()
