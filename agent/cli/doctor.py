"""``agent doctor``: check an installation."""

from __future__ import annotations

from dataclasses import asdict

from agent.cli import options as o
from agent.cli import output


def doctor(
    config: o.ConfigFile = None,
    exchange: o.Exchange = None,
    symbol: o.Symbol = None,
    db: o.Database = None,
    as_json: o.AsJson = False,
) -> int:
    """Check configuration, database, clock, exchange and model. Exit code 1 if one of them fails."""
    from agent.app.checks.installation_checks import run_checks

    settings = o.configuration(config, exchange=exchange, symbol=symbol, database=db)
    with output.spinner(f"checking configuration, database, {settings.exchange} and model"):
        checks = run_checks(settings)
    if as_json:
        output.emit({"checks": [asdict(check) for check in checks]})
    else:
        output.show_rows(
            ["check", "", "detail"],
            [[check.name, "ok" if check.ok else "FAILED", check.detail] for check in checks],
        )
    return 0 if all(check.ok for check in checks) else 1
