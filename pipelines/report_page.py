"""``report.html``: one page for people, from the manifest alone. No scripts, nothing from outside, the same bytes for
the same manifest.

Charts are SVG whose lengths are percentages, so that they fit a phone and a sheet of paper; every text is HTML beside
them. Each chart's figures stand beside it or in a table below, so nothing is told by colour alone.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from pipelines.report import harmless
from schemas.manifest import LengthRow, Manifest
from transforms.release import stage_of

MOST_FILES = 200
"""Files shown of a source and of the release: beyond that the manifest is the better list."""


@dataclass(frozen=True)
class StageLook:
    """How a stage is shown."""

    label: str
    colour: str
    said: str


# Colours of Okabe and Ito (Color Universal Design, 2008), told apart with any kind of colour vision; kept is darkest.
KEPT = "#0b3c5d"
LOOKS = {
    "filter": StageLook("Filters", "#D55E00", "broken, or not what the recipe asks for"),
    "exact_dedup": StageLook("Exact duplicates", "#E69F00", "the same text as a record that stays"),
    "near_dedup": StageLook("Near duplicates", "#F0E442", "almost the same text as a record that stays"),
    "decontaminate": StageLook("Benchmark items", "#CC79A7", "holds an item of a benchmark"),
    "balance": StageLook("Length balance", "#56B4E9", "of a length that there is more than enough of"),
    "diversity": StageLook("Diversity", "#009E73", "too like others in wording, meaning or cluster"),
    "best": StageLook("Best", "#8c8c8c", "beyond the budget, or too near a better record"),
    "mix": StageLook("Mix", "#c9c9c9", "more than the source's share of the mix"),
}

MEASURES = {
    "verb_noun_coverage": ("verb and noun found", "share of the prompts"),
    "verb_noun_pairs": ("pairs of verb and noun", "different ones"),
    "verb_noun_entropy": ("entropy of verb and noun", "bits"),
    "cluster_entropy": ("evenness of clusters", "1: all equally large"),
    "clusters_used": ("clusters used", ""),
    "vendi": ("Vendi score", "effective number of prompts"),
    "opening_top_1": ("commonest opening", "share of the prompts"),
    "opening_top_10": ("ten commonest openings", "share of the prompts"),
    "opening_entropy": ("evenness of openings", "1: all equally frequent"),
}


@dataclass(frozen=True)
class Flow:
    """Where the records of one source, or of all, went."""

    name: str
    records: int
    quarantined: int
    kept: int
    released: int
    dropped: dict[str, int]  # by stage, in their order
    words: tuple[float, float]  # mean words a record: read, released


def write_report(manifest: Manifest, path: Path) -> None:
    """Write the page of a release whose manifest has everything but the page itself."""
    path.write_text(render(manifest), encoding="utf-8")


def render(manifest: Manifest) -> str:
    """The page. Whatever comes from data or recipe is escaped, and what cannot be seen is written out."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
        finalize=_visible,
    )
    environment.filters |= {
        "number": lambda value: f"{value:,}",
        "short": short,
        "percent": percent,
        "size": size,
        "decimal": lambda value: f"{value:,.4f}".rstrip("0").rstrip("."),
        "x": lambda value: Markup(f"{min(max(value, 0), 1) * 100:.3f}%"),
        "name": lambda value: value.replace("_", " "),
    }
    flows = [_flow(manifest, name) for name in manifest.sources]
    stages = [stage for stage in LOOKS if _asked(manifest, stage, flows)]
    total = _total(flows)
    rules = _rules(manifest)
    return environment.get_template("report.html.j2").render(
        manifest=manifest,
        recipe=_lines(orjson.dumps(manifest.recipe, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode()),
        looks=LOOKS,
        kept_colour=KEPT,
        most_files=MOST_FILES,
        flows=flows,
        total=total,
        stages=stages,
        steps=_waterfall(total, stages),
        rules=rules,
        most_dropped=max((count for _, _, count, _ in rules), default=0),
        rows=sum(one.rows for one in manifest.splits.values()),
        sizes={name: _sum(manifest, name) for name in ("words", "tokens", "supervised_tokens")},
        lengths=_lengths(manifest),
        longest=max((value for flow in flows for value in flow.words), default=0),
        clusters=sorted(manifest.selection.clusters, key=lambda one: (-one.held, one.cluster)),
        quality=_axis([v for one in manifest.selection.steps for v in (one.quality_before, one.quality_after)]),
        measures=_portrait(manifest.selection.portrait),
        curve=_curve((manifest.near_dedup or {}).get("candidate_probability", {})),
        curriculum=(manifest.recipe.get("release") or {}).get("curriculum") or [],
    )


def _visible(value: Any) -> Any:
    """Text as one line in which control and bidirectional characters are written out; Markup is ours and stays."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return harmless(re.sub(r"\s+", " ", value))
    return value


def _lines(text: str) -> Markup:
    return Markup("\n").join(escape(harmless(line)) for line in text.split("\n"))


def short(value: float) -> str:
    """A number of up to five characters for a headline: 860,813 → 861 k."""
    for unit, sign in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit * 10 or (value >= unit and sign != "k"):
            scaled = value / unit
            return f"{scaled:.1f} {sign}" if scaled < 100 else f"{scaled:.0f} {sign}"
    return f"{value:,}"


def percent(part: float, whole: float = 1) -> str:
    """A share in per cent, with more digits the smaller it is, and never 0 for something nor 100 for less than all."""
    share = 100 * part / whole if whole else 0.0
    if 0 < share < 0.01:
        return "< 0.01 %"
    if 99.95 <= share < 100:
        return "> 99.9 %"
    return f"{share:.2f} %" if 0 < share < 0.1 else f"{share:.1f} %".replace(".0 %", " %")


def size(value: int) -> str:
    """Bytes for people."""
    for unit, sign in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if value >= unit:
            return f"{value / unit:,.1f} {sign}"
    return f"{value:,} B"


def _flow(manifest: Manifest, name: str) -> Flow:
    one = manifest.sources[name]
    dropped: dict[str, int] = dict.fromkeys(LOOKS, 0)
    for rule, count in one.dropped.items():
        dropped[stage_of(rule)] += count
    read, left = one.stages["ingest"], one.stages["released"]
    means = tuple(side.words / side.rows if side.rows else 0.0 for side in (read, left))
    return Flow(name, one.records, one.quarantined, one.kept, left.rows, dropped, (means[0], means[1]))


def _total(flows: list[Flow]) -> Flow:
    dropped = {stage: sum(flow.dropped[stage] for flow in flows) for stage in LOOKS}
    return Flow(
        "all",
        records=sum(flow.records for flow in flows),
        quarantined=sum(flow.quarantined for flow in flows),
        kept=sum(flow.kept for flow in flows),
        released=sum(flow.released for flow in flows),
        dropped=dropped,
        words=(0, 0),
    )


def _asked(manifest: Manifest, stage: str, flows: list[Flow]) -> bool:
    """Whether the release went through a stage."""
    there = any(stage in one.stages for one in manifest.sources.values()) or (stage == "mix" and bool(manifest.mix))
    return there or any(flow.dropped[stage] for flow in flows)


def _waterfall(total: Flow, stages: list[str]) -> list[tuple[str, int, int]]:
    """Stage, records that it dropped, records that it left."""
    left, steps = total.records, []
    for stage in stages:
        left -= total.dropped[stage]
        steps.append((stage, total.dropped[stage], left))
    return steps


def _rules(manifest: Manifest) -> list[tuple[str, str, int, list[tuple[str, int]]]]:
    """Rule, its stage, records dropped, and of which sources; the hardest first."""
    found: dict[str, list[tuple[str, int]]] = {}
    for name, one in manifest.sources.items():
        for rule, count in one.dropped.items():
            found.setdefault(rule, []).append((name, count))
    rows = [
        (rule, stage_of(rule), sum(count for _, count in owners), sorted(owners, key=lambda one: (-one[1], one[0])))
        for rule, owners in found.items()
    ]
    return sorted(rows, key=lambda row: (-row[2], row[0]))


def _sum(manifest: Manifest, measure: str) -> int | None:
    values = [getattr(one, measure) for one in manifest.splits.values()]
    return None if any(value is None for value in values) else sum(values)


def _lengths(manifest: Manifest) -> list[tuple[str, int, list[LengthRow]]]:
    """Owner, its largest bin, and a row for each bin that any owner has."""
    bins = sorted({row.least for row in manifest.selection.lengths})
    owners: dict[str, dict[int, LengthRow]] = {}
    for row in manifest.selection.lengths:
        owners.setdefault(row.owner, {})[row.least] = row
    return [
        (
            owner,
            max(1, *(row.held for row in rows.values())),
            [rows.get(least, LengthRow(owner=owner, least=least, held=0, target=0)) for least in bins],
        )
        for owner, rows in owners.items()
    ]


def _axis(values: list[float | None]) -> tuple[float, float] | None:
    """Bounds that hold all values, to two digits; at least 0.01 apart."""
    there = [value for value in values if value is not None]
    if not there:
        return None
    low, high = int(min(there) * 100) / 100, -int(-max(there) * 100 // 1) / 100
    return max(0.0, low), max(high, low + 0.01)


def _portrait(portrait: list[dict[str, Any]]) -> list[tuple[str, str, float | None, float | None, bool]]:
    """Measure, what it means, before, after, and whether it lies between 0 and 1."""
    if len(portrait) != 2:
        return []
    before, after = portrait
    rows = []
    for name, value in before.items():
        if name == "records":  # the sample's size, which the page says above
            continue
        other = after.get(name)
        if not isinstance(value, int | float) and not isinstance(other, int | float):
            continue
        label, said = MEASURES.get(name, ("", ""))
        if found := re.fullmatch(r"(prompt|answer)_distinct_(\d+)", name):
            label, said = f"different {found[2]}-grams", f"share of all in {found[1]}s"
        elif found := re.fullmatch(r"neighbour_(\d+)", name):
            label, said = "nearest other prompt", f"cosine; {found[1]} % of all are below"
        unit = all(one is None or (isinstance(one, float) and 0 <= one <= 1) for one in (value, other))
        rows.append((label or name.replace("_", " "), said, value, other, unit))
    return rows


def _curve(chances: dict[str, float]) -> list[tuple[str, float]]:
    """Similarity and the chance that a pair of it is compared, in ascending order."""
    return sorted(chances.items(), key=lambda one: float(one[0]))
