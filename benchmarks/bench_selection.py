"""What selection costs in a whole run, and what another threshold costs after it: ``examples/house-mix``.

    python -m benchmarks.bench_selection [--rounds 2]

Every round runs the recipe from nothing, then a copy with one filter threshold changed and the version raised, with the
work folder of the first. Its mix takes everything that the shares allow. Stages are those of ``run.json``; the settling
of the mix is no stage of its own (it reads a table of totals), its exact cut is in "release", which is counted whole.
"""

import argparse
import re
import shutil
from pathlib import Path

from benchmarks import runs
from benchmarks.runs import BUILD, Command, Run, ratio, spread, verdict

FOLDER = BUILD / "selection"
EXAMPLE = runs.ROOT / "examples" / "house-mix"
DIVERSITY = ("clusters", "cap opening", "cap verb noun", "distance", "cluster quotas")
SELECTION_SHARE, AGAIN = 0.15, 1 / 5


def bench(rounds: int) -> str:
    """The section of ``make bench``."""
    reason = runs.why_not(peers=False)
    if reason:
        return f"## Selection\n\nSkipped: {reason}.\n"
    shutil.rmtree(FOLDER, ignore_errors=True)
    everything = [(r"  size: 500k tokens\n", "")]  # default: all there is
    first = write("first.yaml", everything)
    other = write("other.yaml", [*everything, (r"quality: \{min: 0\.8\}", "quality: {min: 0.78}"),
                                 (r"version: 1\.0\.0", "version: 1.0.1")])  # fmt: skip
    command = Command(first, FOLDER / "run")
    cold, again = [], []
    for _ in range(rounds):
        cold.append(command.cold())
        again.append(command.again(other))
    selection = share(cold, ("balance", *DIVERSITY, "release"))
    warm = ratio([run.seconds for run in again], [run.seconds for run in cold])
    lines = [
        "## Selection", "", f"`examples/house-mix` with a mix of all there is, 2 workers, {rounds} rounds.", "",
        "| figure | measured | target | |", "|---|---|---|---|",
        f"| balance, diversity and release with the mix, share of a run from nothing | {selection:.1%} "
        f"| {SELECTION_SHARE:.0%} | {verdict(selection, SELECTION_SHARE)} |",
        f"| again with another threshold, to the run from nothing | {warm:.3f} (1/{1 / warm:.1f}) | 1/{1 / AGAIN:.0f} "
        f"| {verdict(warm, AGAIN)} |",
    ]  # fmt: skip
    for title, names in (
        ("balance", ("balance",)),
        ("diversity (clusters, caps, distance, quotas)", DIVERSITY),
        ("release, with the mix's cut", ("release",)),
        ("decontaminate", ("decontaminate",)),
        ("best", ("best",)),
    ):
        lines.append(f"| {title}, the same share | {share(cold, names):.1%} | | |")
    lines += ["", "Seconds, median (least to greatest):", "", "| | whole | stages |", "|---|---|---|"]
    for title, measured in (("from nothing", cold), ("again, another threshold", again)):
        stages = runs.stage_medians([run.stages for run in measured])
        lines.append(f"| {title} | {spread([run.seconds for run in measured])} | {stages} |")
    return "\n".join(lines) + "\n"


def share(measured: list[Run], stages: tuple[str, ...]) -> float:
    """Median over runs of what these stages take of the whole, from process start to end."""
    return runs.median([sum(run.stages[name] for name in stages) / run.seconds for run in measured])


def write(name: str, changes: list[tuple[str, str]]) -> Path:
    """The example's recipe with other values, beside a copy of its functions."""
    text = (EXAMPLE / "recipe.yaml").read_text(encoding="utf-8").replace("../../../shared/", f"{runs.SHARED}/")
    for pattern, value in changes:
        text, count = re.subn(pattern, value, text)
        if count != 1:
            raise ValueError(f"{pattern!r} is {count} times in the recipe of house-mix, not once")
    FOLDER.mkdir(parents=True, exist_ok=True)
    shutil.copy(EXAMPLE / "rules.py", FOLDER)
    (FOLDER / name).write_text(text, encoding="utf-8")
    return FOLDER / name


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    print(bench(parser.parse_args().rounds))
