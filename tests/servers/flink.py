"""A Flink cluster of real processes: one job manager, task managers tm1, tm2 …, and Beam's job server.

Started with plain ``java`` from Beam's thin jars, so what Flink's shell scripts would set is spelled out: every pool of
a task manager's memory, and the packages that Java 17 would keep closed.
"""

import json
import os
import shutil
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers import fetch
from tests.servers.minio import MinIO
from tests.servers.places import RUN
from tests.servers.ports import port
from tests.servers.processes import Server, answers, wait
from tests.servers.staging import shadow

PACKAGES = "util lang nio lang.reflect text time util.concurrent util.concurrent.atomic net io"
OPENED = [f"java.base/{name}=ALL-UNNAMED" for name in [*(f"java.{one}" for one in PACKAGES.split()), "sun.nio.ch"]]

# Restarts are for the fault tests: a job outlives several lost managers, and a lost one is noticed soon.
SETTINGS = {
    "jobmanager.rpc.address": "localhost",
    "jobmanager.bind-host": "127.0.0.1",
    "jobmanager.memory.process.size": "700m",
    "rest.address": "localhost",
    "rest.bind-address": "127.0.0.1",
    "taskmanager.host": "localhost",
    "taskmanager.bind-host": "127.0.0.1",
    "heartbeat.interval": "2000",
    "heartbeat.timeout": "8000",
    "restart-strategy.type": "fixed-delay",
    "restart-strategy.fixed-delay.attempts": "6",
    "restart-strategy.fixed-delay.delay": "4 s",  # longer than workers are kept (pipelines/engines/profiles.py)
    "taskmanager.network.sort-shuffle.min-buffers": "64",  # for each result that is written; 512 want more memory
    "slot.request.timeout": "120000",
    "web.refresh-interval": "200",  # tests must see a stage while it is at work
    # Beam's job server sends its own jars with every job. They are the cluster's: used from there, and soon deleted.
    "classloader.resolve-order": "parent-first",
    "classloader.check-leaked-classloader": "false",
    "blob.service.cleanup.interval": "30",
}

ENTRY = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
MANAGER = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
JOB_SERVER = "org.apache.beam.runners.flink.FlinkJobServerDriver"
BEAM = 128
"""MiB of direct memory for Beam's connections to its Python workers. With too little, Flink's shuffles fail."""
REGISTERED = b"Successful registration at resource manager"


@dataclass(frozen=True)
class Size:
    """How large each task manager is; memory in MiB."""

    slots: int = 2
    heap: int = 1024  # 448 were too little for the release of a million rows: the JVM lost a message, and the job hung
    managed: int = 128
    network: int = 96

    def options(self) -> list[str]:
        """What Flink is told, for ``-D``. Half of the framework's off-heap memory is what batch shuffles read with."""
        memory = {
            "framework.heap.size": 64,
            "task.heap.size": self.heap,
            "framework.off-heap.size": 128,
            "task.off-heap.size": BEAM,
            "network.min": self.network,
            "network.max": self.network,
            "managed.size": self.managed,
            "jvm-metaspace.size": 160,
            "jvm-overhead.min": 64,
            "jvm-overhead.max": 64,
        }
        pools = {f"taskmanager.memory.{name}": f"{size}m" for name, size in memory.items()}
        return [f"{key}={value}" for key, value in {"taskmanager.cpu.cores": self.slots, **pools}.items()]

    def java(self) -> list[str]:
        """The same sizes, for Java."""
        return [
            f"-Xmx{self.heap + 64}m",
            f"-XX:MaxDirectMemorySize={self.network + 64 + 64 + BEAM}m",
            "-XX:MaxMetaspaceSize=160m",
            # In a thread of Beam's connections an OutOfMemoryError is logged and the job waits for ever; a task manager
            # that is gone is noticed.
            "-XX:+ExitOnOutOfMemoryError",
        ]


class Flink:
    """The cluster of a run folder. Names: ``jobmanager``, ``jobserver``, ``tm1``, ``tm2`` and so on."""

    def __init__(self, run: Path = RUN, size: Size = Size()):
        self.run, self.size = run, size
        self.job_manager, self.job_server = Server(run, "jobmanager"), Server(run, "jobserver")

    @property
    def endpoint(self) -> str:
        return f"localhost:{port(self.run, 'job')}"

    @property
    def rest(self) -> str:
        return f"http://localhost:{port(self.run, 'rest')}"

    def environment(self) -> dict[str, str]:
        """What commands and tests need to find it."""
        return {"GRISTMILL_FLINK_ENDPOINT": self.endpoint, "GRISTMILL_FLINK_REST": self.rest}

    def servers(self) -> list[Server]:
        """In the order in which they stop: the task managers known to this run first, the job manager last."""
        names = sorted((file.stem for file in self.run.glob("tm*.pid")), key=lambda name: (len(name), name))
        return [*(Server(self.run, name) for name in names), self.job_server, self.job_manager]

    def managers(self) -> list[str]:
        """Names of the task managers that run."""
        return [server.name for server in self.servers()[:-2] if server.pid is not None]

    def start(self, managers: int = 3, limit: float = 120) -> None:
        """Start what does not run; ``limit`` seconds for each process."""
        if self.job_manager.pid is None:
            self._configure()
            self.job_manager.start(
                self._java("-Xmx320m", "-XX:MaxMetaspaceSize=192m", ENTRY, "--configDir", str(self.run / "conf")),
                lambda: self.ask("overview") is not None,
                limit,
            )
        for number in range(1, managers + 1):
            self.start_manager(f"tm{number}", limit)
        if self.job_server.pid is None:
            shadow(fetch.path("flink"), self.run / "classes")
            self.job_server.start(self._java("-Xmx320m", JOB_SERVER, *self._job_server()), self._serves_jobs, limit)

    def start_manager(self, name: str, limit: float = 120) -> None:
        """Start one task manager, or start it again."""
        server = Server(self.run, name)
        if server.pid is not None:
            return
        scratch = self.run / "tmp" / name
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        more = [f"taskmanager.resource-id={name}", f"io.tmp.dirs={scratch}"]
        options = [part for one in [*self.size.options(), *more] for part in ("-D", one)]
        command = self._java(*self.size.java(), MANAGER, "--configDir", str(self.run / "conf"), *options)
        before = server.log.stat().st_size if server.log.exists() else 0
        # Python workers have their task manager's environment: with it they find the store.
        store = MinIO(self.run).environment()
        server.start(command, lambda: REGISTERED in server.log.read_bytes()[before:], limit, store)

    def ask(self, path: str) -> Any:
        """What the cluster answers to ``path``, for example ``jobs/overview``; None while it answers nothing."""
        try:
            with urllib.request.urlopen(f"{self.rest}/{path}", timeout=5) as answer:
                return json.load(answer)
        except (urllib.error.URLError, OSError, ValueError):
            return None

    def settled(self, limit: float = 30) -> None:
        """Wait until the cluster counts as many task managers as run here: a lost one is noticed after 8 s."""
        wait(lambda: (self.ask("overview") or {}).get("taskmanagers") == len(self.managers()), limit)

    def _serves_jobs(self) -> bool:
        return answers(port(self.run, "job")) and answers(port(self.run, "artifact"))

    def _configure(self) -> None:
        ports = {"rest.port": port(self.run, "rest"), "jobmanager.rpc.port": port(self.run, "rpc")}
        settings = SETTINGS | {name: str(number) for name, number in ports.items()}
        settings |= {"io.tmp.dirs": str(self.run / "tmp"), "taskmanager.numberOfTaskSlots": str(self.size.slots)}
        for folder in ("conf", "tmp"):
            (self.run / folder).mkdir(parents=True, exist_ok=True)
        text = "".join(f"{key}: {value}\n" for key, value in sorted(settings.items()))
        (self.run / "conf" / "config.yaml").write_text(text)

    def _job_server(self) -> list[str]:
        ports = {f"--{name}-port": port(self.run, name) for name in ("job", "artifact", "expansion")}
        options = {
            "--job-host": "localhost",
            "--flink-master": f"localhost:{port(self.run, 'rest')}",
            "--artifacts-dir": str(self.run / "artifacts"),
            **ports,
        }
        return [f"{name}={value}" for name, value in options.items()]

    def _java(self, *rest: str) -> list[str]:
        opened = [f"--add-opens={one}" for one in OPENED]
        logging = ["-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS"]
        scratch = [f"-Djava.io.tmpdir={self.run / 'tmp'}"]
        jars = [str(fetch.path("flink") / "*")]
        if JOB_SERVER in rest:
            jars.insert(0, str(self.run / "classes"))
        return ["java", "-XX:+UseSerialGC", *opened, *logging, *scratch, "-cp", os.pathsep.join(jars), *rest]
