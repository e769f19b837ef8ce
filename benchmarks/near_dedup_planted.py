"""Precision and recall of near deduplication on a planted set, as a markdown table.

    python -m benchmarks.near_dedup_planted [--pairs 3000] [--template-rows 10000] [--seed 1]

The set (``tests/planted.py``) goes through the whole pipeline, ``curate`` in this process, and the release's ledger is
compared with the truth: the Jaccard similarity of 5-word windows, computed with Python sets. "At it" are pairs whose
similarity is exactly the threshold, the hardest to find: the bands are solved for a recall of 99 % there. With
``../shared/data`` beside the repository there is a row of pairs of real texts for each similarity, too.
"""

import argparse
import tempfile
import time
from pathlib import Path

from tests.planted import EXACT, Found, Planted, compare, plant, real_texts
from tests.recipes import run, write_recipe

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
HEAD = (
    "| similarity | texts | records | pairs at or above | found | of these at it | recall | dropped | precision "
    "| below in the ledger | template kept | short texts: different, kept, wrongly merged | curate |"
)


def measure(planted: Planted, similarity: float) -> tuple[Found, float]:
    """What the ledger says, and the seconds that curating took."""
    with tempfile.TemporaryDirectory() as name:
        dedup = {"near": {"similarity": similarity, "recall": "99 %"}}
        recipe = write_recipe(Path(name), planted.rows(), filters={}, dedup=dedup)
        begin = time.perf_counter()
        release = run(recipe, Path(name) / "out")
        return compare(planted, release, similarity), time.perf_counter() - begin


def line(kind: str, planted: Planted, similarity: float) -> str:
    found, seconds = measure(planted, similarity)
    exact = f"{found.found['exact']} of {found.asked['exact']}" if "exact" in found.asked else "–"
    template = f"{found.template_kept:.2%}" if "template" in planted.texts else "–"
    short = f"{found.short_classes}, {found.short_kept}, {found.short_merged_wrongly}" if found.short_classes else "–"
    cells = [
        f"{similarity}",
        kind,
        f"{sum(len(texts) for texts in planted.texts.values()):,}",
        f"{sum(found.asked.values()):,}",
        f"{sum(found.found.values()):,}",
        exact,
        f"{found.recall:.2%}",
        f"{found.dropped:,}",
        f"{found.precision:.2%}",
        f"{found.below}",
        template,
        short,
        f"{seconds:.1f} s",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3000)
    parser.add_argument("--template-rows", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(HEAD)
    print("|" + "---|" * (HEAD.count("|") - 1))
    for similarity in EXACT:
        planted = plant(similarity, options.pairs, options.template_rows, options.seed)
        print(line("made up", planted, similarity), flush=True)
        if DATA.is_dir():
            real = Planted()
            real.add_pairs("real", real_texts(DATA, options.pairs, options.seed))
            print(line("real", real, similarity), flush=True)


if __name__ == "__main__":
    main()
