"""The stream: the same documents whatever is prefetched, and damage that stops the run with a name."""

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from schemas.chat.spans import Encoded
from schemas.chat.template import Conversation
from schemas.errors import GristmillError
from tests.trainer_shards import chatml, opened, rows, write
from trainer.outcome import Preflight
from trainer.preflight import preflight
from trainer.shards import CONVERSATION, Shard, Shards
from trainer.stream import Document, Stream

Plain = list[list[list[tuple[int, list[int], list[float]]]]]
MADE = rows(43)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return write(tmp_path, MADE, files=3, group=4)


@pytest.fixture
def checked(paths: list[Path]) -> Preflight:
    return preflight(opened(paths), chatml(), 60, "truncate_at_turn", {})


def plan(rows: int = 43, pack: int = 3, packs: int = 4) -> list[list[np.ndarray]]:
    """Steps over all rows in an order that jumps between row groups, the last with dummies."""
    order = (np.arange(rows) * 17) % rows
    cut = [order[start : start + pack] for start in range(0, rows, pack)]
    steps = [cut[start : start + packs] for start in range(0, len(cut), packs)]
    steps[-1] += [np.zeros(0, np.int64)] * (packs - len(steps[-1]))
    return [*steps, [np.zeros(0, np.int64)], steps[0]]


def plain(documents: list[Document]) -> list[tuple[int, list[int], list[float]]]:
    return [(one.row, one.ids.tolist(), one.weights.tolist()) for one in documents]


def streamed(shards: Shards, checked: Preflight, steps, **more) -> Plain:
    with Stream(shards, chatml(), checked, **more) as stream:
        return [[plain(pack) for pack in step] for step in stream.iterate(steps)]


@pytest.fixture
def wanted(paths: list[Path], checked: Preflight) -> Plain:
    return streamed(opened(paths), checked, plan())


def test_documents_are_the_renderers(paths: list[Path], checked: Preflight):
    with Stream(opened(paths, CONVERSATION), chatml(), checked) as stream:
        asked = [40, 2, 2, 17, 0]
        for number, one in zip(asked, stream.documents(asked)):
            [made] = chatml().encode([Conversation(MADE[number]["messages"][: int(checked.kept[number])])])
            assert isinstance(made, Encoded)
            assert one.row == number
            assert one.ids.dtype == np.int32
            assert one.weights.dtype == np.float32
            assert one.ids.tolist() == made.ids.tolist()
            assert one.weights.tolist() == [0, *made.weights[1:].tolist()]
            assert len(one.ids) == checked.lengths.tokens[number]
            assert one.weights.sum() == checked.lengths.weight[number]
        assert stream.documents([]) == []


def test_packs_come_in_the_order_of_the_plan(paths: list[Path], checked: Preflight, wanted: Plain):
    assert (checked.fate == 1).any()  # some are cut
    steps = plan()
    assert len(wanted) == len(steps)
    for step, documents in zip(steps, wanted):
        assert [[row for row, _, _ in pack] for pack in documents] == [pack.tolist() for pack in step]


@pytest.mark.parametrize("ahead", [1, 3, 100])
@pytest.mark.parametrize("memory", [1, 1 << 30])
def test_documents_do_not_depend_on_prefetch_or_cache(
    paths, checked: Preflight, wanted: Plain, ahead: int, memory: int
):
    shards = opened(paths, memory=memory)
    assert streamed(shards, checked, plan(), ahead=ahead) == wanted
    assert (shards.reads == len(shards.files)) == (memory > 1)  # with memory every row group is decoded once


@pytest.mark.parametrize("workers", [1, 2])
def test_documents_do_not_depend_on_workers(paths, checked: Preflight, wanted: Plain, workers: int):
    assert streamed(opened(paths), checked, plan(), workers=workers) == wanted


def test_a_run_that_goes_on_sees_what_it_would_have_seen(paths, checked: Preflight, wanted: Plain):
    assert streamed(opened(paths), checked, plan()[2:]) == wanted[2:]
    assert streamed(opened(paths), checked, []) == []


def test_weights_follow_the_loss(paths: list[Path]):
    checked = preflight(opened(paths), chatml(), 100, "drop", {}, weighting="sqrt")
    with Stream(opened(paths), chatml(), checked) as stream:
        for one in stream.documents(range(43)):
            assert one.weights.sum(dtype=np.float64) == checked.lengths.weight[one.row]


def test_waiting_is_measured(paths: list[Path], checked: Preflight):
    with Stream(opened(paths), chatml(), checked, ahead=1) as stream:

        def slow() -> Iterator[list[np.ndarray]]:
            for step in plan()[:3]:
                time.sleep(0.05)
                yield step

        for _ in stream.iterate(slow()):
            pass
        assert stream.first > 0.04
        assert stream.waited > 0.02  # at least one of the later steps was not ready


def threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "gristmill-stream"]


def test_stopping_early_ends_thread_and_workers(paths: list[Path], checked: Preflight):
    with Stream(opened(paths), chatml(), checked, workers=1) as stream:
        steps = stream.iterate(plan() * 100)
        next(steps)
        steps.close()  # type: ignore[attr-defined]
        assert not threads()
        assert plain(stream.documents([3]))  # the stream itself goes on
    deadline = time.monotonic() + 30
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not multiprocessing.active_children()


def test_what_the_plan_raises_is_raised(paths: list[Path], checked: Preflight):
    def broken() -> Iterator[list[np.ndarray]]:
        yield plan()[0]
        raise RuntimeError("no plan")

    with Stream(opened(paths), chatml(), checked) as stream:
        steps = stream.iterate(broken())
        next(steps)
        with pytest.raises(RuntimeError, match="no plan"):
            next(steps)
    assert not threads()


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "flipped byte": (flip, "has the sha256"),
    "truncated": (shorten, "bytes, the manifest says"),
    "missing": (Path.unlink, "is missing"),
    "a folder": (become_a_folder, "cannot be read"),
}


@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_shard_stops_the_run_with_its_name(paths, checked: Preflight, name: str, workers: int):
    shards = opened(paths)
    change, words = DAMAGE[name]
    change(paths[1])
    in_first, in_second = [np.arange(0, 4)], [np.arange(15, 18)]
    with Stream(shards, chatml(), checked, workers=workers, ahead=1) as stream:
        steps = stream.iterate([in_first, in_second])
        if workers == 0:
            assert len(next(steps)[0]) == 4  # a shard is looked at when its first row is needed
        with pytest.raises(GristmillError) as error:
            list(steps)
    assert words in str(error.value)
    assert paths[1].name in str(error.value)
    assert not threads()


def test_preflight_stops_at_a_damaged_shard(paths: list[Path]):
    shards = opened(paths)
    flip(paths[2])
    with pytest.raises(GristmillError, match=paths[2].name):
        preflight(shards, chatml(), 60, "drop", {})


def test_a_shard_that_is_no_parquet_although_its_checksum_is_right(paths: list[Path]):
    shards = opened(paths)
    paths[0].write_bytes(b"PAR1 no PAR1")
    again = Shards(
        [shards.shards[0]._replace(bytes=12, sha256=_sha(paths[0]))], shards.files[:1], shards.groups[:1], np.array([4])
    )
    with pytest.raises(GristmillError, match="is no Parquet file"):
        again.group(0)


def _sha(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_checksums_are_taken_once_a_file(paths: list[Path], monkeypatch: pytest.MonkeyPatch):
    import trainer.shards

    seen = []
    verified = trainer.shards._verified

    def watched(shard: Shard) -> IO[bytes]:
        seen.append(shard.name)
        return verified(shard)

    monkeypatch.setattr(trainer.shards, "_verified", watched)
    shards = opened(paths, memory=1)
    for number in [0, 42, 3, 20, 0, 42]:
        shards.take(np.array([number]))
    assert seen == [paths[0].name, paths[2].name, paths[1].name]


def test_no_more_files_are_open_than_allowed(paths, checked: Preflight, wanted: Plain, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("trainer.shards.HANDLES", 1)
    shards = opened(paths, memory=1)
    assert streamed(shards, checked, plan()) == wanted
    shards.take(np.array([0, 20, 40]))
    assert len(shards._open) == 1


def test_a_release_behind_a_url(paths: list[Path], checked: Preflight, wanted: Plain):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    shards = opened(paths)
    for path in paths:
        memory.pipe_file(f"/release/{path.name}", path.read_bytes())
    shards.shards = [one._replace(url=f"memory://release/{one.name}") for one in shards.shards]
    assert streamed(shards, checked, plan()) == wanted
    memory.rm_file(f"/release/{paths[1].name}")
    shards = opened(paths)
    shards.shards = [one._replace(url=f"memory://release/{one.name}") for one in shards.shards]
    with pytest.raises(GristmillError, match=f"shard {paths[1].name} is missing"):
        streamed(shards, checked, plan())


def test_a_row_that_is_not_what_preflight_saw(paths: list[Path], checked: Preflight):
    lengths = replace(checked.lengths, tokens=checked.lengths.tokens + np.int32(1))
    with (
        Stream(opened(paths), chatml(), replace(checked, lengths=lengths)) as stream,
        pytest.raises(GristmillError) as error,
    ):
        stream.documents([7])
    assert "row 7" in str(error.value)
    assert MADE[7]["id"] in str(error.value)


def test_a_row_that_preflight_left_out(paths: list[Path], checked: Preflight):
    kept = checked.kept.copy()
    kept[5] = 0
    with (
        Stream(opened(paths), chatml(), replace(checked, kept=kept)) as stream,
        pytest.raises(ValueError, match="row 5"),
    ):
        stream.documents([4, 5])


def test_a_killed_worker_is_told(paths: list[Path], checked: Preflight):
    with Stream(opened(paths), chatml(), checked, workers=1, ahead=1) as stream:
        steps = stream.iterate(plan() * 1000)
        next(steps)
        next(steps)
        for child in multiprocessing.active_children():
            child.kill()
        with pytest.raises(GristmillError, match="one of 1 worker processes was killed"):
            for _ in steps:
                pass
