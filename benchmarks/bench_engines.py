"""What each engine costs: seconds, CPU seconds and the peak memory of a worker.

    python -m benchmarks.bench_engines [--engines local-1 local-2 prism flink-2 flink-3]
                                       [--inputs quickstart shared 100000] [--rounds 1] [--out s3://bucket/releases]

``flink-N`` is Flink with a parallelism of N on the cluster that ``python -m tests.servers start flink`` started. Inputs
are the quickstart, all of ../shared/data, or so many rows of ``perturbed_rows``. Every run is a fresh command with a
fresh work folder; the releases of an input must all have one digest, or the benchmark fails.

CPU is what run.json says (the command and its Python workers) and, on Flink, what the cluster's JVMs used meanwhile.
Memory is the largest PSS of any one Python process that is a worker (with one local worker: the command itself),
sampled four times a second; sampling costs, so it is left out without ``--memory``.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.bench_scale import RECIPE
from benchmarks.perturbed_rows import write
from benchmarks.processes import Failed, sizes_of, tree_of
from benchmarks.runs import BUILD, ROOT, write_recipe

FOLDER = BUILD / "engines"
WORKERS = ("pipelines.worker_server", "forkserver", "sdk_worker_main")
"""What stands in the command lines of processes that are workers."""


@dataclass(frozen=True)
class Engine:
    """How one engine is asked for."""

    name: str

    @property
    def options(self) -> list[str]:
        kind, _, number = self.name.partition("-")
        if kind == "local":
            return ["--workers", number]
        return ["--engine", kind, *(["--parallelism", number] if number else [])]

    @property
    def cluster(self) -> list[psutil.Process]:
        """The processes of the Flink cluster, workers included; none of another engine's."""
        if not self.name.startswith("flink"):
            return []
        from tests.servers.flink import Flink

        return [process for server in Flink().servers() for process in server.marked()]


@dataclass(frozen=True)
class Cost:
    """One run."""

    seconds: float
    python_cpu: float
    jvm_cpu: float
    peak: int  # bytes of the largest worker, 0: not measured
    stages: dict[str, float]
    digest: str

    @property
    def cpu(self) -> float:
        return self.python_cpu + self.jvm_cpu

    @property
    def stage_times(self) -> str:
        return ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in self.stages.items())


def recipe_of(name: str) -> Path:
    if name == "quickstart":
        return ROOT / "examples" / "quickstart" / "recipe.yaml"
    if name == "shared":
        return write_recipe("shared_data.yaml", FOLDER / "shared.yaml")
    FOLDER.mkdir(parents=True, exist_ok=True)  # rows that were made before are the same
    rows = FOLDER / f"rows-{name}.jsonl"
    if not rows.exists():
        write(int(name), rows)
    recipe = FOLDER / f"rows-{name}.yaml"
    recipe.write_text(RECIPE.format(rows=json.dumps(rows.name)), encoding="utf-8")
    return recipe


def run(engine: Engine, recipe: Path, out: str | None, memory: bool) -> Cost:
    """One command from nothing."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        place = f"{out.rstrip('/')}/{uuid.uuid4().hex[:8]}" if out else f"{folder}/out"
        command = [sys.executable, "-m", "pipelines.cli", "curate", str(recipe), "--out", place, *engine.options]
        before = _jvm(engine)
        begin = time.perf_counter()
        process = subprocess.Popen([*command, "--quiet"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        peak = _Peak(process.pid, engine)
        if memory:
            peak.start()
        said, complaint = process.communicate()
        seconds = time.perf_counter() - begin
        peak.over.set()
        if process.returncode:
            raise Failed(f"{' '.join(command)} ended with status {process.returncode}:\n{complaint[-2000:]}")
        release = said.split()[-1]
        facts, manifest = (json.loads(_read(f"{release}/{name}")) for name in ("run.json", "manifest.json"))
        used = facts["cpu_seconds"]
        jvm = _jvm(engine) - before
        return Cost(
            seconds, used["command"] + used["workers"], jvm, peak.most, facts["stages"], manifest["release_digest"]
        )


def _read(path: str) -> bytes:
    import fsspec

    with fsspec.open(path, "rb", skip_instance_cache=True) as file:
        content: bytes = file.read()
        return content


def _jvm(engine: Engine) -> float:
    """CPU seconds so far of the cluster's JVMs."""
    total = 0.0
    for process in engine.cluster:
        try:
            if process.name() == "java":
                times = process.cpu_times()
                total += times.user + times.system
        except psutil.Error:
            pass
    return total


class _Peak(threading.Thread):
    """Watches how large the largest worker becomes."""

    def __init__(self, command: int, engine: Engine):
        super().__init__(daemon=True)
        self.command, self.engine = command, engine
        self.most, self.over = 0, threading.Event()

    def run(self) -> None:
        alone = self.engine.name in ("local-1", "prism")
        while not self.over.wait(0.25):
            pids = tree_of(self.command) + [process.pid for process in self.engine.cluster]
            for pid in pids if not alone else [self.command]:
                if alone or _is_worker(pid):
                    self.most = max(self.most, sizes_of(pid)[0])


def _is_worker(pid: int) -> bool:
    try:
        line = Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False
    return "java" not in line.split("\0")[0] and any(one in line for one in WORKERS)


def bench(engines: list[Engine], inputs: list[str], rounds: int, out: str | None, memory: bool) -> str:
    lines = [
        "| input | engine | seconds | CPU s | of it JVMs | CPU to the first engine | largest worker MB | stages |",
        "|---" * 8 + "|",
    ]
    for name in inputs:
        recipe = recipe_of(name)
        costs: dict[str, list[Cost]] = {engine.name: [] for engine in engines}
        for number in range(rounds):
            for engine in engines if number % 2 == 0 else engines[::-1]:
                costs[engine.name].append(run(engine, recipe, out, memory))
                print(f"{name} {engine.name}: {costs[engine.name][-1]}", file=sys.stderr, flush=True)
        digests = {one.digest for runs in costs.values() for one in runs}
        if len(digests) != 1:
            raise Failed(f"{name}: {len(digests)} different digests")
        first = costs[engines[0].name]
        for engine_name, runs in costs.items():
            ratios = sorted(one.cpu / other.cpu for one, other in zip(runs, first, strict=True))
            best = min(runs, key=lambda one: one.seconds)
            peak = f"{max(one.peak for one in runs) / 1e6:,.0f}" if memory else ""
            lines.append(
                f"| {name} | {engine_name} | {best.seconds:.1f} | {best.cpu:.1f} | {best.jvm_cpu:.1f} "
                f"| {ratios[len(ratios) // 2]:.2f} | {peak} | {best.stage_times} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="What each engine costs.")
    parser.add_argument("--engines", nargs="+", default=["local-2", "local-1", "prism", "flink-3"])
    parser.add_argument("--inputs", nargs="+", default=["quickstart"])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--out", help="a URL to release into; default: a local folder")
    parser.add_argument("--memory", action="store_true", help="sample memory too; times are then a little longer")
    arguments = parser.parse_args()
    engines = [Engine(name) for name in arguments.engines]
    print(bench(engines, arguments.inputs, arguments.rounds, arguments.out, arguments.memory))


if __name__ == "__main__":
    main()
