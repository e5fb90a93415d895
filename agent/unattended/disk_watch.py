"""How long the disk lasts, at the pace at which a run records, and when it is too full for new orders."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from shutil import disk_usage

DAY_S = 86_400.0
WARN_DAYS = 7.0
MEASURED_S = 600.0
"""A pace of less is none: a session's history comes at once, at its beginning."""


@dataclass(slots=True)
class DiskWatch:
    """Of the folder ``out``; ``least_bytes`` free are left for what is at work."""

    out: Path
    least_bytes: int
    _since: tuple[float, int] | None = None  # (monotonic seconds, bytes recorded)
    _warned_days: float = field(default=2 * WARN_DAYS)

    def free_bytes(self) -> int:
        """Free for this user; of the nearest folder that is there."""
        there = next(path for path in (self.out.absolute(), *self.out.absolute().parents) if path.exists())
        return disk_usage(there).free

    def full(self) -> str:
        """Why no new order may start, or ""."""
        free = self.free_bytes()
        if free >= self.least_bytes:
            return ""
        return (
            f"the disk of {self.out} has {free / 1e9:.2f} GB left, less than unattended.least_free_mb:"
            " free some space, or move `out`"
        )

    def days_left(self, session: Path, now_s: float) -> float | None:
        """Days until it is full at the pace of this session; None where that is not known yet."""
        recorded = sum(path.stat().st_size for path in session.glob("*"))
        if self._since is None:
            self._since = now_s, recorded
        began_s, before = self._since
        if now_s - began_s < MEASURED_S or recorded <= before:
            return None
        return self.free_bytes() / ((recorded - before) / (now_s - began_s)) / DAY_S

    def warning(self, session: Path, now_s: float) -> str:
        """What to say of the time left: at a week, and each time that it has halved; "" else."""
        days = self.days_left(session, now_s)
        if days is None or days > WARN_DAYS or days > self._warned_days / 2:
            return ""
        self._warned_days = days
        return f"at this pace the disk of {self.out} is full in {days:.1f} days"
