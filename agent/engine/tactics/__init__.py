"""Tactics: how an interval's slice becomes child orders. One file each, named in ``tactic_registry``."""
