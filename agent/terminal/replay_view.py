"""A replay as a person sees it: how far it is, on stderr when that is a terminal, and what it came to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from agent.entry import log_lines
from agent.entry.long_work import LongWork

if TYPE_CHECKING:
    from agent.replay import ReplayResult

PREPARING = "preparing the replay (first use compiles for this processor)"
STEP_S = 0.1
"""Between two redraws: a batch takes a millisecond, drawing takes longer."""


@contextmanager
def replay_progress(
    monotonic: Callable[[], float], console: Console | None = None
) -> Iterator[Callable[[int, int], None]]:
    """Yield what takes the rows so far and the rows of the session (0: not known). ``monotonic``: seconds."""
    console = console or Console(stderr=True, markup=False)
    columns = (
        TextColumn("replaying", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("rows", markup=False),
        TimeRemainingColumn(),
    )
    if log_lines.asked_for_json() or not console.is_terminal:
        with LongWork(PREPARING) as work:
            yield lambda done, total: _told(work, done, total)
        return
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("replaying", total=None)
        next_s = 0.0

        def progress(done: int, total: int) -> None:
            nonlocal next_s
            if (now_s := monotonic()) >= next_s:
                next_s = now_s + STEP_S
                bar.update(task, completed=done, total=total or None)

        yield progress


def _told(work: LongWork, done: int, total: int) -> None:
    work.now("replaying, in rows")
    work.at(done, total)


def render_replay(result: ReplayResult, console: Console) -> None:
    """Print what a replay did, and whether it gave the recorded result."""
    rate = f"{result.events:,} events in {result.seconds:.2f} s, {result.events_per_s:,.0f} a second"
    console.print(Text(f"replayed {rate}"))
    console.print(Text(f"digest   {result.digest}"))
    if result.recorded_digest is not None:
        console.print(Text(f"recorded {result.recorded_digest}"))
    if result.match is True and result.cut_off:
        console.print(Text("identical as far as it was recorded; the session was cut off there", "green"))
    elif result.match is True:
        console.print(Text("identical to the recorded run: every decision, order and fill", "green"))
    elif result.match is False:
        console.print(Text(f"DIFFERENT from the recorded run: {result.difference}", "bold red"))
    for loss in result.losses:
        console.print(Text(f"lost: {loss}", "yellow"))
