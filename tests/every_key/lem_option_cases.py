"""What each option of ``lem``'s commands changes, and what is said of a wrong value. Small sizes: seconds."""

from __future__ import annotations

from tests.every_key.option_cases import Tried

BOUND = "lem bound --n 4 --json"
LEAN = f"{BOUND} --m 1 --participation 0.05 --risk-aversion 1"
JUDGE = "lem evaluate --market gaussian --sigma 0.0001 --n 4 --orders 40 --json"
BARS = "lem evaluate --bars {minutes} --interval 1m --n 4 --orders 40 --min-period 1 --json"
TRAIN = "lem train --preset tiny --iterations 1 --workers 1 --json --out {new}.safetensors"
ON_BARS = f"{TRAIN} --bars {{minutes}} --interval 1m"
RUN = f"{TRAIN.replace('--iterations 1', '--iterations 2')} --run {{new}}-run"
FETCH = "lem fetch --exchange embedded --symbol BTC/USDT --from 2020-01-01"
WHY = "lem explain {bylem}"
NUMBER = ("valid",)


def on(base: str, option: str, value: str, wrong: str, *words: str, first: str = "") -> Tried:
    """``base`` without and with an option; refused with another value of it."""
    return Tried(first or base, f"{base} {option} {value}", f"{base} {option} {wrong}", words)


CASES: dict[str, Tried] = {
    "lem bound --n": Tried(BOUND, "lem bound --n 5 --json", "lem bound --n 0 --json", ("0",)),
    "lem bound --m": on(BOUND, "--m", "1", "9", "9"),
    "lem bound --max-rate": on(BOUND, "--max-rate", "0.5", "0.1", "0.1"),
    "lem bound --min-rate": on(BOUND, "--min-rate", "0.1", "-1", "-1"),
    "lem bound --price": on(BOUND, "--price", "bars", "candles", "candles"),
    "lem bound --benchmark": on(BOUND, "--benchmark", "vwap --volume-sigma 0.5", "twop", "twop"),
    "lem bound --volume-sigma": on(f"{BOUND} --benchmark vwap", "--volume-sigma", "0.5", "-1", "-1"),
    "lem bound --participation": on(LEAN, "--participation", "0.2", "-1", "-1"),
    "lem bound --risk-aversion": on(LEAN, "--risk-aversion", "5", "-1", "-1"),
    "lem bound --target": on(BOUND, "--target", "notional --sigma 0.05", "money", "money"),
    "lem bound --sigma": on(f"{BOUND} --target notional", "--sigma", "0.05", "-1", "-1"),
    "lem bound --side": on(f"{BOUND} --target notional --sigma 0.05", "--side", "sell", "hold", "hold"),
    "lem bound --market": on(
        f"{BOUND} --m 1 --benchmark arrival --history 8",
        "--market",
        "momentum",
        "moon",
        "moon",
        first=f"{BOUND} --m 1",
    ),
    "lem bound --history": on(
        f"{BOUND} --m 1 --benchmark arrival --market momentum", "--history", "2", "-1", "-1"
    ),
    "lem bound --simulate": on(BOUND, "--simulate", "100", "0", "0"),
    "lem bound --seed": on(f"{BOUND} --simulate 100", "--seed", "2", "x", "--seed"),
    "lem bound --json": Tried("lem bound --n 4", BOUND),
    "lem evaluate --market": on(JUDGE, "--market", "gaussian-bars", "moon", "moon"),
    "lem evaluate --sigma": on(JUDGE, "--sigma", "0.001", "0", "0"),
    "lem evaluate --n": on(JUDGE, "--n", "5", "0", "0"),
    "lem evaluate --min-period": on(JUDGE, "--min-period", "1", "9", "9"),
    "lem evaluate --orders": on(JUDGE, "--orders", "50", "0", "0"),
    "lem evaluate --seed": on(JUDGE, "--seed", "2", "-1", "-1"),
    "lem evaluate --min-rate": on(JUDGE, "--min-rate", "0.1", "0.9", "0.9"),
    "lem evaluate --max-rate": on(JUDGE, "--max-rate", "0.5", "0.1", "0.1"),
    "lem evaluate --risk-aversion": on(JUDGE, "--risk-aversion", "5", "-1", "-1"),
    "lem evaluate --participation": on(JUDGE, "--participation", "0.1", "-1", "-1"),
    "lem evaluate --arrival-weight": on(JUDGE, "--arrival-weight", "1", "2", "2"),
    "lem evaluate --history": on(JUDGE, "--history", "5", "-1", "-1"),
    "lem evaluate --model": on(JUDGE, "--model", "{tiny}", "none.safetensors", "none.safetensors"),
    "lem evaluate --csv": Tried(
        JUDGE, f"{JUDGE} --csv {{new}}.csv", f"{JUDGE} --csv no/x.csv", ("--csv",), "{new}.csv"
    ),
    "lem evaluate --html": Tried(
        JUDGE, f"{JUDGE} --html {{new}}.html", f"{JUDGE} --html no/x", ("--html",), "{new}.html"
    ),
    "lem evaluate --regimes": Tried(
        BARS.removesuffix(" --json"), f"{BARS.removesuffix(' --json')} --regimes"
    ),
    "lem evaluate --threads": Tried("", "", f"{JUDGE} --threads 0", ("0",)),
    "lem evaluate --json": Tried(JUDGE.removesuffix(" --json"), JUDGE),
    "lem evaluate --bars": Tried(
        BARS, BARS.replace("{minutes}", "{others}"), "lem evaluate --bars none.csv", ("none.csv",)
    ),
    "lem evaluate --interval": on(BARS, "--interval", "2m", "7parsecs", "7parsecs"),
    "lem evaluate --calendar": on(BARS, "--calendar", "XNYS", "XXXX", "XXXX"),
    "lem evaluate --from": on(BARS, "--from", "2025-03-03T10:00", "soon", "soon"),
    "lem evaluate --to": on(BARS, "--to", "2025-03-03T10:00", "soon", "soon"),
    "lem evaluate --every": on(BARS, "--every", "9", "-1", "-1"),
    "lem explain --decision": on(WHY, "--decision", "s-P1/1", "s-P1/99", "s-P1/99"),
    "lem explain --model": on(WHY, "--model", "{tiny}", "none.safetensors", "none.safetensors"),
    "lem explain --html": Tried(
        WHY, f"{WHY} --html {{new}}.html", f"{WHY} --html no/x", ("--html",), "{new}.html"
    ),
    "lem explain --json": Tried(WHY, f"{WHY} --json"),
    "lem train --preset": on(TRAIN, "--preset", "quick", "huge", "huge"),
    "lem train --seed": on(TRAIN, "--seed", "2", "-1", "-1"),
    "lem train --out": Tried(
        TRAIN, f"{TRAIN}2", f"{TRAIN} --out {{folder}}", ("--out",), "{new}.safetensors2"
    ),
    "lem train --iterations": on(TRAIN, "--iterations", "2", "0", "0"),
    "lem train --bars": on(TRAIN, "--bars", "{minutes} --interval 1m", "none.csv", "none.csv"),
    "lem train --interval": on(ON_BARS, "--interval", "2m", "7parsecs", "7parsecs"),
    "lem train --calendar": on(ON_BARS, "--calendar", "XNYS", "XXXX", "XXXX"),
    "lem train --from": on(ON_BARS, "--from", "2025-03-03T10:00", "soon", "soon"),
    "lem train --to": on(ON_BARS, "--to", "2025-03-04T10:00", "soon", "soon"),
    "lem train --bars-share": on(ON_BARS, "--bars-share", "0.9", "2", "2"),
    "lem train --validation-share": on(ON_BARS, "--validation-share", "0.4", "2", "2"),
    "lem train --init": on(TRAIN, "--init", "{tiny}", "none.safetensors", "none.safetensors"),
    "lem train --run": Tried(TRAIN, RUN, f"{TRAIN} --run {{minutes}}", ("minutes",), "{new}-run"),
    "lem train --resume": Tried(TRAIN, f"{RUN} --resume", f"{TRAIN} --resume", ("--run",)),
    "lem train --device": Tried("", "", f"{TRAIN} --device abacus", ("abacus",)),
    "lem train --workers": Tried("", "", f"{TRAIN} --workers 0", ("0",)),
    "lem train --threads": Tried("", "", f"{TRAIN} --threads 0", ("0",)),
    "lem train --json": Tried(TRAIN.replace(" --json", ""), TRAIN),
    "lem ablate --preset": Tried("", "", "lem ablate --preset huge", ("huge",)),
    "lem ablate --iterations": Tried("", "", "lem ablate --iterations 0", ("0",)),
    "lem ablate --seeds": Tried("", "", "lem ablate --seeds 0", ("0",)),
    "lem ablate --orders": Tried("", "", "lem ablate --orders 1", ("1",)),
    "lem ablate --workers": Tried("", "", "lem ablate --workers 0", ("0",)),
    "lem ablate --threads": Tried("", "", "lem ablate --threads 0", ("0",)),
    "lem fetch --symbol": Tried("", "", f"{FETCH} --symbol XX/YY --out {{new}}", ("XX/YY",)),
    "lem fetch --from": Tried(
        "", "", "lem fetch --exchange embedded --symbol BTC/USDT --from soon", ("soon",)
    ),
    "lem fetch --exchange": Tried("", "", f"{FETCH} --exchange binanse --out {{new}}", ("binanse",)),
    "lem fetch --interval": Tried("", "", f"{FETCH} --interval 7parsecs --out {{new}}", ("7parsecs",)),
    "lem fetch --to": Tried("", "", f"{FETCH} --to soon --out {{new}}", ("soon",)),
    "lem fetch --out": Tried("", "", f"{FETCH} --out {{minutes}}", ("minutes",)),
}
"""Without a first line: what changes takes minutes, or only time; the option's own tests show it."""
