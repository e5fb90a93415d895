"""A decision of the model says how many bars it rests on: of the lookback, of the checkpoint, or few."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
import yaml

from agent.order_options import Order
from lem.network.checkpoint import fresh_model, save_checkpoint
from lem.network.model_config import ModelConfig
from tests.every_key.command_line import call
from tests.fakes import S, order_of_the_model, record, start, synthetic_tape

HALF_S = S // 2


@pytest.fixture(scope="module")
def long_session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An order by the model at intervals of half a second, a hundred seconds after the first book."""
    instrument, events = synthetic_tape(seconds=120.0)
    order = Order(
        quantity=Decimal("0.2"),
        algo="lem",
        interval=HALF_S,
        min_duration=2 * HALF_S,
        max_duration=4 * HALF_S,
        shadows=(),
    )
    command = start(instrument, events, order)
    recv_ns = command.recv_ns + 100 * S
    seq = int(events["seq"][np.searchsorted(events["recv_ns"], recv_ns, side="right") - 1])
    path = tmp_path_factory.mktemp("history") / "session"
    return record(path, instrument, events, [replace(command, recv_ns=recv_ns, seq=seq)], order)


def first_reason(session: Path, folder: Path, **sections: object) -> str:
    """What ``log decisions`` says of the first decision when the session is worked with ``sections``."""
    file, db = folder / "c.yaml", folder / "log.db"
    file.write_text(yaml.safe_dump(sections))
    done = call("agent", "replay", session, "--config", file, "--db", f"sqlite:///{db}")
    assert done.code in (0, 1), done.err
    shown = call("agent", "log", "decisions", "--db", f"sqlite:///{db}", "--format", "json")
    rows = json.loads(shown.out)
    return str(min(rows, key=lambda row: row["interval"])["reason"])


@pytest.mark.parametrize(
    ("lookback", "said"),
    [
        (312, "; 120 bars of history, and 79 before them for their features"),
        (150, "; 120 bars of history, and 30 before them for their features"),
        (50, "; 50 bars of history"),
        (3, "; 3 bars of history: so few that any sigma is a guess"),
    ],
)
def test_a_decision_says_the_lookback_it_had(
    lookback: int, said: str, long_session: Path, tmp_path: Path
) -> None:
    """``engine.lookback`` of 312 finds 199 bars on this tape, 120 of which the shipped model looks at."""
    reason = first_reason(long_session, tmp_path, engine={"lookback": lookback})
    assert reason.endswith(said), reason


def test_another_checkpoint_says_its_own_lookback(long_session: Path, tmp_path: Path) -> None:
    """A model that looks at fewer bars says so."""
    other = tmp_path / "other.safetensors"
    save_checkpoint(fresh_model(ModelConfig(lookback=30), 1), other, {})
    done = call("lem", "explain", long_session, "--decision", "s-P1/0", "--model", other)
    said = "; 30 bars of history, and 169 before them for their features; model"
    assert said in " ".join(done.out.split()), done


def test_explain_says_how_little_was_seen(tmp_path: Path) -> None:
    """Of a decision after three bars."""
    instrument, events, order, command = order_of_the_model()
    session = record(tmp_path / "s", instrument, events, [command], order)
    done = call("lem", "explain", session, "--decision", "s-P1/0")
    assert "; 3 bars of history: so few that any sigma is a guess; model" in " ".join(done.out.split())
    document = json.loads(call("lem", "explain", session, "--decision", "s-P1/0", "--json").out)
    assert document["history"] == "3 bars of history: so few that any sigma is a guess"
