"""All of ../shared/data as one release: time and memory, a re-run, and datatrove's MinHash on the same rows.

    python -m benchmarks.bench_shared [--rounds 3]

Every round runs each side once, one after the other: a run from nothing; a run with another similarity and
the work folder of the first; a run with stored text and no signals; datatrove's four stages with two word
splitters. Ratios are medians over the rounds. Memory is sampled in runs of their own. Prints a section of
Markdown.
"""

import argparse
import json
import shutil

from benchmarks import runs
from benchmarks.export_rows import export
from benchmarks.processes import timed
from benchmarks.runs import BUILD, Command, ratio, spread, verdict

FOLDER = BUILD / "shared"
SPLITTERS = {"eng": "spaCy English, its example's own", "split": "`str.split`, the cheapest"}
LIMIT_BYTES = 1.2e9


class Peer:
    """datatrove's runs with one splitter."""

    def __init__(self, words: str):
        self.words = words
        self.whole: list[float] = []
        self.stages: list[dict[str, float]] = []
        self.kept = 0

    def run(self) -> None:
        script = str(runs.ROOT / "benchmarks" / "datatrove_minhash.py")
        rows, work = str(FOLDER / "rows"), str(FOLDER / "datatrove")
        seconds, said = timed([str(runs.PEERS_PYTHON), script, rows, work, "--words", self.words])
        result = json.loads(said.strip().split("\n")[-1])
        self.whole.append(seconds)
        self.stages.append(result["stages"])
        self.kept = result["kept"]

    @property
    def alone(self) -> list[float]:
        """Seconds of the four stages, without the start of the interpreter and its imports."""
        return [sum(stages.values()) for stages in self.stages]


def bench(rounds: int) -> str:
    reason = runs.why_not(peers=False)
    if reason:
        return f"## All shared data\n\nSkipped: {reason}.\n"
    shutil.rmtree(FOLDER, ignore_errors=True)
    recipe = runs.write_recipe("shared_data.yaml", FOLDER / "recipe.yaml")
    other = runs.write_recipe("shared_data.yaml", FOLDER / "other.yaml", [(r"similarity: 0\.8\b", "similarity: 0.85")])
    command = Command(recipe, FOLDER / "ours")
    peers = [Peer(words) for words in SPLITTERS] if runs.why_not() is None else []
    cold, again, part = [], [], []
    records = 0
    for _ in range(rounds):
        cold.append(command.cold())
        records = records or export(command.work_dir, FOLDER / "rows")
        again.append(command.again(other))
        part.append(command.without_signals())
        for peer in peers:
            peer.run()
    memory = [command.memory() for _ in range(2)]

    whole, dedup = [run.seconds for run in cold], [runs.dedup_seconds(run) for run in part]
    warm = [run.seconds for run in again]
    lines = ["## All shared data", "", f"{records:,} records, 2 workers, {rounds} rounds.", ""]
    lines += ["| figure | measured | target | |", "|---|---|---|---|"]
    for peer in peers:
        title = SPLITTERS[peer.words]
        lines.append(_row(f"whole run, to datatrove's MinHash alone ({title})", ratio(whole, peer.whole), 1 / 6))
        lines.append(_row(f"deduplication part, to the same ({title})", ratio(dedup, peer.alone), 1 / 12))
    lines.append(_row("re-run with another similarity, to the first run", ratio(warm, whole), 1 / 3))
    pss, rss = max(one.pss for one in memory), max(one.rss for one in memory)
    lines.append(
        f"| peak memory of all processes, PSS | {pss / 1e6:,.0f} MB | {LIMIT_BYTES / 1e6:,.0f} MB "
        f"| {verdict(pss, LIMIT_BYTES)} |"
    )
    lines.append(f"| the same, RSS (shared pages count for each process) | {rss / 1e6:,.0f} MB | | |")
    lines += ["", "Seconds, median (least to greatest):", "", "| | whole | stages |", "|---|---|---|"]
    for title, measured in (
        ("from nothing", cold),
        ("again, similarity 0.85", again),
        ("again, signals removed", part),
    ):
        stages = runs.stage_medians([run.stages for run in measured])
        lines.append(f"| {title} | {spread([run.seconds for run in measured])} | {stages} |")
    for peer in peers:
        stages = f"{runs.stage_medians(peer.stages)}; kept {peer.kept:,}"
        lines.append(f"| datatrove, {SPLITTERS[peer.words]} | {spread(peer.whole)} | {stages} |")
    if not peers:
        lines += ["", f"Comparison with datatrove skipped: {runs.why_not()}."]
    return "\n".join(lines) + "\n"


def _row(title: str, value: float, limit: float) -> str:
    return f"| {title} | {value:.3f} (1/{1 / value:.1f}) | 1/{1 / limit:.0f} | {verdict(value, limit)} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    print(bench(parser.parse_args().rounds))
