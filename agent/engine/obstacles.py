"""Why a child order was not filled, as a phrase without values, so that equal causes can be counted."""

from __future__ import annotations

import re

from agent.core.orders.child_order import ChildOrder
from agent.core.orders.risk import Refusal
from agent.core.types import ChildState, TimeInForce

_RULE = re.compile(r"\((venue\.[a-z_.]+|bars\.[^)]+)")
"""A venue names the rule it refused by as a key of the configuration, in brackets."""


def obstacle(child: ChildOrder) -> str:
    """What the venue had against a child, without values, so that alike ones are counted together; or ""."""
    named = _RULE.search(child.reason)
    if named and child.state in (ChildState.REJECTED, ChildState.EXPIRED):
        return f"the venue's rule {named[1]}"
    if child.state is not ChildState.REJECTED or child.tif is TimeInForce.POST_ONLY:
        return ""  # a post-only order that came too late is sent again
    return f"rejected by the venue: {without_values(child.reason)}"


def refused(refusal: Refusal) -> str:
    """What our own rules had against a child: the rule and the key that holds its limit."""
    return f"refused by risk: {refusal.rule}" + (f" ({refusal.key})" if refusal.key else "")


def without_values(reason: str) -> str:
    """A reason without its numbers, so that alike ones are counted together."""
    return " ".join(word for word in reason.split() if not word.lstrip("(-").replace(",", "")[:1].isdigit())
