"""What a judge has answered and what it has cost, in one folder that all workers of a run share.

::

    <folder>/3f/3f9a….json   one reply, named by the hash of all that was asked; no text of the conversation, no key
    <folder>/spent.sqlite    requests and tokens so far

A reply is written under a temporary name and renamed. The ledger is SQLite because it must hold across processes: a
number is read and raised in one transaction, on a local disk or any file system with POSIX locks.
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from transforms.storage import replacing


class Exhausted(Exception):
    """The budget is spent."""


@dataclass(frozen=True)
class Replies:
    """Replies by key."""

    folder: Path

    def get(self, key: str) -> dict[str, Any] | None:
        """A reply, or None; a damaged file is none."""
        try:
            reply = orjson.loads(self._path(key).read_bytes())
        except (FileNotFoundError, NotADirectoryError, orjson.JSONDecodeError):
            return None
        return reply if isinstance(reply, dict) and isinstance(reply.get("content"), str) else None

    def put(self, key: str, reply: dict[str, Any]) -> None:
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as staging:
            staging.write_bytes(orjson.dumps(reply))

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"


@dataclass(frozen=True)
class Ledger:
    """What may be spent into this folder, over all runs: one that starts again after a failure has no full purse.

    None is no limit. Tokens are known after a reply, so they may be overspent by the requests under way.
    """

    folder: Path
    max_requests: int | None
    max_tokens: int | None

    def reserve(self) -> None:
        """Count one request.

        Raises:
            Exhausted: the budget does not allow it.
        """
        with closing(self._open()) as ledger, ledger:
            changed = ledger.execute(
                "UPDATE spent SET requests = requests + 1 WHERE requests < ? AND tokens < ?",
                (_limit(self.max_requests), _limit(self.max_tokens)),
            ).rowcount
        if not changed:
            raise Exhausted

    def refund(self) -> None:
        """Take one request back."""
        with closing(self._open()) as ledger, ledger:
            ledger.execute("UPDATE spent SET requests = requests - 1")

    def pay(self, tokens: int) -> None:
        """Count a reply's tokens."""
        with closing(self._open()) as ledger, ledger:
            ledger.execute("UPDATE spent SET tokens = tokens + ?", (tokens,))

    def spent(self) -> tuple[int, int]:
        """(requests, tokens)."""
        with closing(self._open()) as ledger:
            requests, tokens = ledger.execute("SELECT requests, tokens FROM spent").fetchone()
        return int(requests), int(tokens)

    def _open(self) -> sqlite3.Connection:
        self.folder.mkdir(parents=True, exist_ok=True)
        ledger = sqlite3.connect(self.folder / "spent.sqlite", timeout=60)
        with ledger:
            ledger.execute(
                "CREATE TABLE IF NOT EXISTS spent "
                "(one INTEGER PRIMARY KEY CHECK (one = 1), requests INTEGER, tokens INTEGER)"
            )
            ledger.execute("INSERT OR IGNORE INTO spent VALUES (1, 0, 0)")
        return ledger


def _limit(most: int | None) -> int:
    return 2**62 if most is None else most
