"""One recipe on every engine: one release digest, and a release that verifies."""

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.servers.hands import FlinkCluster, ObjectStore

LIMIT = 600
"""Seconds for one command: a hung job must fail its test and not the whole build."""


def gristmill(*arguments: str | Path) -> str:
    """Run the command as a user does; what it printed."""
    command = [sys.executable, "-m", "pipelines.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def digest(recipe: Path, out: str | Path, *options: str) -> str:
    """Curate, verify, and read the digest out of the manifest."""
    release = gristmill("curate", recipe, "--out", out, "--quiet", *options).split()[-1]
    assert "verified" in gristmill("verify", release)
    if "://" not in release:
        return _of((Path(release) / "manifest.json").read_bytes())
    import fsspec

    with fsspec.open(f"{release}/manifest.json", "rb", skip_instance_cache=True) as file:
        return _of(file.read())


def _of(manifest: bytes) -> str:
    return str(json.loads(manifest)["release_digest"])


@pytest.fixture(scope="module")
def recipe(repo: Path) -> Path:
    return repo / "examples" / "quickstart" / "recipe.yaml"


@pytest.fixture(scope="module")
def reference(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return digest(recipe, tmp_path_factory.mktemp("local"), "--workers", "1")


@pytest.mark.parametrize("name", ["prism", "minio", "flink"])
def test_what_is_missing_is_said(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Where a tool or a server is not there, the tests that need it are skipped with this reason."""
    from tests.servers import fetch

    monkeypatch.setattr(fetch, "ENGINES", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "not installed" in str(fetch.lacking(name))


@pytest.mark.engines
def test_two_local_workers(recipe: Path, reference: str, tmp_path: Path):
    assert digest(recipe, tmp_path, "--workers", "2") == reference


def test_prism(recipe: Path, reference: str, tmp_path: Path, prism: Path):
    assert digest(recipe, tmp_path, "--engine", "prism") == reference


def test_flink_with_three_task_managers(recipe: Path, reference: str, tmp_path: Path, flink: "FlinkCluster"):
    assert digest(recipe, tmp_path, "--engine", "flink", "--parallelism", "3") == reference
    assert not flink.jobs()


@pytest.mark.slow
def test_flink_with_one_task_manager(recipe: Path, reference: str, tmp_path: Path, flink: "FlinkCluster"):
    flink.only("tm1")
    assert digest(recipe, tmp_path, "--engine", "flink", "--parallelism", "1") == reference


def test_local_into_a_store(recipe: Path, reference: str, object_store: "ObjectStore"):
    assert digest(recipe, f"{object_store.url}/releases", "--workers", "2") == reference


@pytest.mark.slow
def test_prism_into_a_store(recipe: Path, reference: str, object_store: "ObjectStore", prism: Path):
    assert digest(recipe, f"{object_store.url}/releases", "--engine", "prism") == reference


@pytest.mark.slow
def test_flink_into_a_store(recipe: Path, reference: str, object_store: "ObjectStore", flink: "FlinkCluster"):
    options = ("--engine", "flink", "--parallelism", "3")
    assert digest(recipe, f"{object_store.url}/releases", *options) == reference


@pytest.fixture(scope="module")
def large(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The recipe of all of ../shared/data, and its digest on two local workers."""
    recipe = repo / "benchmarks" / "shared_data.yaml"
    return recipe, digest(recipe, tmp_path_factory.mktemp("large"), "--workers", "2")


@pytest.mark.slow
@pytest.mark.needs_shared
class TestSharedData:
    def test_prism(self, prism: Path, large: tuple[Path, str], tmp_path: Path):
        assert digest(large[0], tmp_path, "--engine", "prism") == large[1]

    @pytest.mark.parametrize("managers", [1, 3])
    def test_flink(self, flink: "FlinkCluster", large: tuple[Path, str], tmp_path: Path, managers: int):
        flink.only(*(f"tm{number}" for number in range(1, managers + 1)))
        assert digest(large[0], tmp_path, "--engine", "flink", "--parallelism", str(managers)) == large[1]

    def test_flink_into_a_store(self, flink: "FlinkCluster", object_store: "ObjectStore", large: tuple[Path, str]):
        options = ("--engine", "flink", "--parallelism", "3")
        assert digest(large[0], f"{object_store.url}/releases", *options) == large[1]
