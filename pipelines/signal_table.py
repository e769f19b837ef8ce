"""The tables of ``gristmill signals``: a line for a signal or a source, in 80 columns or in more."""

import os
from collections.abc import Callable, Iterable

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pipelines.figures import cell, count, plain_table, share, short
from pipelines.report import harmless, stdout_console
from pipelines.rule_table import print_rule, print_rules
from pipelines.signal_measures import QUANTILES, Categories, Number
from pipelines.signals import Facts

WIDE = 96
"""Columns from which all quantiles have room beside the longest name."""
NARROW_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MOST_CATEGORIES = 12


def results_console() -> Console:
    """stdout; a pipe is as wide as COLUMNS says, where that is set."""
    console = stdout_console()
    if not console.is_terminal and os.environ.get("COLUMNS", "").isdigit():
        console.width = max(60, int(os.environ["COLUMNS"]))
    return console


def print_facts(facts: Facts, console: Console) -> None:
    """Everything that was asked for."""
    recipe = facts.job.recipe
    chosen, known = [facts.job.names[one] for one in facts.sources], len(facts.job.names)
    whose = "all sources" if len(chosen) == known else f"{', '.join(chosen)} of {known} sources"
    console.print(
        f"[bold]{escape(recipe.name)} {recipe.version}[/]: {facts.records:,} records of {escape(whose)}, "
        "before filters",
        highlight=False, soft_wrap=False,
    )  # fmt: skip
    if not facts.sample.exact:
        console.print(
            f"quantiles are of {facts.sample.size:,} rows drawn by seed and content, small sources whole; all else is "
            "exact",
            style="yellow", highlight=False, soft_wrap=False,
        )  # fmt: skip
    numbers = [one.name for one in facts.measures.signals.values() if not one.categorical]
    categories = [one.name for one in facts.measures.signals.values() if one.categorical]
    if facts.narrowed:
        for name in facts.measures.signals:
            _print_signal(facts, name, console)
    elif numbers or categories:
        if numbers:
            _print_numbers(facts, numbers, console)
        if categories:
            _print_categories("", {name: _categories(facts, name, facts.sources) for name in categories}, console)
        if numbers and len(facts.sources) > 1:
            _print_means(facts, numbers, console)
    if facts.rule is not None:
        print_rule(facts, facts.rule, console)
    elif not facts.narrowed:
        print_rules(facts, console)


def _categories(facts: Facts, name: str, sources: list[int]) -> Categories:
    found = facts.measures.of(name, sources)
    assert isinstance(found, Categories)
    return found


def _number(facts: Facts, name: str, sources: list[int]) -> Number:
    found = facts.measures.of(name, sources)
    assert isinstance(found, Number)
    return found


def _print_numbers(facts: Facts, names: list[str], console: Console) -> None:
    """All numeric signals over the chosen sources; those that say nothing in one line."""
    found = {name: _number(facts, name, facts.sources) for name in names}
    varying = {name: one for name, one in found.items() if one.rows and one.least < one.most}
    if varying:
        console.print()
        console.print(_numbers("signal", varying, console.width))
    constant = [f"{name} {short(one.most)}" for name, one in found.items() if one.rows and one.least == one.most]
    _list(console, "the same in all records:", constant)
    _list(console, "without any value:", [name for name, one in found.items() if not one.rows])


def _numbers(head: str, rows: dict[str, Number], width: int, last: Number | None = None) -> Table:
    table = plain_table()
    table.add_column(head, overflow="fold")
    shown = QUANTILES if width >= WIDE else NARROW_QUANTILES
    for column in ("rows", "mean", *(f"{100 * at:g} %" for at in shown), "max"):
        table.add_column(column, justify="right", no_wrap=True)

    def add(name: str, one: Number) -> None:
        at = dict(zip(QUANTILES, one.quantiles))
        there = Text("all", style="dim") if one.rows == one.of else Text(count(one.rows))
        figures = [cell(one.mean), *(cell(at[share]) for share in shown), cell(one.most)]
        table.add_row(escape(name), there, *(figures if one.rows else [Text("–", style="dim")] * len(figures)))

    for name, one in rows.items():
        add(name, one)
    if last is not None:
        table.add_section()
        add("all", last)
    return table


def _print_categories(head: str, rows: dict[str, Categories], console: Console) -> None:
    """Counts by value, the most frequent first, as shares of the records."""
    table = plain_table()
    table.show_header = bool(head)
    table.add_column(head, overflow="fold")
    table.add_column("", overflow="fold")
    room = console.width - max(len(name) for name in (head, *rows)) - 2
    for name, one in rows.items():
        parts = [
            Text.assemble(harmless(value), " ", (share(found, one.of), "bold"), (f" ({count(found)})", "dim"))
            for value, found in list(one.counts.items())[:MOST_CATEGORIES]
        ]
        more = len(one.counts) - MOST_CATEGORIES
        table.add_row(escape(name), _filled(parts + ([Text(f"and {more:,} more")] if more > 0 else []), room))
    if not head:
        console.print()
    console.print(table)


def _filled(parts: list[Text], room: int) -> Text:
    """Pieces in lines of ``room`` cells; none is broken that fits a line."""
    lines: list[Text] = []
    for part in parts:
        if lines and lines[-1].cell_len + 2 + part.cell_len <= room:
            lines[-1] = Text.assemble(lines[-1], "  ", part)
        else:
            lines.append(part)
    return Text("\n").join(lines)


def _print_signal(facts: Facts, name: str, console: Console) -> None:
    """One signal, a line for each source."""
    names = facts.job.names
    console.print()
    console.print(f"[bold]{escape(name)}[/]", highlight=False)
    if facts.measures.signals[name].categorical:
        counted = {names[one]: _categories(facts, name, [one]) for one in facts.sources}
        if len(facts.sources) > 1:
            counted["all"] = _categories(facts, name, facts.sources)
        _print_categories("source", counted, console)
    else:
        measured = {names[one]: _number(facts, name, [one]) for one in facts.sources}
        total = _number(facts, name, facts.sources) if len(facts.sources) > 1 else None
        console.print(_numbers("source", measured, console.width, total))


def _print_means(facts: Facts, names: list[str], console: Console) -> None:
    """Means of the signals that tell sources apart, sources beside each other: who differs is seen at a glance."""
    found = {name: {one: _number(facts, name, [one]) for one in facts.sources} for name in names}
    found = {name: by_source for name, by_source in found.items() if _spread(by_source.values())}
    if not found:
        return
    console.print()
    console.print(
        "[bold]means by source[/], of signals that tell them apart; --source NAME, --signal NAME show more",
        highlight=False, soft_wrap=False,
    )  # fmt: skip
    room = console.width - max(len(name) for name in found) - 1
    for part in _chunks(facts.sources, lambda one: max(5, len(facts.job.names[one])) + 1, room):
        table = plain_table()
        table.add_column("signal", no_wrap=True)
        for one in part:
            table.add_column(escape(facts.job.names[one]), justify="right", overflow="fold")
        for name, by_source in found.items():
            table.add_row(escape(name), *(cell(by_source[one].mean) for one in part))
        console.print(table)


def _spread(sources: Iterable[Number]) -> bool:
    """Whether more than a twentieth of some source's records have another value than the others have."""
    at = [QUANTILES.index(share) for share in (0.05, 0.95)]
    return len({one.quantiles[place] for one in sources if one.rows for place in at}) > 1


def _chunks(sources: list[int], width: Callable[[int], int], room: int) -> list[list[int]]:
    parts: list[list[int]] = [[]]
    left = room
    for one in sources:
        if parts[-1] and width(one) > left:
            parts.append([])
            left = room
        parts[-1].append(one)
        left -= width(one)
    return parts


def _list(console: Console, head: str, names: Iterable[str]) -> None:
    said = ", ".join(name.replace(" ", "\u00a0") for name in names)
    if said:
        console.print(f"[dim]{head} {escape(said)}[/]", highlight=False, soft_wrap=False)
