"""Checkpoints that were damaged, cut or lost a piece after they were written: one sentence each, never another run."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from schemas.errors import GristmillError
from tests.test_trainer_checkpoint import PIN, saved, trained
from tests.test_trainer_distributed import REPO
from trainer import checkpoint
from trainer.pin import matched, read_pin
from trainer.whole import flaw, read_cursor, require_whole

FILES = ("weights.safetensors", "optimizer.safetensors", "cursor.json", "files.json")


@pytest.mark.parametrize("name", FILES[:3])
def test_a_flipped_bit_is_named_with_the_folder_to_delete(tmp_path: Path, name: str):
    path = saved(tmp_path, 3)
    require_whole(path, deep=True)
    content = bytearray((path / "resume" / name).read_bytes())
    content[len(content) // 2] ^= 1
    (path / "resume" / name).write_bytes(content)
    with pytest.raises(GristmillError, match=rf"resume/{name} is not what was.*delete the folder step-00000003"):
        require_whole(path, deep=True)


@pytest.mark.parametrize("name", [*(f"resume/{name}" for name in FILES), "pin.json"])
@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_every_missing_or_cut_piece_is_one_sentence(tmp_path: Path, name: str, damage: str):
    saved(tmp_path, 2)
    path = saved(tmp_path, 3)
    content = (path / name).read_bytes()
    (path / name).unlink()
    if damage == "cut":
        (path / name).write_bytes(content[: len(content) // 2])
    if name == "pin.json" and damage == "cut":  # its form says it, when it is read
        with pytest.raises(GristmillError, match=r"pin\.json is no pin"):
            read_pin(path)
        return
    # an older checkpoint is not taken without a word, and saving does not take this one for whole
    with pytest.raises(GristmillError, match=rf"step-00000003 is damaged: {name}.*delete the folder"):
        checkpoint.resolve(tmp_path, "latest")
    assert [one.name for one in checkpoint.checkpoints(tmp_path)] == ["step-00000002"]
    assert flaw(saved(tmp_path, 3)) is None
    assert checkpoint.resolve(tmp_path, "latest") == path
    assert [one.name for one in tmp_path.glob("damaged-*")] == ["damaged-step-00000003-1"]


@pytest.mark.parametrize(
    "cursor",
    [
        {"step": "3", "before": 0},
        {"step": -1, "before": 4},
        {"step": 2, "before": 0},
        {"step": True, "before": 2},
        [],
        {},
    ],
)
def test_a_cursor_fits_its_folder(tmp_path: Path, cursor: Any):
    path = saved(tmp_path, 3)
    (path / "resume" / "cursor.json").write_text(json.dumps(cursor), encoding="utf-8")
    with pytest.raises(GristmillError, match=r"step-00000003 is damaged: resume/cursor\.json"):
        read_cursor(path)


def test_moments_that_are_not_there_are_no_zeros(tmp_path: Path):
    path = saved(tmp_path, 3)
    (path / "resume" / "optimizer.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    made, optimizer = trained(0)
    with pytest.raises(GristmillError, match="other trained parameters"):
        checkpoint.load(path, made, optimizer, updates=3)
    (path / "resume" / "weights.safetensors").write_bytes(b"123")
    with pytest.raises(GristmillError, match="step-00000003 is damaged"):
        checkpoint.load(path, made, optimizer, updates=3)


def test_a_full_disk_leaves_no_part_of_a_checkpoint(tmp_path: Path):
    """RLIMIT_FSIZE ends every write behind the limit, as a full disk does."""
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "import torch\n"
        "from tests.test_trainer_checkpoint import ALONE, PIN\n"
        "from schemas.errors import GristmillError\n"
        "from trainer import checkpoint\n"
        "from trainer.whole import Cursor\n"
        "made = torch.nn.Linear(512, 512)\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, resource.RLIM_INFINITY))\n"
        "optimizer = torch.optim.AdamW(made.parameters())\n"
        "try:\n"
        "    checkpoint.save(Path(sys.argv[1]), Cursor(1), PIN, made, optimizer, lambda *_: None, 1, ALONE)\n"
        "except GristmillError as error:\n"
        "    print(error)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, str(tmp_path)]
    told = subprocess.run(command, env=environment, cwd=REPO, capture_output=True, text=True, timeout=120, check=True)
    assert "step-00000001 cannot be written: " in told.stdout
    assert told.stdout.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_an_accepted_change_says_which_settings(tmp_path: Path):
    now = PIN.model_copy(update={"config": "f" * 64, "settings": {"seed": 1, "data": {"sequence_length": 128}}})
    accepted, _ = matched(PIN, now, True, 7, tmp_path)
    assert accepted.lineage[0].settings == {"seed": (0, 1)}
    (tmp_path / "pin.json").write_bytes(accepted.encode())
    assert read_pin(tmp_path) == accepted
