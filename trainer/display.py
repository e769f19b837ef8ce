"""What a person sees of a run: a bar in a terminal, and elsewhere a line now and then."""

import time
from collections.abc import Sequence
from typing import Any

EVERY = 30.0  # seconds between two lines of progress where there is no terminal
WIDE = 120  # columns from which on there is room for the bar itself


class Display:
    """``quiet``: only what is said, on stdout; else all on stderr. Close it, or the terminal's cursor stays hidden."""

    def __init__(self, steps: int, start: int, quiet: bool, console: Any = None) -> None:
        self._steps, self._quiet = steps, quiet
        self._last: float | None = None  # when a line was printed
        self._bar: Any = None
        if quiet:
            return
        from rich.console import Console

        self._console = console or Console(stderr=True)
        if self._console.is_terminal:
            self._bar, self._task = _bar(self._console, steps, start)

    def update(self, step: int, pieces: Sequence[str], seconds: float) -> None:
        """After a step. ``pieces``: what to tell, the most important first; ``seconds`` that a step takes."""
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.update(self._task, completed=step, told=self._fitting(pieces))
            return
        now = time.monotonic()
        if self._last is None or now - self._last >= EVERY:
            self._last = now
            left = _clock(seconds * (self._steps - step))
            self.say(" · ".join([f"step {step:,} of {self._steps:,}", *pieces, f"about {left} left"]))

    def say(self, text: str) -> None:
        """A line for people, above the bar."""
        if self._quiet:
            print(text, flush=True)
        else:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _fitting(self, pieces: Sequence[str]) -> str:
        """As many as leave room for the step and the time that is left."""
        width = int(self._console.width)
        room = width - len(f"step {self._steps}/{self._steps} 00:00:00  ") - (21 if width >= WIDE else 0)
        told = ""
        for piece in pieces:
            longer = f"{told} · {piece}" if told else piece
            if len(longer) > room:
                break
            told = longer
        return told


def _bar(console: Any, steps: int, start: int) -> tuple[Any, Any]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    def narrow() -> Column:
        return Column(no_wrap=True)

    columns = [
        TextColumn("step", table_column=narrow()),
        MofNCompleteColumn(table_column=narrow()),
        TimeRemainingColumn(elapsed_when_finished=True, table_column=narrow()),
        TextColumn("{task.fields[told]}", table_column=narrow()),
    ]
    if console.width >= WIDE:
        columns.insert(2, BarColumn(bar_width=20))
    bar = Progress(*columns, console=console)
    bar.start()
    return bar, bar.add_task("train", total=steps, completed=start, told="")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,}:{minutes:02}:{rest:02}"
