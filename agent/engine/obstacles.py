"""Why a child order was not filled, as a phrase without values, so that equal causes can be counted."""

from __future__ import annotations

import re

from agent.core.orders.child_order import ChildOrder
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
    without_values = [w for w in child.reason.split() if not w[:1].isdigit()]
    return f"rejected by the venue: {' '.join(without_values)}"
