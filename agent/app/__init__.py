"""The composition root: the one place that builds objects and hands them to each other.

``build`` makes the engine and its policies, ``live`` runs and records sessions, ``offline`` replays and
imports them, ``doctor`` checks an installation. Nothing here is imported by anything but a command line.
"""

from agent.app.build import algo, build_engine, check_algos, engine_settings, fingerprint, inline_policies

__all__ = ["algo", "build_engine", "check_algos", "engine_settings", "fingerprint", "inline_policies"]
