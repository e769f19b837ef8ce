"""``gristmill engines``: which engines are ready here, what each lacks, and what each sets of Beam's options."""

import os

from rich.markup import escape
from rich.table import Table

from pipelines.engines.checks import lacking
from pipelines.engines.facts import plain
from pipelines.engines.profiles import PROFILES
from pipelines.report import stdout_console


def engines(parallelism: int | None = None) -> None:
    """Print the table. Endpoints that are named by the environment are asked whether they answer."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for column in ("engine", "ready here", "runner", "Beam options set", "proven"):
        table.add_column(column, overflow="fold")
    for name, made in PROFILES.items():
        profile = made(os.cpu_count() or 1, parallelism)
        without = lacking(profile)
        options = "\n".join(f"--{option}={value}" for option, value in plain(profile.options()).items())
        proven = "by tests" if profile.proven else "no: never run"
        table.add_row(name, escape(f"no: {without}") if without else "yes", profile.runner, escape(options), proven)
    stdout_console().print(table)
