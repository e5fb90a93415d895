"""The features by name, in the order of their rows. New ones: a name here, a formula in ``feature_formulas``.

Formulae find their row by name, so a name may stand anywhere. A model knows the features of one version only.
"""

from __future__ import annotations

from agent.core.market.signal_kernel import SIGNALS

FEATURE_VERSION = 4
"""Goes up with every change of a name, a formula or the order: a checkpoint of another is refused."""

FEATURE_NAMES = (
    "return_vwap",  # log return of the interval's price / sigma
    "return_close",  # log return of the close / sigma
    "close_to_vwap",  # where the interval closed against its own average / sigma
    "range",  # high - low / sigma
    "close_location",  # close within [low, high], -1 .. 1
    "volatility_short",  # log of realised volatility over 8 against 32 bars
    "volatility_long",  # log10 sigma, centred on 10 bps an interval
    "momentum_2",
    "momentum_8",
    "momentum_32",  # log return over k bars / (sigma sqrt k)
    "distance_8",
    "distance_32",  # log close - mean log vwap over k bars / (sigma sqrt k)
    "autocorrelation",  # of returns at lag one over 32 bars
    "variance_ratio",  # log of the variance of 8-bar returns against 8 times that of one-bar returns
    "volume",  # log of volume against its mean over 32 bars
    "trades",  # log of the trade count against its mean over 32 bars
    "taker",  # taker imbalance, -1 .. 1
    "taker_8",  # the same over 8 bars
    "spread",  # log of spread against sigma
    "touch_imbalance",
    "microprice",  # microprice - mid / sigma
    "depth",  # log of depth within the band against mean volume
    "depth_imbalance",
    "day_sin",
    "day_cos",
    "week_sin",
    "week_cos",
    "log_delta",  # log10 of the interval's seconds, centred on 100 s
    *(f"{signal}_{worth}" for signal in SIGNALS for worth in ("edge", "call")),  # of signal_kernel
)

FEATURE_GROUPS = {
    "volume": ("volume", "trades"),
    "taker": ("taker", "taker_8", "taker_edge", "taker_call"),
    "book": (
        *("spread", "touch_imbalance", "microprice", "depth", "depth_imbalance"),
        *("book_edge", "book_call"),
    ),
}
"""Sources that may be missing together; training drops them at random."""

ROW = {name: row for row, name in enumerate(FEATURE_NAMES)}

_SIGNAL_LABELS = {
    "momentum": "momentum",
    "reversion": "reversion to the mean",
    "taker": "taker flow",
    "book": "book imbalance",
}
_WORTH_LABELS = {"edge": "how well {} has told", "call": "what {} tells now"}
_LABELS = {
    "return_vwap": "move of the average price",
    "return_close": "last move",
    "close_to_vwap": "close against the bar's VWAP",
    "range": "high-low range",
    "close_location": "where in its range it closed",
    "volatility_short": "volatility of late against usual",
    "volatility_long": "volatility",
    "momentum_2": "2-bar momentum",
    "momentum_8": "8-bar momentum",
    "momentum_32": "32-bar momentum",
    "distance_8": "distance from the 8-bar mean",
    "distance_32": "distance from the 32-bar mean",
    "autocorrelation": "autocorrelation of returns",
    "variance_ratio": "trend against reversal (variance ratio)",
    "volume": "volume against usual",
    "trades": "number of trades against usual",
    "taker": "taker imbalance",
    "taker_8": "8-bar taker imbalance",
    "spread": "bid-ask spread",
    "touch_imbalance": "imbalance at the touch",
    "microprice": "microprice against mid",
    "depth": "book depth",
    "depth_imbalance": "imbalance of book depth",
    "day_sin": "time of day (sine)",
    "day_cos": "time of day (cosine)",
    "week_sin": "day of week (sine)",
    "week_cos": "day of week (cosine)",
    "log_delta": "length of the interval",
    **{
        f"{signal}_{worth}": words.format(_SIGNAL_LABELS[signal])
        for signal in SIGNALS
        for worth, words in _WORTH_LABELS.items()
    },
}


def feature_label(name: str) -> str:
    """A feature as a trader calls it; the name itself where it is no feature of this version."""
    return _LABELS.get(name, name)


def forecast_label(name: str) -> str:
    """8-bar momentum, 8 bars ahead: of ``momentum_8_8_ahead``."""
    feature, _, bars = name.removesuffix("_ahead").rpartition("_")
    if not (feature and bars.isdecimal() and name.endswith("_ahead")):
        return name
    return f"{feature_label(feature)}, {bars} bar{'s' if bars != '1' else ''} ahead"
