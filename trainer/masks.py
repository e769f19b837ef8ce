"""What of a row is learned, to look at: its tokens decoded, what is supervised marked, before anything is trained.

In a terminal learned text is green and stops are reversed; elsewhere learned text stands between ⟦ and ⟧, and a weight
other than 1 behind the first bracket. Control characters and the like are shown as escapes, so that data cannot write
to the terminal.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.chat.render import Renderer
from schemas.chat.settings import resolve
from schemas.chat.template import Refusal
from schemas.chat.tokenizer import plain_backend
from schemas.errors import GristmillError
from trainer.config import TrainConfig
from trainer.progress import Progress
from trainer.release import open_release
from trainer.shards import CONVERSATION, Shards, conversations
from trainer.tokenizer import tokenizer_of
from trainer.truncate import cut, whole_turns

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

SHOWN = 12_000  # characters of one row; the rest is counted
HEAD, TAIL = 900, 300  # characters of one piece; what lies between is counted
OPEN, CLOSE = "⟦", "⟧"
_JOINERS = "\u200c\u200d"  # scripts and emoji need them, and they do no harm


class Piece(NamedTuple):
    """Neighbouring tokens of one kind, decoded and escaped. ``control``: one control token; as ``stop`` it is learned
    and ends an answer."""

    text: str
    weight: float
    control: bool

    @property
    def stop(self) -> bool:
        return self.control and self.weight > 0


@dataclass(frozen=True)
class Mask:
    """One row; ``refused`` says why it has no pieces, ``kept`` is less than ``messages`` where it was cut."""

    row: int
    id: str
    source: str
    tokens: int
    supervised: int
    weight: float
    messages: int
    kept: int
    pieces: list[Piece]
    refused: str | None = None

    @property
    def header(self) -> str:
        name = f"row {self.row} · {self.source} · {self.id}"
        if self.refused is not None:
            return f"{name} · out: {shown(self.refused)}"
        share = self.supervised / max(self.tokens, 1)
        weighs = "" if self.weight == self.supervised else f" · weight {self.weight:g}"
        short = f" · cut after message {self.kept} of {self.messages}" if self.kept < self.messages else ""
        return f"{name} · {self.tokens:,} tokens, {self.supervised:,} supervised ({share:.1%}){weighs}{short}"

    def plain(self) -> str:
        """For a file or a pipe."""
        parts = [self.header, "\n"]
        learned = 0.0  # the weight of the bracket that is open
        for piece in _limited(self.pieces):
            if piece.weight != learned:
                parts.append(CLOSE if learned > 0 else "")
                if piece.weight > 0:
                    parts.append(OPEN if piece.weight == 1 else f"{OPEN}{piece.weight:g}: ")
                learned = piece.weight
            parts.append(piece.text)
        return "".join([*parts, CLOSE if learned > 0 else ""])

    def rich(self) -> "Text":
        """For a terminal. Weights between 0 and 1 are shown as text too, since colours cannot tell them."""
        from rich.text import Text

        made = Text(self.header + "\n", style="bold")  # a Text takes no markup from its text
        before = 0.0
        for piece in _limited(self.pieces):
            if piece.weight not in (0, 1, before):
                made.append(f"×{piece.weight:g} ", style="yellow")
            before = piece.weight
            if piece.stop:
                style = "not bold black on green"
            elif piece.control:
                style = "not bold blue"
            else:
                style = "not bold green" if piece.weight > 0 else "not bold dim"
            made.append(piece.text, style=style)
        return made


def masks_view(shards: Shards, renderer: Renderer, rows: Sequence[int], capacity: int, overlong: str) -> list[Mask]:
    """These rows as they would be trained on, in this order; weights are the messages' own.

    ``shards`` is read with the columns id, messages, tools and source.

    Raises:
        GristmillError: a shard is damaged.
    """
    if not len(rows):
        return []
    batch = shards.take(np.asarray(rows, np.int64))
    talks = conversations(batch)
    kept = [len(one.messages) for one in talks]
    encoded = renderer.encode(talks)
    for at, one in enumerate(encoded):
        if isinstance(one, Refusal) or len(one.ids) <= capacity:
            continue
        if overlong == "truncate_at_turn":
            [kept[at]] = whole_turns(renderer, [talks[at]], capacity)
        if overlong == "truncate_at_turn" and kept[at]:
            [encoded[at]] = renderer.encode([cut(talks[at], kept[at])])
    backend = plain_backend(renderer.tokenizer.definition)
    special = list(renderer.encoder.specials.values())
    masks = []
    for at, (row, one) in enumerate(zip(rows, encoded)):
        refused = str(one) if isinstance(one, Refusal) else None
        ids, weights = _NO_IDS, _NO_WEIGHTS
        if not isinstance(one, Refusal):
            ids, weights = one.ids, one.weights.copy()
            weights[:1] = 0
            if len(ids) > capacity:
                refused = f"it has {len(ids)} tokens, and a sequence has {capacity}"
            elif not weights.any():
                refused = "no token in it is learned"
            elif one.straddles:
                refused = f"{one.straddles} borders of what is learned are not borders of tokens"
        masks.append(
            Mask(
                int(row),
                str(batch.column("id")[at]),
                str(batch.column("source")[at]),
                len(ids),
                int(np.count_nonzero(weights)),
                float(weights.sum(dtype=np.float64)),
                len(talks[at].messages),
                kept[at],
                [] if refused is not None else list(_pieces(ids, weights, special, renderer.encoder.pattern, backend)),
                refused,
            )
        )
    return masks


_NO_IDS, _NO_WEIGHTS = np.zeros(0, np.int32), np.zeros(0, np.float32)


def chosen(sources: pa.Array, ids: pa.Array, show: int) -> list[int]:
    """Rows to show: of each source in turn the one with the lowest id, then the next lowest; the same every time."""
    order = sorted(range(len(ids)), key=lambda row: (sources[row].as_py() or "", ids[row].as_py(), row))
    ranks: dict[str, int] = {}
    ranked = []
    for row in order:
        source = sources[row].as_py() or ""
        ranks[source] = ranks.get(source, -1) + 1
        ranked.append((ranks[source], source, row))
    return [row for _, _, row in sorted(ranked)[:show]]


def rows_of(shards: Shards, show: int = 5, id: str | None = None) -> list[int]:
    """Numbers of the rows to show: those with an id (or a unique start of one), or ``show`` that stand for the split.

    Raises:
        GristmillError: no row has the id, or rows with several ids start so.
    """
    progress, groups = Progress("reading"), []
    for number in range(len(shards.files)):
        groups.append(shards.group(number))
        progress(int(shards.starts[number + 1]), len(shards))
    ids = pa.concat_arrays([group.column("id") for group in groups]) if groups else pa.array([], pa.string())
    if id is None:
        sources = pa.concat_arrays([group.column("source") for group in groups]) if groups else ids
        return chosen(sources, ids, show)
    found = [row for row, one in enumerate(ids.to_pylist()) if one.startswith(id)]
    names = sorted({ids[row].as_py() for row in found})
    if not found:
        raise GristmillError(f"no row of this split has the id {id!r}; gristmill why tells what became of a record")
    if len(names) > 1:
        raise GristmillError(
            f"{len(names)} ids start with {id!r}, for example {names[0]} and {names[1]}; give more of it"
        )
    return found


def show_masks(config: TrainConfig, base: Path, console: "Console", show: int = 5, id: str | None = None) -> None:
    """Print rows of the run's release as it would train on them; ``base`` is the configuration's folder.

    Raises:
        GristmillError: the release, the tokenizer or the template cannot be had, a shard is damaged, no row has the id.
    """
    tokenizer = tokenizer_of(config.tokenizer or config.model, base)
    renderer = resolve(config.template, tokenizer, base)
    release = open_release(config.release, base)
    shards = release.open(config.split, (*CONVERSATION, "source"))
    try:
        rows = rows_of(shards, show, id)
        for mask in masks_view(shards, renderer, rows, config.data.sequence_length, config.data.overlong):
            if console.is_terminal:
                console.print(mask.rich())
            else:
                console.out(mask.plain(), highlight=False)
        console.print(
            f"{len(rows)} of {len(shards):,} rows of {release.name}, split {config.split}, template "
            f"{renderer.template.name}",
            markup=False,
            highlight=False,
        )
    finally:
        shards.close()


def shown(text: str) -> str:
    """Data that a terminal can be given: what is no visible character stands as an escape."""
    if text.isascii() and text.isprintable() and OPEN not in text:
        return text
    return "".join(_shown(letter) for letter in text)


def _shown(letter: str) -> str:
    if letter == "\n":
        return "↵\n"
    if letter in (OPEN, CLOSE):
        return f"\\u{{{ord(letter):x}}}"
    if letter in _JOINERS or unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        return letter
    return f"\\x{ord(letter):02x}" if ord(letter) < 256 else f"\\u{{{ord(letter):x}}}"


def _pieces(
    ids: npt.NDArray[np.int32],
    weights: npt.NDArray[np.float32],
    special: list[int],
    names: re.Pattern[str],
    backend: Any,
) -> Iterator[Piece]:
    """Runs of tokens of one weight, control tokens on their own; what only looks like one gets a backslash."""
    control = np.isin(ids, special)
    changes = (np.diff(weights) != 0) | control[1:] | control[:-1]
    starts = [0, *(np.flatnonzero(changes) + 1).tolist(), len(ids)]
    for start, end in pairwise(starts):
        text = str(backend.decode(ids[start:end].tolist(), skip_special_tokens=False))
        if not control[start]:
            text = names.sub(lambda found: "\\" + found[0], text)
        yield Piece(shown(text), float(weights[start]), bool(control[start]))


def _limited(pieces: list[Piece]) -> Iterator[Piece]:
    """Long texts without their middles, so that borders stay in view, and of many pieces the first."""
    left = SHOWN
    for number, piece in enumerate(pieces):
        if left <= 0:
            yield Piece(f" … {len(pieces) - number:,} more stretches", 0.0, False)
            return
        text = piece.text
        if len(text) > HEAD + TAIL:
            text = f"{text[:HEAD]} … {len(text) - HEAD - TAIL:,} characters … {text[-TAIL:]}"
        yield piece._replace(text=text)
        left -= len(text)
