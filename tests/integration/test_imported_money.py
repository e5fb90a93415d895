"""Files of trades and bars up to and past 64 bits: held to the last digit, in a coarser lot, or refused."""

from __future__ import annotations

import random
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from agent.cli import app
from agent.core.errors import InputError
from agent.core.money import MOST_TL
from connectors.units.money_room import LEAST_USD
from tests.captures import Depth, Event, Trade, tardis, write

START_S = 1_718_863_200  # 2024-06-20T06:00:00Z
TRADES = 60
Pairs = list[tuple[Decimal, Decimal]]
"""(price, amount)."""


def _trades(seed: int) -> Pairs:
    """Prices and amounts of up to eight decimals: from a cent in all to trillions a trade."""
    draw = random.Random(seed)
    price_places, size_places = draw.randint(0, 8), draw.randint(0, 8)
    price = 10 ** draw.uniform(-price_places + 1, 5)
    amount = min(10 ** draw.uniform(-2, 12) / price, 1e14)
    found = []
    for _ in range(TRADES):
        pair = (price * draw.uniform(0.999, 1.001), amount * draw.uniform(0.01, 1))
        places = (price_places, size_places)
        found.append(
            tuple(max(_round(x, p), Decimal(1).scaleb(-p)) for x, p in zip(pair, places, strict=True))
        )
    return found  # type: ignore[return-value]


def _round(value: float, places: int) -> Decimal:
    digits = min(places, 15 - len(str(int(value))))  # a file's floats hold as many
    return Decimal(f"{value:.{max(0, digits)}f}")


def _csv(trades: Pairs) -> list[bytes]:
    rows = [f"{START_S + k},{price:f},{amount:f},buy" for k, (price, amount) in enumerate(trades)]
    return ["\n".join(["time,price,amount,side", *rows, ""]).encode()]


def _bars(trades: Pairs) -> list[bytes]:
    rows = [f"{START_S + 60 * k},{p:f},{p:f},{p:f},{p:f},{a:f}" for k, (p, a) in enumerate(trades)]
    return ["\n".join(["time,open,high,low,close,volume", *rows, ""]).encode()]


def _imported(folder: Path, files: list[bytes], kind: str, *more: str) -> tuple[str, Any]:
    """(what was said, the report; None where it was refused)."""
    folder.mkdir()
    paths = [str(write(folder / f"{k}.csv", [data])) for k, data in enumerate(files)]
    argv = [
        "import",
        *paths,
        "--format",
        kind,
        "--symbol",
        "BTC/USDT",
        "--out",
        str(folder / "s"),
        "--json",
        *more,
    ]
    done = CliRunner().invoke(app, argv)
    assert done.exception is None or isinstance(done.exception, InputError), done.exception
    return str(done.exception or ""), orjson.loads(done.stdout) if done.exception is None else None


def _inspected(folder: Path) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["sessions", "inspect", str(folder / "s"), "--json"])
    assert done.exit_code == 0, done.output
    (found,) = orjson.loads(done.stdout)["instruments"]
    return found["bars"] or found  # type: ignore[no-any-return]


def _check(trades: Pairs, folder: Path, files: list[bytes], kind: str) -> str:
    """Import them; returns which way it went."""
    said, report = _imported(folder, files, kind)
    right = sum(Fraction(price) * Fraction(amount) for price, amount in trades)
    if report is None:
        assert "can be held" in said or "can be counted" in said or "no lot can be inferred" in said, said
        assert right * 10**10 > MOST_TL, said
        return "refused"
    shown, lot, tick = _inspected(folder), Fraction(report["lot"]), Fraction(report["tick"])
    volume = sum(Fraction(amount) for _, amount in trades)
    coarse = any("fit 64 bits" in problem for problem in report["problems"])
    slack = (len(trades) * lot if coarse else 0) + volume / 2**51  # such files' numbers are read as doubles
    assert abs(Fraction(shown["volume"]) - volume) <= slack
    dearest = Fraction(max(price for price, _ in trades))
    assert abs(Fraction(shown["turnover"]) - right) <= slack * dearest
    assert tick * lot * 2**63 > Fraction(LEAST_USD) * Fraction(999, 1000)
    return "coarse" if coarse else "exact"


def _all(seeds: range, folder: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    for seed in seeds:
        trades = _trades(seed)
        for kind, files in (("trades", _csv(trades)), ("klines", _bars(trades))):
            went = _check(trades, folder / f"{kind}{seed}", files, kind)
            found[went] = found.get(went, 0) + 1
    return found


def test_files_are_held_or_refused(tmp_path: Path) -> None:
    """Some to the last digit, some in a coarser lot."""
    found = _all(range(8), tmp_path)
    assert found["exact"] >= 2
    assert found["coarse"] >= 2


@pytest.mark.slow
def test_many_files_are_held_or_refused(tmp_path: Path) -> None:
    """Every number of decimals, prices and amounts."""
    found = _all(range(8, 208), tmp_path)
    assert min(found["exact"], found["coarse"]) >= 50


def _capture(amount: str) -> list[Event]:
    book = Depth(0, [("0.0999999", "3")], [("0.1000001", "4")], snapshot=True)
    return [book, *(Trade(100 + k, 7 + k, "0.1000001", amount) for k in range(9))]


def test_a_capture_with_fine_steps_is_counted_in_a_coarser_lot(tmp_path: Path) -> None:
    """1e-7 x 1e-8 holds 9,223 dollars: nine trades of 2,000 each are held to the nearest 0.001 coins."""
    files = [b"".join(lines) for lines in tardis(_capture("20000.00065432"), "binance")]
    said, report = _imported(tmp_path / "a", files, "tardis-csv")
    assert report is not None, said
    assert report["lot"] == "0.001"
    assert "held to 0.001" in " ".join(report["problems"])
    assert Fraction(_inspected(tmp_path / "a")["volume"]) == 9 * Fraction("20000.001")
    said, report = _imported(tmp_path / "b", files, "tardis-csv", "--lot-size", "1e-8")
    assert report is not None, said  # asked for, and each trade fits: the sums are exact
    assert Fraction(_inspected(tmp_path / "b")["volume"]) == 9 * Fraction("20000.00065432")
    files = [b"".join(lines) for lines in tardis(_capture("50000.00065432"), "binance")]
    said, report = _imported(tmp_path / "c", files, "tardis-csv", "--lot-size", "1e-8")
    assert report is None
    assert "at most 4.6e+18 (4611.69 USDT) can be counted: give a larger --lot-size than 0.00000001" in said
