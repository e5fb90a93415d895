"""The doctor command."""

from __future__ import annotations

import typer

from agent.cli import options as o


def register(app: typer.Typer) -> None:
    app.command("doctor")(doctor)


def doctor(
    config: o.ConfigFile = None,
    exchange: o.Exchange = None,
    symbol: o.Symbol = None,
    db: o.Database = None,
    as_json: o.AsJson = False,
) -> int:
    """Check configuration, database, clock, exchange and model."""
    from agent.app.doctor import run_checks

    checks = run_checks(o.configuration(config, {}, exchange=exchange, symbol=symbol, database=db))
    if as_json:
        o.emit({"checks": checks})
    else:
        o.show_table(
            ["check", "", "detail"],
            [[c["name"], "ok" if c["ok"] else "FAILED", str(c["detail"])] for c in checks],
        )
    return 0 if all(c["ok"] for c in checks) else 1
