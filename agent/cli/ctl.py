"""``agent ctl``: control running agents from another terminal."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from agent.amounts import parse_amount
from agent.cli import options as o
from agent.cli import output
from agent.core.errors import InputError
from agent.entry import log_lines

if TYPE_CHECKING:
    from agent.core.orders.amendments import Amendment
    from storage.log.control.command_sender import Answer

CONTROLS = ("pause", "resume", "cancel", "amend", "kill")


def ctl(
    action: Annotated[
        str,
        typer.Argument(
            metavar="|".join(CONTROLS),
            help="What to do; kill of all also stops every later order, and ends the run.",
        ),
    ],
    parent: Annotated[
        str | None,
        typer.Argument(
            metavar="[PARENT]", help="Id of a parent order; if left out, all orders of every live session."
        ),
    ] = None,
    limit_price: Annotated[
        str | None, typer.Option(metavar="PRICE", help="With amend: never trade beyond this price.")
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
    """Control running agents from another terminal, and say what each session did.

    Exit code 1 if a live session did not carry it out, or none lives.
    """
    from agent.core.events import CommandKind
    from storage.log.control.command_sender import Sent, all_done, send

    if action not in CONTROLS:
        raise InputError(f"action {action!r} is not known: choose one of {', '.join(CONTROLS)}")
    amend = _amendment(action, limit_price, participation_cap, risk_aversion)
    url = db or o.configuration(config).database
    command = Sent(uuid.uuid4().hex[:12], CommandKind(action), parent, amend)
    answers = asyncio.run(send(url, command, time.time_ns, time.monotonic_ns))
    done = all_done(answers)
    if as_json:
        head = {"action": action, "parent": parent, "command_id": command.command_id, "done": done}
        output.emit({**head, "sessions": [answer.to_json() for answer in answers]})
    else:
        _show(f"{action} {parent or 'all'}", answers, done)
    return 0 if done else 1


def _amendment(
    action: str, limit_price: str | None, cap: float | None, risk_aversion: float | None
) -> Amendment:
    from agent.core.orders.amendments import amendment_fault

    given = {
        "limit_price": None if limit_price is None else f"{parse_amount(limit_price, 'limit price'):f}",
        "participation_cap": cap,
        "risk_aversion": risk_aversion,
    }
    amend: Amendment = {k: v for k, v in given.items() if v is not None}
    if (action == "amend") != bool(amend):
        raise InputError("amend takes --limit-price, --participation-cap or --risk-aversion")
    if amend and (fault := amendment_fault(amend)):
        raise InputError(fault)
    return amend


def _show(what: str, answers: Sequence[Answer], done: bool) -> None:
    """A line a session, and the verdict."""
    if not answers:
        log_lines.complain(f"{what}: no session is live: start one with `run`")
    for answer in answers:
        orders = f" [{', '.join(answer.parents)}]" if answer.parents else ""
        typer.echo(f"{what}: {answer.session}: {answer.outcome}{orders}")
    if answers and not done:
        log_lines.complain(f"{what}: NOT done everywhere; `python -m agent status` shows what lives")
