"""What tests do with running servers: kill and restart them, look at their jobs, fill and empty buckets."""

import urllib.request
from typing import Any

import psutil

from tests.servers.flink import Flink
from tests.servers.minio import PASSWORD, USER, MinIO
from tests.servers.places import RUN
from tests.servers.processes import Server, stop, wait

RUNNING = {"INITIALIZING", "CREATED", "RUNNING", "RESTARTING", "FAILING", "CANCELLING"}


class FlinkCluster:
    """The running Flink cluster. Task managers have names: tm1, tm2, tm3."""

    def __init__(self) -> None:
        self._flink = Flink()
        self.endpoint, self.rest = self._flink.endpoint, self._flink.rest

    def environment(self) -> dict[str, str]:
        return self._flink.environment()

    def ask(self, path: str) -> Any:
        """What its REST API answers to ``path``, or None."""
        return self._flink.ask(path)

    def only(self, *names: str) -> None:
        """Have just these task managers, all of them registered."""
        stop([Server(RUN, name) for name in self._flink.managers() if name not in names], sweep=False)
        for name in names:
            self._flink.start_manager(name)
        self._flink.settled()

    def start_task_manager(self, name: str) -> None:
        self._flink.start_manager(name)

    def kill_task_manager(self, name: str, alone: bool = False) -> None:
        """KILL it with its Python workers, or ``alone``: then its workers find out by themselves."""
        Server(RUN, name).kill(alone)

    def kill_job_server(self) -> None:
        self._flink.job_server.kill()

    def kill_job_manager(self) -> None:
        self._flink.job_manager.kill()

    def restart(self) -> None:
        """Start again what does not run, and wait until the job manager knows every task manager."""
        self._flink.start()
        self._flink.settled(60)

    def workers(self) -> list[psutil.Process]:
        """The Python workers of the whole cluster."""
        found = [process for server in self._flink.servers() for process in server.marked()]
        return [process for process in found if _is_worker(process)]

    def jobs(self) -> set[str]:
        """Ids of the jobs that are not over."""
        found = (self.ask("jobs/overview") or {}).get("jobs", [])
        return {job["jid"] for job in found if job["state"] in RUNNING}

    def cancel(self, jobs: set[str]) -> None:
        for job in jobs:
            request = urllib.request.Request(f"{self.rest}/jobs/{job}?mode=cancel", method="PATCH")
            try:
                urllib.request.urlopen(request, timeout=10).close()
            except OSError:
                pass  # it ended in between
        wait(lambda: not self.jobs() & jobs, 60)


def _is_worker(process: psutil.Process) -> bool:
    """A fork of the server of workers (pipelines/worker.py), which is its parent."""
    try:
        parent = process.parent()
        return (
            parent is not None and parent.cmdline() == process.cmdline() and "worker_server" in str(process.cmdline())
        )
    except psutil.Error:
        return False


class ObjectStore:
    """The running MinIO and a bucket of its own."""

    def __init__(self, bucket: str):
        self._minio, self.bucket = MinIO(), bucket

    @property
    def url(self) -> str:
        """The bucket's address, without a slash at its end."""
        return f"s3://{self.bucket}"

    def environment(self) -> dict[str, str]:
        return self._minio.environment()

    def create(self) -> None:
        self._files().create_dir(self.bucket)

    def remove(self) -> None:
        self._files().delete_dir(self.bucket)

    def kill(self) -> None:
        """KILL it, as when its machine goes down."""
        self._minio.server.kill()

    def restart(self) -> None:
        """Start it again with the same data; nothing happens while it runs."""
        self._minio.start()

    def _files(self) -> Any:
        from pyarrow.fs import S3FileSystem

        return S3FileSystem(
            access_key=USER,
            secret_key=PASSWORD,
            region="us-east-1",
            endpoint_override=self._minio.url,
            allow_bucket_creation=True,
            allow_bucket_deletion=True,
        )
