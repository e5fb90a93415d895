"""How the page names things: strategies with their looks, measures with a line for newcomers."""

from __future__ import annotations

from dataclasses import dataclass

from agent.pages.markup import Markup, join, tag
from agent.pages.plot import swatch

DASHES = {"-": "", "--": "6 4", ":": "1.5 3", "-.": "7 3 1.5 3"}


@dataclass(frozen=True, slots=True)
class Look:
    """``label`` in words; ``colour`` a variable of the page; matplotlib's line ``style`` and ``marker``."""

    label: str
    colour: str
    style: str
    marker: str


LOOKS = {
    "lem": Look("the model", "s-lem", "-", "o"),
    "bound": Look("the bound", "s-bound", "--", ""),
    "programme": Look("the exact optimum", "s-bound", "--", "D"),
    "optimal_impact": Look("optimum of the mean, with impact", "s-impact", "-", "P"),
    "optimal_risk": Look("optimum at this risk aversion", "s-bound", "--", "D"),
    "optimal_stopping": Look("even until the optimal stop", "s-stop", "-", "s"),
    "dump": Look("all at the optimal stop", "s-dump", "-", "v"),
    "twap": Look("TWAP", "s-twap", ":", "D"),
    "vwap_curve": Look("VWAP curve", "s-curve", "-.", "^"),
    "almgren_chriss": Look("Almgren-Chriss", "s-ac", "--", "X"),
}

GLOSSARY = {
    "gain": "What the order's average price is better than its benchmark's over the time it took, in basis"
    " points (1 bps = 0.01 %); positive is good for buyer and seller alike. It is the value of an option,"
    " to stop the clock while ahead, and exists on a market nobody can predict.",
    "n, m": "n is the longest an order may take, m the least it must take, both in intervals. With m = n the"
    " order has no option: there the aim is a small absolute slippage.",
    "fixed quantity, fixed notional": "The order is a number of units, or an amount of money.",
    "VWAP, TWAP": "The benchmark: the market's average price weighted by volume, or the plain average of the"
    " intervals' prices.",
    "standard deviation, P5 to P95": "How much the gain differs from order to order; a twentieth of"
    " the orders are below P5 and a twentieth above P95.",
    "95 % interval": "Where the mean would lie in nineteen repetitions of twenty. On simulated walks noise"
    " of known mean is taken out (control variates); on real bars blocks of neighbouring orders are"
    " resampled (block bootstrap).",
    "bound": "The most that any policy without foresight can gain on average, computed exactly by dynamic"
    " programming for a driftless market of the data's volatility. Real markets are not exactly that, so"
    " a fraction above 1 is possible on them.",
    "fraction of the bound": "Mean gain divided by the bound.",
    "kept by regret": "The bound less what the model's choices of when to stop give up, each judged exactly:"
    " the fraction again, without the noise of prices.",
    "sigma": "Volatility: the standard deviation of the price's relative move in an interval.",
    "impact": "What the order's own trading moves the price against it, by the square-root law at the stated"
    " participation (the order as a share of the market's volume in n intervals).",
    "gain after impact": "Gain less impact.",
    "|slippage|": "Mean of the absolute difference from the benchmark: the risk of missing it either way.",
    "arrival gain": "The gain against the price when the order arrived: money saved, in anybody's books. On a"
    " market nobody can predict its mean is zero for every strategy.",
    "even until the optimal stop": "Trades 1/n an interval and stops by the exact rule. Knows sigma on a"
    " simulated walk; elsewhere it estimates it as the model must.",
    "all at the optimal stop": "Waits, and trades everything when the exact rule stops: the same mean, with"
    " far more risk and impact.",
    "exact optimum": "The policy that minimises the order's own objective (see risk aversion) on the"
    " simulated market, by dynamic programming: no policy is left of and above its frontier in that measure.",
    "TWAP": "Trades 1/n an interval to the end.",
    "VWAP curve": "Trades along the usual volume of the time of day to the end.",
    "Almgren-Chriss": "The classical schedule that weighs impact against the risk of waiting.",
    "optimum of the mean, with impact": "The policy with the most gain after impact on average, whatever the"
    " risk, by dynamic programming.",
    "optimum at this risk aversion": "The exact optimum of the orders' own risk aversion (100 at most):"
    " with less risk than the optimum of the mean, and so less gain.",
    "risk aversion": "The order's own weight (lambda) on losses: it minimises the mean of cost + lambda times"
    " the square of the cost where that is a loss, cost in units of sigma times the root of n.",
}


def look(name: str) -> Look:
    return LOOKS.get(name, Look(name.replace("_", " "), "soft", "-", "o"))


def legend(names: list[str]) -> Markup:
    """A list of line, mark and name."""
    rows = []
    for name in names:
        one = look(name)
        rows.append(tag("li", swatch(one.colour, DASHES[one.style], one.marker), one.label))
    return tag("ul", *rows, class_="legend")


def glossary() -> Markup:
    terms = [join(tag("dt", term), tag("dd", meaning)) for term, meaning in GLOSSARY.items()]
    return tag("dl", *terms, class_="terms")


TARGETS = {"quantity": "fixed quantity", "notional": "fixed notional"}


def scenario(row: dict[str, object]) -> str:
    """As in "buy, fixed quantity, against VWAP"."""
    kind = TARGETS.get(str(row.get("target_kind")), str(row.get("target_kind")))
    return f"{row.get('side')}, {kind}, against {str(row.get('benchmark')).upper()}"
