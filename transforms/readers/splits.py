"""Cutting a file into parts that are read on their own and together give the same rows, whatever the size."""

from schemas.errors import GristmillError
from transforms.readers.columnar import row_groups
from transforms.readers.source import FileInfo, FileKind, Split

_WHOLE = 1 << 62


def plan_splits(file: FileInfo, kind: FileKind, split_bytes: int) -> list[Split]:
    """Parts of about ``split_bytes`` bytes each, numbered from 0 in the file's order.

    Files whose rows need one another (trees), compressed files and JSON arrays are one part.

    Raises:
      GristmillError: ``split_bytes`` is below 1, or a Parquet footer cannot be read.
    """
    if split_bytes < 1:
        raise GristmillError(f"split_bytes is {split_bytes}; it must be at least 1")
    if not kind.splittable:
        return [Split(file, kind, 0, _WHOLE, 0)]
    if kind.container == "parquet":
        return _row_group_splits(file, kind, split_bytes)
    starts = range(0, max(file.size, 1), split_bytes)
    ends = [*starts[1:], max(file.size, 1)]
    return [Split(file, kind, start, end, number) for number, (start, end) in enumerate(zip(starts, ends, strict=True))]


def _row_group_splits(file: FileInfo, kind: FileKind, split_bytes: int) -> list[Split]:
    sizes = row_groups(file)
    splits: list[Split] = []
    start, size = 0, 0
    for number, group in enumerate(sizes):
        if size and size + group > split_bytes:
            splits.append(Split(file, kind, start, number, len(splits)))
            start, size = number, 0
        size += group
    if start < len(sizes) or not splits:
        splits.append(Split(file, kind, start, len(sizes), len(splits)))
    return splits
