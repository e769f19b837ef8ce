"""The index of a recipe's benchmarks, kept: made once per content and settings."""

from pathlib import Path

import orjson
import xxhash

from schemas.decontaminate import Decontaminate
from transforms.decontaminate.benchmarks import read_all
from transforms.decontaminate.files import locate
from transforms.decontaminate.index import INDEX_VERSION, build, digest, save
from transforms.decontaminate.match import Contamination
from transforms.storage import is_file, make_folder, read_bytes, write_bytes


def contamination(settings: Decontaminate, base: Path, work_dir: Path) -> Contamination:
    """The index of the benchmarks, made once per content and settings and kept in the work folder.

    Raises:
        GristmillError: a benchmark that is absent or cannot be read.
    """
    state = xxhash.xxh3_128(orjson.dumps([INDEX_VERSION, settings.ngram, settings.model_dump(mode="json")["columns"]]))
    for name, path in sorted(locate(settings, base).items()):
        content = path.read_bytes()
        state.update(orjson.dumps([name, len(content)]))
        state.update(content)
    path = work_dir / "benchmarks" / f"{state.hexdigest()}.arrow"
    named = path.with_suffix(".digest")
    if not (is_file(path) and is_file(named)):
        index = build(read_all(settings, base), settings.ngram)
        make_folder(path.parent)
        save(index, path)
        write_bytes(named, digest(index).encode())
    return Contamination(str(path), read_bytes(named).decode())
