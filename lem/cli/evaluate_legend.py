"""What the columns of the evaluation's tables mean, in a line each, for the columns that are shown."""

from __future__ import annotations

from lem.evaluation.evaluation_document import EvaluationDocument
from lem.optima.risk_optimum import MAX_AVERSION


def legend(document: EvaluationDocument, fraction: str) -> list[str]:
    """Lines for a reader who sees the tables for the first time."""
    impact = f"{100.0 * document['impact_participation']:g} %"
    real = "market" not in document
    rows = document["rows"]
    lines = [
        "gain: the order's own price against the benchmark over the window used; above 0 is good for both",
        "m: no order may end before so many intervals; m = n is a fixed horizon, where low |slip| is the aim",
        f"bound: mean gain of {document['bound_is']}; {fraction}: mean gain / bound",
        "rule: stops when the bound's policy does, trades evenly before; dump: stops with it, all at once",
        "less ...: the model's gain less that rule's on the same orders, ± half of the 95 % interval",
        "curve: along the volume expected by a static curve; A-C: Almgren and Chriss at risk aversion"
        f" {document['risk_aversion']:g}, expected participation {impact}; both trade to the end",
        f"net: gain less square-root impact at {impact} of the volume, and so for every rule beside it",
    ]
    if any("regret" in row for row in rows):
        lines.append("regret: part of the bound kept, from what each stop gives up: no noise of prices in it")
    if any("impact" in row for row in rows):
        averse = min(document["risk_aversion"], MAX_AVERSION)
        alone = ", of an order judged on its benchmark alone" if document["arrival_weight"] else ""
        lines.append(
            f"of optimum: the part of what the exact optimum at risk aversion {averse:g} adds to twap,"
            f" net{alone}; of neutral: of what the exact optimum of the mean alone adds"
        )
    if document["arrival_weight"] or real:
        lines.append(
            "arrival: gain against the price before the order: 0 on average for anyone on a martingale"
        )
    if any(row["arrival_fraction"] is not None for row in rows):
        lines.append("of best: the part of the most that anyone could gain against arrival here")
    if real:
        lines.append("95 % intervals: moving-block bootstrap in order of time, the same for every rule")
    return lines


def made_of(document: EvaluationDocument) -> list[str]:
    """The volume curve, bootstrap and data behind one evaluation's numbers."""
    line = f"volume curve: {document['volume_curve']}"
    if "bootstrap_block_orders" in document:
        line += f"; {document['bootstrap_block_orders']} orders a block of the bootstrap"
    return [f"{line}; data {document['data_digest']}"]
