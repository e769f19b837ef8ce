"""MinIO on loopback: an object store of one process, with its data in a folder of the run."""

import urllib.error
import urllib.request
from pathlib import Path

from tests.servers import fetch
from tests.servers.places import RUN
from tests.servers.ports import port
from tests.servers.processes import Server

USER, PASSWORD = "gristmill-tests", "a-password-of-tests-only"


class MinIO:
    """The store of a run folder. Its data stay when it is killed and started again."""

    def __init__(self, run: Path = RUN):
        self.run, self.server = run, Server(run, "minio")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{port(self.run, 'minio')}"

    def environment(self) -> dict[str, str]:
        """What S3 clients need to find it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": USER,
            "AWS_SECRET_ACCESS_KEY": PASSWORD,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def start(self, limit: float = 60) -> None:
        if self.server.pid is not None:
            return
        data = self.run / "minio"
        data.mkdir(parents=True, exist_ok=True)
        addresses = [f"127.0.0.1:{port(self.run, name)}" for name in ("minio", "minio-console")]
        self.server.start(
            [
                str(fetch.path("minio")),
                "server",
                str(data),
                "--address",
                addresses[0],
                "--console-address",
                addresses[1],
            ],
            self.healthy,
            limit,
            # No scanner at work between tests, and no more memory than a test machine has to spare.
            {"MINIO_ROOT_USER": USER, "MINIO_ROOT_PASSWORD": PASSWORD, "MINIO_UPDATE": "off", "GOMEMLIMIT": "512MiB"},
        )

    def healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/minio/health/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
