"""``agent ctl``: control a running agent from another terminal."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Annotated

import typer

from agent.cli import options as o
from agent.cli import output
from agent.core.database_url import DatabaseUrl
from agent.core.errors import InputError

CONTROLS = ("pause", "resume", "cancel", "amend", "kill")
ANSWER_S = 3.0

Amendment = dict[str, int | float]


def ctl(
    action: Annotated[
        str, typer.Argument(metavar="|".join(CONTROLS), help="What to do; kill also stops every later order.")
    ],
    parent: Annotated[
        str | None, typer.Argument(metavar="[PARENT]", help="Id of a parent order; all of them if left out.")
    ] = None,
    limit_price_ticks: Annotated[
        int | None, typer.Option(metavar="TICKS", help="With amend: the new limit price, in ticks.")
    ] = None,
    participation_cap: Annotated[
        float | None, typer.Option(metavar="SHARE", help="With amend: the new cap, in (0, 1].")
    ] = None,
    risk_aversion: Annotated[
        float | None, typer.Option(metavar="WEIGHT", help="With amend: the new risk aversion, above 0.")
    ] = None,
    db: o.Database = None,
    config: o.ConfigFile = None,
    as_json: o.AsJson = False,
) -> int:
    """Control a running agent from another terminal. Exit code 1 if it does not answer."""
    if action not in CONTROLS:
        raise InputError(f"action {action!r} is not known: choose one of {', '.join(CONTROLS)}")
    amend = _amendment(action, limit_price_ticks, participation_cap, risk_aversion)
    command_id = uuid.uuid4().hex[:12]
    url = db or o.configuration(config).database
    outcome = asyncio.run(_command(url, command_id, action, parent, amend))
    if as_json:
        output.emit({"command_id": command_id, "action": action, "parent": parent, "outcome": outcome})
    else:
        typer.echo(f"{action} {parent or 'all'}: {outcome or 'no answer yet; is the agent running?'}")
    return 0 if outcome is not None else 1


def _amendment(
    action: str, limit_price_ticks: int | None, cap: float | None, risk_aversion: float | None
) -> Amendment:
    given = {
        "limit_price_ticks": limit_price_ticks,
        "participation_cap": cap,
        "risk_aversion": risk_aversion,
    }
    amend: Amendment = {k: v for k, v in given.items() if v is not None}
    if (action == "amend") != bool(amend):
        raise InputError("amend takes --limit-price-ticks, --participation-cap or --risk-aversion")
    if cap is not None and not 0 < cap <= 1:
        raise InputError(f"participation cap {cap:g} is not allowed: it must be in (0, 1]")
    for name in ("limit_price_ticks", "risk_aversion"):
        if name in amend and amend[name] <= 0:
            raise InputError(f"{name.replace('_', ' ')} {amend[name]:g} is not allowed: it must be positive")
    return amend


async def _command(
    url: DatabaseUrl, command_id: str, action: str, parent: str | None, amend: Amendment
) -> str | None:
    """Leave the command in the database, and wait a little for its outcome."""
    from agent.core.events import CommandKind
    from storage.log.execution_log import command_outcome, insert_command

    session = await insert_command(
        url, command_id, CommandKind(action), created_ns=time.time_ns(), parent_id=parent, amend=amend
    )
    deadline = time.monotonic() + ANSWER_S
    while time.monotonic() < deadline:
        outcome = await command_outcome(url, session, command_id)
        if outcome is not None:
            return outcome
        await asyncio.sleep(0.05)
    typer.echo(f"the running agent has not answered within {ANSWER_S:g} s", err=True)
    return None
