"""``python -m lem bound``."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

from agent.core.errors import InputError
from agent.core.orders.order_defaults import NO_MAX_RATE, NO_MIN_RATE
from agent.entry.long_work import LongWork
from lem.cli.common_options import Json

if TYPE_CHECKING:
    from lem.optima.optimum_cases import Case, CaseOptimum

SIDES = {"buy": 1, "sell": -1}


def bound(
    n: Annotated[int, typer.Option(help="max duration in intervals")] = 12,
    m: Annotated[int | None, typer.Option(help="min duration in intervals; default: every one")] = None,
    max_rate: Annotated[float, typer.Option(help="most share of the order in an interval")] = NO_MAX_RATE,
    min_rate: Annotated[float, typer.Option(help="least share of the order in an interval")] = NO_MIN_RATE,
    price: Annotated[str, typer.Option(help="walk: price at its end; bars: its average")] = "walk",
    benchmark: Annotated[str, typer.Option(help="twap, vwap, or arrival (with --market)")] = "twap",
    volume_sigma: Annotated[float | None, typer.Option(help="vwap: log deviation of a volume")] = None,
    participation: Annotated[
        float,
        typer.Option(
            help="expected participation: the order / the market volume expected in n intervals, in [0, 1]"
        ),
    ] = 0.0,
    risk_aversion: Annotated[float, typer.Option(help="lambda of the training objective")] = 0.0,
    target: Annotated[str, typer.Option(help="quantity or notional")] = "quantity",
    sigma: Annotated[float | None, typer.Option(help="notional: volatility; default: its limit 0")] = None,
    side: Annotated[str, typer.Option(help="buy or sell: matters to a notional")] = "buy",
    market: Annotated[
        str | None, typer.Option(help="arrival: a simulated market whose drift is known")
    ] = None,
    history: Annotated[int | None, typer.Option(help="arrival: bars seen before; default: all")] = None,
    simulate: Annotated[
        int | None, typer.Option(help="also run the optimum's policy on so many simulated paths")
    ] = None,
    seed: Annotated[int, typer.Option(help="of the paths of --simulate")] = 1,
    as_json: Json = False,
) -> None:
    """The bound: mean gain of the exact optimum of a flexible order, in sigmas, for every m.

    With --participation or --risk-aversion: of the optimum after impact, or after risk.
    """
    if side not in SIDES:
        raise InputError(f"side is {side!r}: give buy or sell")
    if benchmark == "arrival":
        rates = (max_rate, min_rate) != (NO_MAX_RATE, NO_MIN_RATE)
        if rates or participation or risk_aversion or sigma or volume_sigma:
            raise InputError("the arrival optimum is known without rates, impact, risk or sigma: give none")
        return _arrival(market, n, history, simulate, seed, as_json)
    if market is not None or history is not None:
        raise InputError(f"benchmark {benchmark}: --market and --history belong to --benchmark arrival")
    from lem.optima.optimum_cases import Case, case_optima

    case = Case(
        n, m, min_rate, max_rate, price, benchmark, volume_sigma, participation, risk_aversion, target
    )
    case = replace(case, sigma=sigma, side=SIDES[side], simulate=simulate, seed=seed)
    doing = f"solving for n = {n}{'' if simulate is None else f', and running {simulate} paths'}"
    rows: list[CaseOptimum] = []
    with LongWork(f"{doing}, min durations") as work:
        for row in case_optima(case):
            rows.append(row)
            work.at(len(rows), n + 1 if m is None else 1)
    if as_json:
        typer.echo(json.dumps(_document(case, side, rows)))
    else:
        _print(case, side, rows)
    return None


def _document(case: Case, side: str, rows: list[CaseOptimum]) -> dict[str, object]:
    gains = {str(row.m): round(row.gain_sigma, 6) + 0.0 for row in rows}
    found: dict[str, object] = asdict(case) | {"side": side, "gain_sigma": gains}
    document = {key: found[key] for key in ("n", "gain_sigma", "max_rate", "price")} | found
    if any(row.half_width for row in rows):
        document["half_width_sigma"] = {str(row.m): row.half_width for row in rows}
    if any(row.objective is not None for row in rows):
        document["objective"] = {str(row.m): row.objective for row in rows}
    if case.simulate is not None:
        document["simulated"] = {str(row.m): asdict(row.simulated) for row in rows if row.simulated}
    return document


def _print(case: Case, side: str, rows: list[CaseOptimum]) -> None:
    typer.echo(f"best expected gain in units of sigma, {_described(case, side)}")
    for row in rows:
        line = f"  m = {row.m:<4d} {row.gain_sigma:8.4f}"
        line += f" +- {row.half_width:.4f}" if row.half_width else ""
        line += f"   objective {row.objective:.5f}" if row.objective is not None else ""
        ran = row.simulated
        if ran is not None:
            line += f"   simulated {ran.net:8.4f} +- {ran.half_width:.4f}, std of the gain {ran.gain_std:.3f}"
            line += f", impact {ran.impact:.4f}" if ran.impact > 1e-6 else ""
        typer.echo(line)


def _described(case: Case, side: str) -> str:
    texts = [f"n = {case.n}", f"max rate {case.max_rate:g}"]
    texts += [f"min rate {case.min_rate:g}"] if case.min_rate else []
    texts += [f"price: {case.price}", f"benchmark: {case.benchmark}"]
    texts += [f"volume sigma {case.volume_sigma:g}"] if case.volume_sigma is not None else []
    texts += [f"after impact at expected participation {case.participation:g}"] if case.participation else []
    texts += [f"risk aversion {case.risk_aversion:g}"] if case.risk_aversion else []
    texts += [f"{side} notional at sigma {case.sigma:g}"] if case.sigma is not None else []
    texts += ["notional as sigma -> 0"] if case.target == "notional" and case.sigma is None else []
    return ", ".join(texts)


def _arrival(
    market: str | None, n: int, history: int | None, simulate: int | None, seed: int, as_json: bool
) -> None:
    from lem.optima.arrival_optimum import ARRIVAL_MARKETS, solve_arrival, study_arrival

    if market is None:
        raise InputError(f"--benchmark arrival needs --market: one of {', '.join(ARRIVAL_MARKETS)}")
    if simulate is not None and history is None:
        raise InputError("--simulate against the arrival price needs --history, as in --history 32")
    with LongWork(f"solving for n = {n} on {market}"):
        gain = solve_arrival(market, n, history).gain_sigma
        ran = study_arrival(market, n, history, simulate, seed) if simulate and history else None
    if as_json:
        document: dict[str, object] = {"n": n, "gain_sigma": {"0": round(gain, 6)}, "benchmark": "arrival"}
        document |= {"market": market, "history": history}
        typer.echo(json.dumps(document | ({"simulated": asdict(ran)} if ran else {})))
        return
    typer.echo(f"best expected arrival gain in units of sigma, n = {n}, market: {market}")
    typer.echo(f"  {'level known' if history is None else f'after {history} bars'}: {gain:8.4f}")
    if ran is not None:
        paid, error = ran.gain + ran.surprise, 1.96 * (ran.gain_error**2 + ran.surprise_error**2) ** 0.5
        typer.echo(f"  simulated: {paid:8.4f} +- {error:.4f}")
