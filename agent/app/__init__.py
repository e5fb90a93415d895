"""The composition root: the one place that builds objects and hands them to each other, and reads clocks.

``build`` makes the engine and its policies, ``live_session`` runs and records (``live`` is one session of it,
``lives`` one that died before), ``replay_session`` replays, ``importing`` imports, ``installation_checks``
tries an installation. Only command lines import this, and what is computed belongs below.
"""

from agent.app.build import algo, build_engine, check_algos, engine_settings, fingerprint, inline_policies

__all__ = ["algo", "build_engine", "check_algos", "engine_settings", "fingerprint", "inline_policies"]
