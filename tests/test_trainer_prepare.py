"""What is known before a model is loaded is found with few reads: shards once, held-out rows no further than asked."""

import io
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainer.progress
import trainer.shards
from schemas.errors import GristmillError
from tests import trainer_runs
from tests.tiny_tokenizers import byte_level
from tests.trainer_shards import chatml, opened, rows, write
from trainer.config import TrainConfig
from trainer.plan.plan import Plan
from trainer.preflight import preflight
from trainer.prepare import held_out_split, prepare, prompts
from trainer.progress import Progress


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trainer_runs.release(tmp_path_factory.mktemp("release"))


@pytest.fixture
def config(release: Path, tmp_path: Path) -> TrainConfig:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "tokenizer.json").write_text(byte_level().definition, encoding="utf-8")
    return trainer_runs.load(tmp_path, trainer_runs.settings(release, Path("model")))


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of shards in the order in which they were fetched and hashed."""
    found: list[str] = []
    real = trainer.shards._verified

    def counted(shard: Any) -> Any:
        found.append(shard.name)
        return real(shard)

    monkeypatch.setattr(trainer.shards, "_verified", counted)
    return found


def all_rows(plan: Plan) -> list[np.ndarray]:
    return [np.concatenate(plan.packs(step)) for step in range(plan.steps)]


def test_preflight_stream_and_looks_read_each_shard_once(config: TrainConfig, tmp_path: Path, verified: list[str]):
    with closing(prepare(config, tmp_path)) as data:
        held = held_out_split(config, tmp_path, data, 1, lambda work: work())
        assert held is not None
        assert prompts(config, data, held)
        for _ in range(2):
            for one, stream in ((data.plan, data.stream()), (held.plan, held.stream())):
                assert list(stream.iterate([[rows] for rows in all_rows(one)]))
    assert sorted(verified) == ["train-00000-of-00001.parquet", "validation-00000-of-00001.parquet"]


def test_a_preflight_out_of_the_cache_reads_no_row(config: TrainConfig, tmp_path: Path, verified: list[str]):
    digests = []
    for _ in range(2):
        with closing(prepare(config, tmp_path)) as data:
            digests.append(data.plan.digest)
    assert verified == ["train-00000-of-00001.parquet"]
    assert digests[0] == digests[1]


def test_held_out_rows_are_checked_no_further_than_they_are_used(config: TrainConfig, tmp_path: Path):
    with closing(prepare(config, tmp_path)) as data:
        held = held_out_split(config, tmp_path, data, 1, lambda work: work())
        assert held is not None
        assert data.release.rows("validation") > 8
        assert len(held.checked.lengths) == 8  # evaluate.rows
        assert held.plan.lengths.tokens.all()
        seen = np.concatenate(all_rows(held.plan))
        assert np.unique(seen).tolist() == list(range(8))


def test_the_first_rows_are_checked_as_they_are_among_all(tmp_path: Path):
    paths = write(tmp_path, rows(23))
    given: dict[str, Any] = {"identity": {"release": "r"}, "cache": tmp_path / "cache", "sample": 0}
    whole = preflight(opened(paths), chatml(), 1000, "drop", **given)
    for first in (1, 5, 7, 12, 13, 23, 99):
        shards = opened(paths)
        part = preflight(shards, chatml(), 1000, "drop", **given, first=first)
        count = min(first, 23)
        assert len(part.lengths) == count
        for name in ("tokens", "supervised", "weight", "group", "source"):
            assert np.array_equal(getattr(part.lengths, name), getattr(whole.lengths, name)[:count])
        assert np.array_equal(part.kept, whole.kept[:count])
        assert shards.reads == int(whole.lengths.group[count - 1]) + 1  # and no row group more was read
        again = opened(paths)
        preflight(again, chatml(), 1000, "drop", **given, first=first)
        assert again.reads == 0


def test_held_out_rows_that_cannot_be_used(config: TrainConfig, tmp_path: Path):
    short = config.model_copy(update={"data": config.data.model_copy(update={"sequence_length": 8})})
    with closing(prepare(config, tmp_path)) as data, pytest.raises(GristmillError, match="none of the first 8 rows"):
        held_out_split(short, tmp_path, data, 1, lambda work: work())


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "every"), [(Terminal(), 2), (io.StringIO(), 10)])
def test_a_long_wait_shows_signs_of_life(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, every: int):
    now = [0.0]
    monkeypatch.setattr(trainer.progress.time, "monotonic", lambda: now[0])
    progress = Progress("checking split train", stream)
    for second in range(1, 41):
        now[0] = second
        progress(second * 1000, 50_000)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 40 // every
    assert lines[-1] == "checking split train: 40,000 of 50,000 rows, 1,000 a second, about 10 s left"


def test_preflight_tells_its_progress_and_a_quiet_one_does_not(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(trainer.progress, "FILE", 0.0)
    prepare(config, tmp_path, quiet=True).close()
    assert capsys.readouterr().err == ""
    (tmp_path / "run" / "preflight").rename(tmp_path / "elsewhere")
    prepare(config, tmp_path).close()
    assert "checking split train: " in capsys.readouterr().err
    prepare(config, tmp_path).close()  # from the cache
    assert capsys.readouterr().err == ""
