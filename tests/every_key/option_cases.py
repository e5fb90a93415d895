"""What each option of ``agent``'s commands on files changes, and what is said of a wrong value.

``{name}`` stands for what ``option_world`` makes: a session, a log, a configuration; ``{new}`` is a new path.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.order_options import order_fields


@dataclass(frozen=True)
class Tried:
    """Two command lines that must say two things, or leave two things; one that is refused with ``words``.

    ``writes``: what the second leaves behind. ``wrong`` None: a switch, of which nothing can be wrong.
    """

    first: str
    second: str
    wrong: str | None = None
    words: tuple[str, ...] = ()
    writes: str = ""


REPLAY = "agent replay {session}"
OWN = f"{REPLAY} --algo twap --shadow ''"
IMPORT = "agent import {bars} --format klines --symbol BTC/USDT --json"
LOG = "agent log children --db {db} --format csv"
SYNC = "agent sessions sync {session}"
END = "agent sessions end s"
SLICE = "agent sessions slice {session} --json"

CASES: dict[str, Tried] = {
    "agent replay --verify": Tried(f"{REPLAY} --json", f"{REPLAY} --verify --db {{new}}.db --json"),
    "agent replay --speed": Tried(
        "",  # it changes the time it takes alone: ``test_a_speed_paces_the_tape``
        "",
        f"{REPLAY} --speed fast",
        ("'fast'", "10x"),
    ),
    "agent replay --config": Tried(
        REPLAY, f"{REPLAY} --config {{config}}", f"{REPLAY} --config none.yaml", ("none.yaml",)
    ),
    "agent replay --symbol": Tried(
        OWN,
        f"{OWN} --symbol BTC/USDT --quantity 1",
        f"{OWN} --symbol ETH/USDT",
        ("ETH/USDT", "holds BTC/USDT"),
    ),
    "agent replay --seed": Tried(
        f"{REPLAY} --config {{drawn}}",
        f"{REPLAY} --config {{drawn}} --seed 5",
        f"{REPLAY} --seed x",
        ("--seed", "integer"),
    ),
    "agent replay --start": Tried(
        "agent replay {barsession} --config {hourly}",
        "agent replay {barsession} --config {hourly} --start 2025-03-03T05:00",
        "agent replay {barsession} --config {hourly} --start soon",
        ("'soon'", "2025-03-03"),
    ),
    "agent replay --db": Tried(
        REPLAY, f"{REPLAY} --db {{new}}.db", f"{REPLAY} --db nonsense", ("'nonsense'",), "{new}.db"
    ),
    "agent replay --compare-impact": Tried(
        f"{REPLAY} --config {{law}}", f"{REPLAY} --config {{law}} --compare-impact"
    ),
    "agent replay --json": Tried(REPLAY, f"{REPLAY} --json"),
    "agent import --symbol": Tried(
        f"{IMPORT} --out {{new}}",
        f"{IMPORT} --out {{new}} --symbol ETH/USDT",
        "agent import {bars} --out {new}",
        ("--symbol",),
    ),
    "agent import --out": Tried(
        f"{IMPORT} --out {{new}}",
        f"{IMPORT} --out {{new}}2",
        "agent import {bars} --symbol BTC/USDT",
        ("--out",),
        "{new}2",
    ),
    "agent import --format": Tried(
        f"{IMPORT} --out {{new}}",
        "agent import {bars} --symbol BTC/USDT --json --out {new} --format binance-raw",
        "agent import {bars} --symbol BTC/USDT --out {new} --format excel",
        ("'excel'", "klines"),
    ),
    "agent import --tick-size": Tried(
        f"{IMPORT} --out {{new}}",
        f"{IMPORT} --out {{new}} --tick-size 0.01",
        f"{IMPORT} --out {{new}} --tick-size x",
        ("'x'",),
    ),
    "agent import --lot-size": Tried(
        f"{IMPORT} --out {{new}}",
        f"{IMPORT} --out {{new}} --lot-size 0.01",
        f"{IMPORT} --out {{new}} --lot-size 0",
        ("lot size 0",),
    ),
    "agent import --contract-size": Tried(
        f"{IMPORT} --out {{new}} --symbol BTC/USDT:USDT --contract-size 100",
        f"{IMPORT} --out {{new}} --symbol BTC/USDT:USDT --contract-size 10",
        f"{IMPORT} --out {{new}} --contract-size -1",
        ("-1", "positive"),
    ),
    "agent import --calendar": Tried(
        f"{IMPORT} --out {{new}}",
        f"{IMPORT} --out {{new}} --calendar XNYS",
        f"{IMPORT} --out {{new}} --calendar XXXX",
        ("XXXX",),
    ),
    "agent import --stamped": Tried(
        f"{IMPORT} --out {{new}}",
        f"{IMPORT} --out {{new}} --stamped end",
        f"{IMPORT} --out {{new}} --stamped middle",
        ("middle", "start or their end"),
    ),
    "agent import --json": Tried(
        f"{IMPORT.removesuffix(' --json')} --out {{new}}", f"{IMPORT} --out {{new}}"
    ),
    "agent calibrate --out": Tried(
        "agent calibrate {long}",
        "agent calibrate {long} --out {new}.yaml",
        "agent calibrate {long} --out {folder}",
        ("Is a directory", "choose another --out"),
        "{new}.yaml",
    ),
    "agent calibrate --latencies": Tried(
        "agent calibrate {long}",
        "agent calibrate {long} --latencies {new}",
        "agent calibrate {long} --latencies {config}",
        ("config",),
        "{new}",
    ),
    "agent calibrate --json": Tried("agent calibrate {long}", "agent calibrate {long} --json"),
    "agent log --since": Tried(
        LOG, f"{LOG} --since 2024-08-09T00:00:10", f"{LOG} --since soon", ("--since 'soon'",)
    ),
    "agent log --until": Tried(
        LOG, f"{LOG} --until 2024-08-09T00:00:10", f"{LOG} --until 5x", ("--until '5x'",)
    ),
    "agent log --symbol": Tried(
        LOG,
        f"{LOG} --symbol ETH/USDT",
        "agent log sessions --db {db} --symbol X",
        ("sessions have no symbol",),
    ),
    "agent log --algo": Tried(
        LOG, f"{LOG} --algo twap", "agent log gaps --db {db} --algo twap", ("gaps have no algo",)
    ),
    "agent log --parent": Tried(
        LOG, f"{LOG} --parent s-P1~twap", "agent log gaps --db {db} --parent P", ("--parent",)
    ),
    "agent log --session": Tried(
        LOG, f"{LOG} --session none", "agent log sql --db {db} --session s", ("give the statement",)
    ),
    "agent log --limit": Tried(LOG, f"{LOG} --limit 1", f"{LOG} --limit 0", ("limit 0",)),
    "agent log --format": Tried(LOG, f"{LOG} --format json", f"{LOG} --format xml", ("'xml'", "parquet")),
    "agent log --out": Tried(
        LOG, f"{LOG} --out {{new}}.csv", f"{LOG} --out {{folder}}", ("--out",), "{new}.csv"
    ),
    "agent log --db": Tried(LOG, f"{LOG} --db {{other}}", f"{LOG} --db nonsense", ("'nonsense'",)),
    "agent log --config": Tried(
        LOG,
        "agent log children --format csv --config {config}",
        "agent log children --config none.yaml",
        ("none.yaml",),
    ),
    "agent log --json": Tried(LOG, f"{LOG} --json"),
    "agent status --db": Tried(
        "agent status --db {db}", "agent status --db {ran}", "agent status --db nonsense", ("'nonsense'",)
    ),
    "agent status --config": Tried(
        "agent status --db {ran}",
        "agent status --config {config}",
        "agent status --config none.yaml",
        ("none.yaml",),
    ),
    "agent status --json": Tried("agent status --db {ran}", "agent status --db {ran} --json"),
    "agent sessions list --check": Tried(
        "agent sessions list {flipped} --json", "agent sessions list {flipped} --check --json"
    ),
    "agent sessions list --config": Tried(
        "agent sessions list --config {config}",
        "agent sessions list --config {elsewhere}",
        "agent sessions list --config none.yaml",
        ("none",),
    ),
    "agent sessions list --json": Tried(
        "agent sessions list {folder}", "agent sessions list {folder} --json"
    ),
    "agent sessions inspect --html": Tried(
        "agent sessions inspect {session}",
        "agent sessions inspect {session} --html {new}.html",
        "agent sessions inspect {session} --html no/such/page.html",
        ("--html", "no folder"),
        "{new}.html",
    ),
    "agent sessions inspect --json": Tried(
        "agent sessions inspect {session}", "agent sessions inspect {session} --json"
    ),
    "agent sessions slice --out": Tried(
        f"{SLICE} --from 5s --out {{new}}",
        f"{SLICE} --from 5s --out {{new}}2",
        "agent sessions slice {session} --from 5s",
        ("--out",),
        "{new}2",
    ),
    "agent sessions slice --from": Tried(
        f"{SLICE} --to 20s --out {{new}}",
        f"{SLICE} --from 5s --to 20s --out {{new}}",
        f"{SLICE} --from soon --out {{new}}",
        ("--from 'soon'",),
    ),
    "agent sessions slice --to": Tried(
        f"{SLICE} --from 5s --out {{new}}",
        f"{SLICE} --from 5s --to 20s --out {{new}}",
        f"{SLICE} --to 5x --out {{new}}",
        ("--to '5x'",),
    ),
    "agent sessions slice --symbol": Tried(
        "agent sessions slice {both} --json --from 1s --out {new}",
        "agent sessions slice {both} --json --from 1s --out {new} --symbol BTC/USDT",
        f"{SLICE} --from 5s --out {{new}} --symbol XRP/USDT",
        ("XRP/USDT",),
    ),
    "agent sessions slice --history": Tried(
        f"{SLICE} --from 15s --out {{new}}",
        f"{SLICE} --from 15s --history 10s --out {{new}}",
        f"{SLICE} --from 15s --history x --out {{new}}",
        ("'x'",),
    ),
    "agent sessions slice --json": Tried(
        "agent sessions slice {session} --from 5s --out {new}", f"{SLICE} --from 5s --out {{new}}"
    ),
    "agent sessions merge --out": Tried(
        "agent sessions merge {early} {late} --out {new}",
        "agent sessions merge {early} {late} --out {new}2",
        "agent sessions merge {early}",
        ("--out",),
        "{new}2",
    ),
    "agent sessions merge --json": Tried(
        "agent sessions merge {early} {late} --out {new}",
        "agent sessions merge {early} {late} --out {new} --json",
    ),
    "agent sessions compact --json": Tried(
        "agent sessions compact {open}", "agent sessions compact {open} --json"
    ),
    "agent sessions sync --db": Tried(
        f"{SYNC} --db {{new}}.db",
        f"{SYNC} --db {{new}}2.db",
        f"{SYNC} --db nonsense",
        ("'nonsense'",),
        "{new}2.db",
    ),
    "agent sessions sync --config": Tried(
        f"{SYNC} --db {{new}}.db",
        f"{SYNC} --config {{syncing}}",
        f"{SYNC} --config none.yaml",
        ("none.yaml",),
    ),
    "agent sessions sync --json": Tried(f"{SYNC} --db {{new}}.db", f"{SYNC} --db {{new}}.db --json"),
    "agent sessions end --db": Tried(  # the log of a replay has no session that could be ended
        f"{END} --db {{db}}", f"{END} --db {{died}}", f"{END} --db nonsense", ("'nonsense'",)
    ),
    "agent sessions end --config": Tried(
        f"{END} --config {{config}}",
        f"{END} --config {{ending}}",
        f"{END} --config none.yaml",
        ("none.yaml",),
    ),
    "agent sessions end --json": Tried(f"{END} --db {{died3}}", f"{END} --db {{died4}} --json"),
}
VALUES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "--side": ("sell", "hold", ("hold",)),
    "--quantity": ("1", "-1", ("-1", "positive")),
    "--notional": ("30000", "0", ("0", "positive")),
    "--benchmark": ("twap", "arrival", ("arrival",)),
    "--min-duration": ("12s", "7s", ("7s", "multiple")),
    "--max-duration": ("15s", "61s", ("61s", "nearest")),
    "--interval": ("1s", "soon", ("soon", "90s")),
    "--algo": ("immediate", "twpa", ("did you mean twap",)),
    "--algo-param": ("rate=0.2", "rate", ("NAME=VALUE",)),
    "--tactic": ("sweep", "snipe", ("snipe",)),
    "--shadow": ("almgren_chriss", "vwapp", ("did you mean vwap",)),
    "--limit-price": ("61000", "nan", ("NaN", "positive")),
    "--participation-cap": ("0.001", "1.5", ("(0, 1]",)),
    "--min-rate": ("0.1", "1.5", ("1.5",)),
    "--max-rate": ("0.2", "0.01", ("0.01",)),
    "--risk-aversion": ("30", "0", ("risk_aversion",)),
    "--align": ("grid", "left", ("left",)),
}
"""Of each option of an order: a value unlike the recorded order's, a wrong one, what is said of that."""
for each in order_fields():
    value, bad, said = VALUES[each.flag]
    CASES[f"agent replay {each.flag}"] = Tried(
        f"{REPLAY} --shadow pov --json",
        f"{REPLAY} --shadow pov {each.flag} {value} --json",
        f"{REPLAY} {each.flag} {bad}",
        said,
    )
