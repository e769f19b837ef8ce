"""The data set card: ``README.md`` with the front matter by which ``datasets.load_dataset`` opens the folder."""

import hashlib
import html
import re
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipelines.report import harmless
from schemas.manifest import LengthRow, Manifest
from transforms.release import STAGES, stage_of

_SIZES = (
    (1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B"),
)  # fmt: skip


def write_card(manifest: Manifest, path: Path) -> None:
    """Write the card of a release whose manifest has everything but the card itself."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,  # a row that ends in a block is followed by an empty line in the template
        autoescape=False,  # Markdown, not HTML; escape_cell sees to both
    )
    environment.filters |= {
        "number": lambda value: f"{value:,}",
        "percent": lambda value: f"{100 * value:.1f} %",
        "tenth": lambda value: f"{value:,.1f}",
        "cell": escape_cell,
    }
    accounts = manifest.sources.values()
    lengths: dict[str, dict[int, LengthRow]] = {}
    for row in manifest.selection.lengths:
        lengths.setdefault(row.owner, {})[row.least] = row
    path.write_text(
        environment.get_template("card.md.j2").render(
            manifest=manifest,
            front_matter=front_matter(manifest),
            splits_total=sum(one.rows for one in manifest.splits.values()),
            mix_total=sum(row.got for row in manifest.mix),
            tokens=all(one.tokens is not None for one in manifest.splits.values()),
            stage_names=list(next(iter(accounts)).stages),
            rules=_rules(manifest),
            lengths=lengths,
            length_bins=sorted({row.least for row in manifest.selection.lengths}),
        ),
        encoding="utf-8",
    )


def _rules(manifest: Manifest) -> list[tuple[str, int, list[tuple[str, int]]]]:
    """Rules that dropped something, as they decide: how many, and of which sources, the hardest hit first."""
    names = {rule for one in manifest.sources.values() for rule in one.dropped}
    found = []
    for rule in sorted(names, key=lambda rule: (_place(rule), rule)):
        owners = [(name, one.dropped[rule]) for name, one in manifest.sources.items() if rule in one.dropped]
        owners.sort(key=lambda owner: (-owner[1], owner[0]))
        found.append((rule, sum(count for _, count in owners), owners))
    return found


def _place(rule: str) -> int:
    """Stages in the order in which they decide."""
    return ("filter", *STAGES.values()).index(stage_of(rule))


def escape_cell(text: str) -> str:
    """Text of a recipe or a file name, as one line inside Markdown: no markup, no HTML, no new cell or block."""
    plain = html.escape(harmless(re.sub(r"\s+", " ", text)), quote=False)
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", plain)


def config_name(manifest: Manifest) -> str:
    """A name of this content alone: ``datasets`` caches by folder and configuration name, not by path or content, so
    two releases called 1.0.0/default would be taken for one."""
    digest = hashlib.sha256("".join(file.sha256 for file in manifest.files if file.path.startswith("data/")).encode())
    return f"{manifest.name}-{digest.hexdigest()[:12]}"


def front_matter(manifest: Manifest) -> str:
    """YAML metadata of the Hub's data set cards: what the files are, licences, languages, size."""
    rows = sum(one.rows for one in manifest.splits.values())
    data_files = [
        {"split": split, "path": f"data/{split}-*.parquet"} for split, one in manifest.splits.items() if one.rows
    ]
    accounts = manifest.sources.values()
    facts: dict[str, Any] = {
        "pretty_name": f"{manifest.name} {manifest.version}",
        "license": sorted({one.license.lower() for one in accounts if one.license}) or ["unknown"],
        "language": sorted({one.language for one in accounts if one.language}) or None,
        "task_categories": ["text-generation"],
        "size_categories": [next((name for most, name in _SIZES if rows < most), "n>1B")],
        "configs": [{"config_name": config_name(manifest), "data_files": data_files}],
    }
    facts = {key: value for key, value in facts.items() if value is not None}
    return str(yaml.safe_dump(facts, sort_keys=False, allow_unicode=True, width=1000))
