"""Gradients of a step are the same however it is cut over ranks and micro-batches; real processes, gloo."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

REPO = Path(__file__).resolve().parent.parent


def processes(ranks: int, command: list[str], cwd: Path = REPO, timeout: float = 600) -> str:
    """Run ``command`` as ``ranks`` processes that find each other as under torchrun; what they printed.

    Processes that are not done in time print where they stand (faulthandler): a starved one still
    imports or computes, one that hangs is in a collective.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryFile() as output:
        try:
            for rank in range(ranks):
                environment = os.environ | {"PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
                environment |= {"PYTHONFAULTHANDLER": "1"}
                if ranks > 1:
                    environment |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks)}
                    environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
                running.append(
                    subprocess.Popen(
                        [sys.executable, *command], env=environment, cwd=cwd, stdout=output, stderr=subprocess.STDOUT
                    )
                )
            end = time.monotonic() + timeout
            while None in [one.poll() for one in running] and time.monotonic() < end:
                if any(one.returncode for one in running):
                    break  # the others would wait for it
                time.sleep(0.05)
            else:
                for one in running:
                    if one.poll() is None:
                        one.send_signal(signal.SIGABRT)
                        one.wait(10)
        finally:
            for one in running:
                one.kill()
                one.wait()
        output.seek(0)
        told = output.read().decode(errors="replace")
    assert [one.returncode for one in running] == [0] * ranks, told[-4000:]
    return told


def taken(folder: Path, ranks: int, micro: int, strategy: str, precision: str = "fp32") -> dict[str, Any]:
    file = folder / f"{ranks}x{micro}-{strategy}-{precision}.pt"
    processes(ranks, ["-m", "tests.trainer_gradients", str(file), str(micro), strategy, precision])
    found: dict[str, Any] = torch.load(file, weights_only=True)
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One rank, one pack."""
    return taken(tmp_path_factory.mktemp("whole"), 1, 1, "none")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ranks", "micro", "strategy"),
    [(1, 4, "none"), (2, 2, "ddp"), (4, 1, "ddp"), (1, 4, "fsdp"), (2, 2, "fsdp"), (4, 1, "fsdp")],
)
def test_gradients_are_the_same(tmp_path: Path, whole: dict[str, Any], ranks: int, micro: int, strategy: str):
    cut = taken(tmp_path, ranks, micro, strategy)
    assert set(cut) == set(whole)
    for name, gradient in whole.items():
        assert gradient.shape == cut[name].shape
        assert float((gradient - cut[name]).abs().max()) < 1e-5, name
    # The tolerance says something: gradients are of another size, so a factor of 2 could not hide in it.
    assert float(whole["norm"]) > 0.1


@pytest.mark.slow
def test_bf16_keeps_fp32_weights_and_gradients(tmp_path: Path, whole: dict[str, Any]):
    cut = taken(tmp_path, 1, 4, "fsdp", "bf16")
    assert {value.dtype for value in cut.values()} <= {torch.float32, torch.float64}
    assert float(cut["norm"]) == pytest.approx(float(whole["norm"]), rel=0.05)
    assert float(cut["norm"]) != float(whole["norm"])
