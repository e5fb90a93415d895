"""The one error tree. Ours and the world's are different branches, because only ours stop a run.

    AgentError
    ├── InputError            what the user gave is wrong                          exit 2
    │   ├── ConfigError       ... in the configuration
    │   ├── OrderError        ... in a parent order
    │   ├── SessionError      ... a recorded session that cannot be used
    │   │   └── NoOrderError  ... it holds no order, and none was given
    │   └── CheckpointError   ... a model file that cannot be used
    ├── OutsideError          the outside world failed                             exit 3
    │   ├── ExchangeError     exchange unreachable, or lacking a capability
    │   ├── DatabaseError     database locked, read-only, newer than this program
    │   └── RecordingError    the session cannot be written (disk full, ...)
    └── InternalError         we broke a rule of our own: the run stops            traceback
        └── TransitionError   a state machine was given an event its table lacks

Every message is one sentence that names the value, what is allowed and what to do.
"""

from __future__ import annotations


class AgentError(Exception):
    """Base of every error this program raises on purpose. ``exit_code`` is the process's."""

    exit_code = 1


class InputError(AgentError):
    exit_code = 2


class ConfigError(InputError):
    pass


class OrderError(InputError):
    symbol: str | None = None
    """The market that cannot be traded, where it is that."""


class SessionError(InputError):
    pass


class NoOrderError(SessionError):
    pass


class CheckpointError(InputError):
    pass


class OutsideError(AgentError):
    exit_code = 3


class ExchangeError(OutsideError):
    pass


class DatabaseError(OutsideError):
    pass


class RecordingError(OutsideError):
    pass


class InternalError(AgentError):
    pass


class TransitionError(InternalError):
    pass
