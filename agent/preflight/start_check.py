"""Whether an order can be worked at all, judged before its first child: one that can only fail is refused.

Rules kept here:

* each rule is the one that judges the children: the same limits, the same value, the same account;
* what must fail is refused; what may fail, because the market may move, is a warning;
* what is not known (no book yet, no history) is not judged;
* a reason names the rule, the value, the limit and its key.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from agent.core.errors import OrderError
from agent.core.instrument import Instrument
from agent.core.types import ParentSpec
from agent.preflight import price_findings as price
from agent.preflight import size_findings as size
from agent.preflight.order_at_start import Finding, OrderAtStart, StartFacts, StartRules


def judge(
    spec: ParentSpec, instrument: Instrument, rules: StartRules, facts: StartFacts, lacking: size.Lacking
) -> list[Finding]:
    """Everything that stands in the way of an order that starts now, the exchange's own rules first."""
    order = OrderAtStart(spec, instrument, rules, facts)
    return list(
        chain(
            price.halt_findings(order),
            price.least_findings(order),
            price.band_findings(order),
            price.collar_findings(order),
            price.limit_findings(order),
            size.counted_findings(order),
            size.notional_findings(order),
            size.balance_findings(order, lacking),
            size.child_findings(order),
            size.volume_findings(order),
            size.participation_findings(order),
        )
    )


def refuse(spec: ParentSpec, findings: Sequence[Finding]) -> list[str]:
    """Raise OrderError with every reason that is fatal; return the others, as warnings."""
    fatal = [f"{f.rule}: {f.reason}" for f in findings if f.fatal]
    if fatal:
        what = f"the order to {spec.side.name.lower()} {spec.symbol} cannot be worked"
        raise OrderError(f"{what}: {'; '.join(fatal)}")
    return [f"{f.rule}: {f.reason}" for f in findings]
