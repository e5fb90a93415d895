"""The header of a recorded session: what is known of it before its first event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.core.instrument import Instrument
from agent.core.json_types import JsonObject, int_in, object_in


@dataclass(frozen=True, slots=True)
class SessionHeader:
    """``origin`` is of a slice or a merge: what it was made of; ``imported`` what an importer did.

    ``route`` is of a session whose real orders went to a venue outside: how that venue works. ``run`` is of
    a live run: ``rotated``, that it is not the first session of its run; ``begun_ns``, when it began to start
    orders; ``began_ns``, when the market of the embedded exchange began.
    """

    session: str
    instruments: tuple[Instrument, ...]
    created_ns: int
    seed: int = 0
    config: JsonObject = field(default_factory=dict)
    fingerprint: JsonObject = field(default_factory=dict)
    clock_offsets: Mapping[str, int] = field(default_factory=dict)  # ns, by exchange id
    source: str = "live"  # or the importer's name; "merge" where several were joined
    origin: JsonObject = field(default_factory=dict)
    imported: JsonObject = field(default_factory=dict)
    route: JsonObject = field(default_factory=dict)
    run: JsonObject = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        return {
            "session": self.session,
            "created_ns": self.created_ns,
            "seed": self.seed,
            "source": self.source,
            "instruments": [i.to_json() for i in self.instruments],
            "clock_offsets": dict(self.clock_offsets),
            "fingerprint": dict(self.fingerprint),
            "config": dict(self.config),
            **({"origin": dict(self.origin)} if self.origin else {}),
            **({"import": dict(self.imported)} if self.imported else {}),
            **({"route": dict(self.route)} if self.route else {}),
            **({"run": dict(self.run)} if self.run else {}),
        }

    @classmethod
    def from_json(cls, record: JsonObject) -> SessionHeader:
        """Raises KeyError, TypeError, ValueError or ArithmeticError where something is missing or wrong."""
        instruments = record["instruments"]
        if not isinstance(instruments, list):
            raise TypeError(f"instruments are {instruments!r}, and not a list")
        found = tuple(Instrument.from_json(i) for i in instruments)
        if [i.number for i in found] != list(range(len(found))):
            raise ValueError("instruments are not numbered 0, 1, ... in their order")
        offsets = object_in(record, "clock_offsets")
        return cls(
            session=str(record["session"]),
            instruments=found,
            created_ns=int_in(record, "created_ns"),
            seed=int_in(record, "seed", 0),
            config=object_in(record, "config"),
            fingerprint=object_in(record, "fingerprint"),
            clock_offsets={exchange: int_in(offsets, exchange) for exchange in offsets},
            source=str(record.get("source", "live")),
            origin=object_in(record, "origin"),
            imported=object_in(record, "import"),
            route=object_in(record, "route"),
            run=object_in(record, "run"),
        )
