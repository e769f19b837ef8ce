"""What a user sees while a run goes on: a line per stage on stderr, with counts, progress and time left."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from transforms.progress import read

WIDE = 140
"""Columns of a table that goes to a file or a pipe: nobody folds it for us."""


def stdout_console() -> Console:
    """The console that results are printed on."""
    return Console(width=None if sys.stdout.isatty() else WIDE, soft_wrap=True, emoji=False)


class Report:
    """Prints to stderr; stdout is for the result alone. ``quiet`` keeps only warnings."""

    def __init__(self, quiet: bool = False):
        self.console = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
        self.quiet = quiet
        self.started = time.time()
        self.durations: dict[str, float] = {}

    def warn(self, message: str) -> None:
        self.console.print(f"[yellow]warning:[/] {_plain(message)}")

    def say(self, name: str, text: str) -> None:
        """A line that is no stage."""
        if not self.quiet:
            self.console.print(f"[bold]{name:<8}[/] {_plain(text)}")

    @contextmanager
    def stage(
        self, name: str, steps: dict[str, int] | None = None, progress: Path | None = None
    ) -> Iterator[Callable[[str], None]]:
        """Time a stage; the caller says in the end what came of it. ``steps``: blocks that each step will tick off."""
        said: list[str] = []
        begin = time.perf_counter()
        with self._watching(name, steps or {}, progress):
            yield said.append
        seconds = self.durations[name] = round(time.perf_counter() - begin, 3)
        if not self.quiet:
            self.console.print(f"[bold]{name:<8}[/] {_plain(' '.join(said))} [dim]({seconds:.1f} s)[/]")

    @contextmanager
    def _watching(self, name: str, steps: dict[str, int], progress: Path | None) -> Iterator[None]:
        total = sum(steps.values())
        if not total or progress is None or self.quiet:
            yield
            return
        already = read(progress)
        stop = threading.Event()
        thread = threading.Thread(target=self._watch, args=(name, steps, progress, already, stop), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _watch(
        self, name: str, steps: dict[str, int], progress: Path, already: dict[str, int], stop: threading.Event
    ) -> None:
        total, begin = sum(steps.values()), time.perf_counter()
        live = sys.stderr.isatty()
        interval = 0.2 if live else 10.0  # a log file gets a line now and then, a terminal a moving one
        while not stop.wait(interval):
            counts = read(progress)
            done = sum(min(counts[step] - already.get(step, 0), most) for step, most in steps.items())
            passed = time.perf_counter() - begin
            left = f", about {passed * (total - done) / done:.0f} s left" if done else ""
            step = next((step for step, most in steps.items() if counts[step] - already.get(step, 0) < most), "ending")
            line = f"{name:<8} {step}: {done:,} of {total:,} blocks, {passed:.0f} s{left}"
            if live:
                sys.stderr.write(f"\r\x1b[2K{line}")
                sys.stderr.flush()
            else:
                self.console.print(line, markup=False)
        if live:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()


def harmless(text: str) -> str:
    """One line in which control, bidirectional and invisible characters are written out: data must not steer the
    terminal, nor look like another name."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _plain(text: str) -> str:
    """Names from data and recipes are not markup."""
    return escape(harmless(text))
