"""What rules drop, on the terminal: all rules in a table, or one with its curve and examples."""

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pipelines.figures import count, plain_table, share, short
from pipelines.report import harmless
from pipelines.rule_drops import Drops
from pipelines.rule_examples import Example, shortened
from pipelines.signals import Facts, RuleFacts

EXAMPLE_LINES = 3  # of each text
NARROW = 96
ID = 16  # hex digits: gristmill why takes the beginning of an id


def print_rules(facts: Facts, console: Console) -> None:
    """Each rule of the recipe's filters; those that drop nothing in one line."""
    drops, sources = facts.drops, facts.sources
    table = plain_table()
    for name, justify in (("rule", "left"), ("bound", "right"), ("alone", "right"), ("first", "right"),
                          ("share", "right"), ("most from", "left")):  # fmt: skip
        table.add_column(name, justify="right" if justify == "right" else "left", no_wrap=name != "most from")
    idle = []
    for rule, threshold in drops.thresholds.items():
        if not drops.by_itself(rule, sources):
            idle.append(rule)
            continue
        table.add_row(
            escape(rule), short(threshold), f"{drops.by_itself(rule, sources):,}",
            f"{drops.decides(rule, sources):,}", share(drops.by_itself(rule, sources), facts.records),
            _most_from(facts, drops, rule, 2 if console.width < NARROW else 4),
        )  # fmt: skip
    console.print()
    console.print(
        f"[bold]the recipe's filters[/] would drop {drops.all(sources):,} records "
        f"({share(drops.all(sources), facts.records)}): alone: by itself; first: as the first that does",
        highlight=False, soft_wrap=False,
    )  # fmt: skip
    if table.row_count:
        console.print(table)
    if idle:
        console.print(f"[dim]drop nothing: {escape(', '.join(idle))}[/]", highlight=False, soft_wrap=False)
    if drops.thresholds:
        console.print(
            "[dim]--rule FILTER.RULE shows one with examples, --threshold X what another bound would drop[/]",
            highlight=False, soft_wrap=False,
        )  # fmt: skip


def _most_from(facts: Facts, drops: Drops, rule: str, most: int) -> str:
    by_source = sorted(
        ((drops.alone[rule, one], facts.job.names[one]) for one in facts.sources), key=lambda one: (-one[0], one[1])
    )
    found = [f"{escape(name)} {count(number)}" for number, name in by_source if number]
    return ", ".join(found[:most]) + (f" +{len(found) - most}" if len(found) > most else "")


def print_rule(facts: Facts, rule: RuleFacts, console: Console) -> None:
    """One rule at one threshold: by source, its curve, and records on both sides."""
    inspected = rule.inspected
    console.print()
    console.print(_sentence(rule), highlight=False, soft_wrap=False)
    console.print(_sources(facts, rule))
    if rule.spared:
        side = "above" if rule.falls else "below"
        console.print(
            f"[dim]{rule.spared:,} record{'s' * (rule.spared != 1)} {side} {short(inspected.threshold)} "
            f"stay{'s' * (rule.spared == 1)}: the rule asks for more than its bound[/]",
            highlight=False, soft_wrap=False,
        )  # fmt: skip
    if len(rule.curve.settings) > 1:
        _print_curve(facts, rule, console)
    titles = {"just dropped": "dropped, nearest the bound", "just kept": "kept, nearest the bound",
              "drawn": "dropped, drawn by chance from the others"}  # fmt: skip
    for name, examples in rule.examples.items():
        if examples:
            title = titles[name] if len(rule.examples) > 1 else "dropped, drawn by chance"
            console.print(f"\n[bold]{title}[/]", highlight=False)
            for one in examples:
                _print_example(one, console)


def _sentence(rule: RuleFacts) -> str:
    inspected = rule.inspected
    head = f"[bold]{escape(inspected.rule)}[/]"
    if inspected.setting is None:
        return f"{head} has no other threshold: no setting moves it"
    side = "at" if rule.falls is None else "drops what lies above" if rule.falls else "drops what lies below"
    said = f"{head} {side} [bold]{inspected.threshold:g}[/]"
    if inspected.own is None:
        said += ", which the recipe does not set"
    elif inspected.own != inspected.threshold:
        said += f"; the recipe has {inspected.own:g}"
    return f"{said} [dim]({escape(inspected.place)})[/]"


def _sources(facts: Facts, rule: RuleFacts) -> Table:
    """By source: what it would drop, by itself and as the first; beside it what it drops as the recipe has it."""
    inspected, names = rule.inspected, facts.job.names
    now, then = rule.drops.looked, rule.drops.recipe
    both = inspected.own is not None and inspected.own != inspected.threshold
    table = plain_table()
    table.add_column("source", overflow="fold")
    table.add_column("records", justify="right")
    for at in ([inspected.own] if both else []) + [inspected.threshold]:
        head = f" at {at:g}" if both and at is not None else ""
        for name in ("alone", "share", "first"):
            table.add_column(f"{name}{head}" if name == "alone" else name, justify="right")

    def add(name: str, sources: list[int]) -> None:
        records = sum(facts.sample.rows[one] for one in sources)
        cells = [escape(name), f"{records:,}"]
        for drops in ([then] if both else []) + [now]:
            found = drops.by_itself(inspected.rule, sources)
            cells += [f"{found:,}", share(found, records), f"{drops.decides(inspected.rule, sources):,}"]
        table.add_row(*cells, style="" if now.by_itself(inspected.rule, sources) else "dim")

    for one in facts.sources:
        add(names[one], [one])
    if len(facts.sources) > 1:
        table.add_section()
        add("all", facts.sources)
    total = f"{then.all(facts.sources):,}"
    if now.all(facts.sources) != then.all(facts.sources):
        total = f"{now.all(facts.sources):,} instead of {total}"
    table.caption, table.caption_justify = f"all filters together: {total}", "left"
    return table


def _print_curve(facts: Facts, rule: RuleFacts, console: Console) -> None:
    """Dropped share by threshold, as bars; thresholds are deciles of what is measured."""
    console.print("\n[bold]what other bounds would drop[/]", highlight=False)
    table = plain_table()
    for name in ("bound", "dropped", "share"):
        table.add_column(name, justify="right")
    table.add_column("")
    room, most = max(10, min(40, console.width - 40)), max(1, *rule.curve.dropped.values())
    for at in rule.curve.settings:
        dropped = rule.curve.dropped[at]
        bar = "█" * round(room * dropped / most) or ("▏" if dropped else "")
        mine = at == rule.inspected.threshold
        table.add_row(
            f"{at:g}", f"{dropped:,}", share(dropped, facts.records), Text(f"{bar} ←" if mine else bar),
            style="bold" if mine else "dim",
        )  # fmt: skip
    console.print(table)


def _print_example(one: Example, console: Console) -> None:
    value = f"{one.value:.6g}" if np.isfinite(one.value) else "no value"
    turns = "" if one.turns == 1 else f"  {one.turns} answers, the last:"
    console.print(
        f"[bold]{value}[/]  {escape(one.source)}  {escape(harmless(one.place))}  [dim]{one.id[:ID]}{turns}[/]",
        highlight=False,
    )  # fmt: skip
    texts = Table.grid(padding=(0, 1, 0, 0))
    texts.add_column()
    texts.add_column(overflow="fold")
    room = EXAMPLE_LINES * (console.width - 6)
    for role, text in (("Q", one.prompt), ("A", one.answer)):
        shown = shortened(text, _fitting(text, room)) if text else "(blank)"
        texts.add_row(Text(f"  {role}", style="dim"), Text(shown, style="" if text else "dim"))
    console.print(texts)


def _fitting(text: str, cells: int) -> int:
    """How many characters fill so many cells: a Chinese one fills two."""
    beginning = Text(text[:cells])
    return max(40, int(cells * len(beginning) / max(1, beginning.cell_len)) - 8)
