"""Readers, from files to conversations: list, sniff, split, read rows, convert rows.

Each shape (one way to write a conversation down) has a file of its own here; registry.py lists them.
"""

from transforms.readers.conversion import convert
from transforms.readers.listing import list_files
from transforms.readers.rows import read_rows
from transforms.readers.sniffing import sniff
from transforms.readers.source import Converted, FileInfo, FileKind, ReadStats, Row, SourceOptions, Split
from transforms.readers.splits import plan_splits

__all__ = [
    "Converted",
    "FileInfo",
    "FileKind",
    "ReadStats",
    "Row",
    "SourceOptions",
    "Split",
    "convert",
    "list_files",
    "plan_splits",
    "read_rows",
    "sniff",
]
