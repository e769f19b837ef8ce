"""A release's tables for the terminal, from its manifest."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipelines.open_release import open_manifest
from pipelines.report import stdout_console


def show(release: Path, console: Console | None = None) -> None:
    """Print sources by stage and, if there is a mix, asked against got."""
    manifest = open_manifest(release)
    console = console or stdout_console()
    names = list(next(iter(manifest.sources.values())).stages)
    table = _table(f"{manifest.name} {manifest.version}: rows left after each stage", ["source", "quarantined", *names])
    for name, one in manifest.sources.items():
        table.add_row(escape(name), f"{one.quarantined:,}", *(f"{one.stages[stage].rows:,}" for stage in names))
    table.add_section()
    totals = [sum(one.stages[stage].rows for one in manifest.sources.values()) for stage in names]
    bad = sum(one.quarantined for one in manifest.sources.values())
    table.add_row("all", f"{bad:,}", *(f"{total:,}" for total in totals))
    console.print(table)
    if manifest.mix:
        all_got = sum(row.got for row in manifest.mix) or 1
        table = _table(
            f"mix in {manifest.mix_unit}: asked and got", ["source", "share", "asked", "available", "got", "of all"]
        )
        for row in manifest.mix:
            table.add_row(
                escape(row.source), f"{row.share:.1%}", f"{row.asked:,}", f"{row.available:,}", f"{row.got:,}",
                f"{row.got / all_got:.1%}",
            )  # fmt: skip
        console.print(table)
    splits = ", ".join(f"{name} {one.rows:,}" for name, one in manifest.splits.items())
    console.print(f"splits: {splits}; release digest {manifest.release_digest[:16]}…", highlight=False)


def _table(title: str, columns: list[str]) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1), header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column.replace("_", " "), justify="left" if number == 0 else "right")
    return table
