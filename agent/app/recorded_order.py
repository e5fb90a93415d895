"""What a replay starts from: the order that a session recorded, under the configuration it ran with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agent.algos.registry import PARAMS
from agent.app.replay_session import recorded_config
from agent.config import Config, parse_config
from agent.core.errors import InputError, SessionError
from agent.core.events import StartParent
from agent.core.instrument import Instrument
from agent.core.types import ParentSpec, Side, TargetKind
from agent.journal import commands
from storage.recordings.session import SessionReader


def recorded_base(path: Path, given: Mapping[str, object], symbol: str | None) -> Config | None:
    """The session's configuration with the order it recorded; None where it recorded none.

    ``given`` are the order options on top, ``symbol`` the one asked for: of several orders, the first of it.
    Raises InputError for a symbol that the session lacks, or that changes nothing.
    """
    reader = SessionReader(path)
    known = [i.symbol for i in reader.instruments]
    if symbol is not None and symbol not in known:
        raise SessionError(f"the session has no {symbol}: it holds {', '.join(known)}")
    starts = [c for c in commands(reader.journal(), reader.instruments) if isinstance(c, StartParent)]
    if not starts or not reader.header.config:
        return None
    if symbol is not None and not given:
        raise InputError(
            f"--symbol {symbol} is of an order of your own, and the recorded ones are replayed: give an order"
            " option too, as in --quantity 1, or leave --symbol out"
        )
    chosen = next((s for s in starts if s.spec.symbol == symbol), starts[0])
    order = _as_given(chosen, reader.instruments[chosen.spec.instrument], given)
    whole = recorded_config(reader).model_dump() | {"order": order, "symbol": chosen.spec.symbol}
    return parse_config(whole, "the session's configuration")


def _as_given(start: StartParent, instrument: Instrument, given: Mapping[str, object]) -> dict[str, object]:
    """The started order as a configuration has it. Parameters stay while an algo is there that has them."""
    spec = start.spec
    shadows = tuple(shadow.algo for shadow in start.shadows)
    algos = {str(given.get("algo", spec.algo)), *_names(given.get("shadows", shadows))}
    limit = spec.limit_price_ticks
    return _size(spec, instrument) | {
        "side": "buy" if spec.side is Side.BUY else "sell",
        "benchmark": spec.benchmark.value,
        "min_duration": spec.min_duration_ns,
        "max_duration": spec.max_duration_ns,
        "interval": spec.interval_ns,
        "algo": spec.algo,
        "algo_params": {
            key: value
            for key, value in spec.algo_params.items()
            if any(key in PARAMS.get(algo, {}) for algo in algos)
        },
        "tactic": spec.tactic,
        "shadows": shadows,
        "limit_price": None if limit is None else instrument.price(limit),
        "participation_cap": spec.participation_cap,
        "min_rate": spec.min_rate,
        "max_rate": spec.max_rate,
        "risk_aversion": spec.risk_aversion,
        "align": spec.align.value,
    }


def _size(spec: ParentSpec, instrument: Instrument) -> dict[str, object]:
    if spec.target_kind is TargetKind.NOTIONAL:
        return {"notional": instrument.notional(spec.target)}
    return {"quantity": instrument.quantity(spec.target)}


def _names(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, tuple | list) else ()
