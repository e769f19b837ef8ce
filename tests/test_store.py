"""``storage`` and ``remote``: the same promises on a disk, in memory and in an object store."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from schemas import store as shared
from schemas.errors import GristmillError
from tests.stores import a_store, memory_store  # noqa: F401
from transforms import remote, storage
from transforms.storage import place


@pytest.fixture(params=["disk", "memory", "s3"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder on this disk, or one in each store."""
    return tmp_path if request.param == "disk" else a_store(request)


def test_a_file_is_written_read_listed_and_removed(where: Path):
    storage.make_folder(where / "a" / "deep")
    storage.write_bytes(where / "a" / "x-1.txt", b"one")
    storage.write_bytes(where / "a" / "x-0.txt", b"nought")
    storage.write_bytes(where / "a" / "deep" / "y z.txt", b"")
    storage.write_bytes(where / "a" / "x-1.txt", b"two")
    assert storage.read_bytes(where / "a" / "x-1.txt") == b"two"
    assert [one.name for one in storage.files_in(where / "a", "x-*.txt")] == ["x-0.txt", "x-1.txt"]
    assert storage.files_in(where / "nowhere") == []
    found = storage.all_files(where / "a")
    assert {name: one.size for name, one in found.items()} == {"deep/y z.txt": 0, "x-0.txt": 6, "x-1.txt": 3}
    assert all(abs(one.changed - time.time()) < 600 for one in found.values())
    assert [one.name for one in storage.folders_in(where / "a")] == ["deep"]
    assert storage.is_file(where / "a" / "x-0.txt")
    assert not storage.is_file(where / "a")
    assert not storage.is_file(where / "b")
    storage.remove_files([where / "a" / "x-0.txt", where / "a" / "x-0.txt"])
    assert not storage.is_file(where / "a" / "x-0.txt")
    storage.remove_tree(where / "a")
    assert storage.all_files(where / "a") == {}
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(where / "a" / "x-1.txt")


def test_a_file_appears_whole_or_not_at_all(where: Path):
    path = where / "x.bin"
    with pytest.raises(FileNotFoundError), storage.replacing(path) as staging:
        staging.write_bytes(b"half") and (path / "nothing" / "there.txt").read_bytes()
    assert storage.all_files(where) == {}
    with storage.replacing(path) as staging:
        staging.write_bytes(b"whole")
    assert storage.read_bytes(path) == b"whole"
    assert list(storage.all_files(where)) == ["x.bin"]


def test_of_many_that_create_exactly_one_does(where: Path):
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda number: storage.create(where / "claim", b"%d" % number), range(8)))
    assert sum(won) == 1
    assert storage.read_bytes(where / "claim") == b"%d" % won.index(True)
    assert list(storage.all_files(where)) == ["claim"]


def test_a_scratch_folder_tells_whose_it_is(where: Path):
    mine = storage.scratch(where, "run-1.0.0")
    assert mine.parent.name == where.name
    assert mine.name.startswith(".run-1.0.0.")
    assert storage.alive_here(mine) is True
    assert storage.alive_here(mine.with_name(f".run.{storage.this_host()}.4194399.abcdef01")) is False
    assert storage.alive_here(mine.with_name(".run.elsewhere.1.abcdef01")) is None
    assert mine != storage.scratch(where, "run-1.0.0")


def test_an_open_file_is_read_by_ranges(memory: Path, monkeypatch: pytest.MonkeyPatch):
    content = bytes(range(256)) * 65536  # 16 MiB
    storage.write_bytes(memory / "x", content)
    asked = []
    kind = type(shared.client(str(memory))[0])
    whole = kind.cat_file

    def cat_file(self, path, start=None, end=None, **more):
        asked.append(end - start)
        return whole(self, path, start=start, end=end, **more)

    monkeypatch.setattr(kind, "cat_file", cat_file)
    with storage.opened(memory / "x", until=3 << 20) as stream:
        stream.seek(2 << 20)
        assert stream.read(1 << 20) == content[2 << 20 : 3 << 20]
        assert asked == [1 << 20]
        assert stream.read(10) == content[3 << 20 : (3 << 20) + 10]
        assert asked[1:] == [remote.TAIL]
        stream.seek(-5, 2)
        assert stream.read() == content[-5:]
        assert stream.read() == b""
    with pytest.raises(FileNotFoundError):
        storage.opened(memory / "y")


def test_what_a_process_keeps_is_bounded(memory: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(remote, "KEPT", 1000)
    for number in range(5):
        storage.write_bytes(memory / str(number), b"x" * 400)
        assert len(storage.mapped(memory / str(number))) == 400
    kept = [number for number in range(5) if remote._kept.get(str(memory / str(number))) is not None]
    assert kept == [3, 4]
    storage.write_bytes(memory / "large", b"x" * 1001)
    storage.mapped(memory / "large")
    assert remote._kept.get(str(memory / "large")) is None
    storage.remove_tree(memory)
    assert remote._kept.get(str(memory / "4")) is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://mill:flour@bucket/x", "s3://bucket/…"),
        ("https://host/x.jsonl?X-Amz-Signature=abc", "https://host/…"),
        ("abfs://box@account/x?sig=abc", "abfs://account/…"),
    ],
)
def test_a_url_with_credentials_is_refused_without_repeating_them(url: str, shown: str):
    with pytest.raises(GristmillError, match="holds credentials") as told:
        place(url)
    assert shown in str(told.value)
    assert "flour" not in str(told.value)
    assert "abc" not in str(told.value)


def test_places_are_what_was_written(tmp_path: Path):
    assert str(place("s3://bucket/a b/")) == "s3://bucket/a b"
    assert str(place("s3://bucket") / "x") == "s3://bucket/x"
    assert str(place("abfs://box@account.dfs.core.windows.net/a") / "b").endswith("/a/b")
    assert place(f"file://{tmp_path}") == tmp_path
    assert place("a/b") == Path("a/b")
    assert storage.within("s3://b/rel/x", place("s3://b/rel"))
    assert not storage.within("s3://b/relative", place("s3://b/rel"))
    assert not storage.within("s3://b/rel", tmp_path)
    assert storage.within(tmp_path / "x", tmp_path)


def test_a_store_that_is_away_is_asked_again(monkeypatch: pytest.MonkeyPatch):
    waited: list[float] = []
    failures = [ConnectionError("refused"), TimeoutError("late")]
    monkeypatch.setattr(shared.time, "sleep", waited.append)

    def ask() -> int:
        if failures:
            raise failures.pop()
        return 3

    assert shared.patiently("s3://b/x", "read", ask) == 3
    assert waited == list(shared.WAITS_S[:2])


def test_a_store_that_stays_away_is_told_in_one_sentence_without_secrets(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shared, "WAITS_S", (0.0,))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "flour-and-water")

    def away() -> None:
        raise ConnectionError("no answer\nfor flour-and-water")

    with pytest.raises(GristmillError) as told:
        shared.patiently("s3://b/x", "read", away)
    assert str(told.value) == "s3://b/x cannot be read (no answer for ***); the store did not answer in time"

    def refused() -> None:
        calls.append(1)
        raise PermissionError("Access Denied")

    calls: list[int] = []
    with pytest.raises(GristmillError, match=r"s3://b/x cannot be written \(Access Denied\); check the address"):
        shared.patiently("s3://b/x", "written", refused)
    assert len(calls) == 1


def test_an_unknown_store_and_one_without_its_package(monkeypatch: pytest.MonkeyPatch):
    import fsspec

    with pytest.raises(GristmillError, match="no store is known by nosuch://"):
        remote.read_bytes("nosuch://bucket/x")

    def absent(name: str) -> None:
        raise ImportError("Please install gcsfs")

    monkeypatch.setattr(fsspec, "get_filesystem_class", absent)
    with pytest.raises(GristmillError, match=r"pip install 'gristmill\[gcp\]'"):
        remote.read_bytes("gs://bucket/x")


def test_local_places_load_no_client_of_stores(repo: Path, tmp_path: Path):
    program = (
        "import sys; from pathlib import Path; from transforms import storage as s; p = s.place(sys.argv[1]);"
        "s.write_bytes(p / 'x', b'1'); s.read_bytes(p / 'x'); s.files_in(p); s.create(p / 'y', b'');"
        "s.all_files(p); s.remove_tree(s.scratch(p, 'run'));"
        "sys.exit(' '.join({'fsspec', 'upath', 's3fs', 'pyarrow'} & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=repo, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
