"""Segments to tokens: one encoding of the whole text, with every token's weight.

Control tokens must come from the template alone, and all else must be tokenised as a server would tokenise the whole
text. So the template's control tokens are written as aliases, two characters that no text holds (a non-character and a
private one), each an added token with the flags of the one it stands for; the tokenizer's own special tokens are
switched off. ``<|im_end|>`` in a user's text is then seven plain tokens, while everything around a control token, also
white space that it swallows and the first-word rules of SentencePiece, happens as always.
"""

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.chat.template import Refusal, Segment, State
from schemas.errors import GristmillError

ALIAS = "\ufdd0"  # Unicode's non-characters U+FDD0 to U+FDEF are for use inside a program
_PRIVATE = 0xF0000
_WINDOW_ROWS, _WINDOW_CHARACTERS = 512, 2_000_000  # an Encoding holds strings and offsets: keep few of them alive
_FEW = 48
_NEAR = 64  # characters between a control token and an answer that are a template's own, never a person's text

Int32s = npt.NDArray[np.int32]


class Marked(NamedTuple):
    """A text ready for the tokenizer: from character ``cuts[i]`` to the next cut every token weighs ``weights[i]``."""

    text: str
    cuts: list[int]
    weights: list[float]


@dataclass(frozen=True)
class Encoded:
    """``ids`` int32 [t], ``weights`` float32 [t].

    ``straddles``: borders of weights that are none of tokens: a token lies across, and has the weight of its last
    character; or the prompt that ends there would, sent alone, end in other tokens.
    """

    ids: Int32s
    weights: npt.NDArray[np.float32]
    straddles: int


@dataclass(frozen=True)
class Counts:
    """Per text [n]: all tokens, those with a positive weight, and borders as in ``Encoded.straddles``."""

    tokens: Int32s
    supervised: Int32s
    straddles: Int32s


class Encoder:
    """A tokenizer that recognises control tokens only where a template wrote them."""

    def __init__(self, definition: str, controls: tuple[str, ...]):
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # one process per core is the parallelism
        from tokenizers import AddedToken, Tokenizer

        plain = json.loads(definition)
        added = {entry["content"]: entry for entry in plain.get("added_tokens") or ()}
        for control in controls:
            if control not in added:
                known = ", ".join(repr(name) for name in list(added)[:8]) or "none"
                raise GristmillError(
                    f"the template needs the control token {control!r}, which the tokenizer does not have (it has "
                    f"{known}); choose a template made for this tokenizer, or alpaca, xml or json"
                )
            added[control]["special"] = True
        # The template writes all special tokens; offsets are wanted untrimmed, which a post-processor may change.
        self._backend: Any = Tokenizer.from_str(
            json.dumps(plain | {"post_processor": None, "truncation": None, "padding": None})
        )
        self._backend.encode_special_tokens = True
        self.specials = {name: int(entry["id"]) for name, entry in added.items() if entry["special"]}
        self._aliases = {name: ALIAS + chr(_PRIVATE + number) for number, name in enumerate(self.specials)}
        self._backend.add_tokens(
            [
                AddedToken(
                    alias,
                    lstrip=added[name].get("lstrip", False),
                    rstrip=added[name].get("rstrip", False),
                    normalized=False,
                    special=False,
                )
                for name, alias in self._aliases.items()
            ]
        )
        size: int = self._backend.get_vocab_size(with_added_tokens=True)
        alias_ids = [int(self._backend.token_to_id(alias) or 0) for alias in self._aliases.values()]
        self._first_alias: int = min(alias_ids, default=2**31 - 1)
        self._meant = np.zeros(max([size, *alias_ids]) + 1, np.int32)  # [alias id - first alias]: the id it stands for
        self._meant[np.array(alias_ids, np.int64) - self._first_alias] = list(self.specials.values())
        self.pattern = special_pattern(tuple(self.specials))
        self._known: dict[str, tuple[str, int]] = {}
        self._lengths: dict[str, int] = {}

    def mark(self, segments: Sequence[Segment]) -> Marked:
        """The text with aliases in place of control tokens.

        Raises:
            Refusal: the text holds U+FDD0 itself, or is no Unicode text.
        """
        parts: list[str] = []
        cuts: list[int] = []
        weights: list[float] = []
        position = aliases = 0
        last = -1.0
        for text, weight, kind in segments:
            if not text:
                continue
            if kind == "control" or kind == "stop":
                text, number = self._known.get(text) or self._written(text)
                aliases += number
            if weight != last:
                cuts.append(position)
                weights.append(weight)
                last = weight
            parts.append(text)
            position += len(text)
        joined = "".join(parts)
        if joined.count(ALIAS) != aliases:
            raise Refusal(State.RESERVED, "the text holds U+FDD0, which marks control tokens here")
        try:
            joined.encode()
        except UnicodeEncodeError:  # JSON in a tool call may name half a surrogate pair, and a template print it
            raise Refusal(State.FAILED, "the text holds half of a surrogate pair") from None
        return Marked(joined, cuts, weights)

    def _written(self, text: str) -> tuple[str, int]:
        if ALIAS in text:
            raise Refusal(State.RESERVED, "the template's text holds U+FDD0, which marks control tokens here")
        made = self.pattern.subn(lambda found: self._aliases[found[0]], text)
        if len(text) <= 200 and len(self._known) < 1000:  # a template's own texts are few and short
            self._known[text] = made
        return made

    def encode(self, texts: Sequence[Marked]) -> list[Encoded]:
        """Token ids and weights of each text."""
        made = []
        for marked, encoding in self._encodings(texts):
            borders, straddles = self.borders(encoding, marked)
            ids = np.array(encoding.ids, np.int32)
            aliased = ids >= self._first_alias
            ids[aliased] = self._meant[ids[aliased] - self._first_alias]
            weights = np.repeat(np.array(marked.weights, np.float32), np.diff(borders))
            made.append(Encoded(ids, weights, straddles))
        return made

    def count(self, texts: Sequence[Marked]) -> Counts:
        """The sizes of what ``encode`` gives, without making it."""
        counts = np.zeros((3, len(texts)), np.int32)
        for row, (marked, encoding) in enumerate(self._encodings(texts)):
            borders, straddles = self.borders(encoding, marked)
            learned = sum([borders[at + 1] - borders[at] for at, weight in enumerate(marked.weights) if weight > 0])
            counts[:, row] = borders[-1], learned, straddles
        return Counts(*counts)

    def borders(self, encoding: Any, marked: Marked) -> tuple[list[int], int]:
        """The first token of each weight's stretch, then the number of tokens [cuts + 1]; and ``Encoded.straddles``.

        A token belongs where its last character is, so a stretch starts with the first token that ends after the cut.
        """
        total = len(encoding)
        if len(marked.cuts) <= 1:
            return [0, total][: len(marked.cuts) + 1], 0
        cuts, weights, text = marked.cuts[1:], marked.weights, marked.text
        prompts = []  # cuts with learning right behind them and a control token shortly before, and where that stands
        for number, cut in enumerate(cuts):
            if weights[number + 1] > 0 and weights[number] == 0:
                control = text.rfind(ALIAS, max(0, cut - _NEAR), cut)
                if control >= 0:
                    prompts.append((number, control))
        first, starts = _first_after(encoding, [*cuts, *(control for _, control in prompts)])
        across = {token for token, start, cut in zip(first, starts, cuts) if start < cut}
        unlike = 0
        for (number, control), token in zip(prompts, first[len(cuts) :]):
            border = first[number]
            if border not in across and border - token != self._length(text[control : cuts[number]]):
                unlike += 1
        return [0, *first[: len(cuts)], total], len(across) + unlike

    def _length(self, tail: str) -> int:
        """Tokens of the end of a prompt; few texts occur."""
        length = self._lengths.get(tail)
        if length is None:
            length = len(self._backend.encode(tail, add_special_tokens=False))
            if len(self._lengths) < 1000:
                self._lengths[tail] = length
        return length

    def _encodings(self, texts: Sequence[Marked]) -> Iterator[tuple[Marked, Any]]:
        start = 0
        while start < len(texts):
            end, characters = start, 0
            while end < len(texts) and end - start < _WINDOW_ROWS and characters < _WINDOW_CHARACTERS:
                characters += len(texts[end].text)
                end += 1
            window = texts[start:end]
            batch = [marked.text for marked in window]
            yield from zip(window, self._backend.encode_batch(batch, add_special_tokens=False))
            start = end


def special_pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    """Finds control tokens in a text, the longest first; without names it finds nothing."""
    return re.compile(
        "|".join(re.escape(name) for name in sorted(names, key=lambda name: (-len(name), name))) or r"(?!)"
    )


def _first_after(encoding: Any, positions: Sequence[int]) -> tuple[list[int], list[int]]:
    """For each position [p]: the first token that ends after it, and where that token starts.

    A few are asked for one by one, which is quicker than the list of all offsets; one question costs a walk over the
    tokens, so many are answered together.
    """
    if len(positions) <= _FEW:
        found = [encoding.char_to_token(position) for position in positions]
        if None not in found:  # None: a tokenizer that drops white space has no token there
            return found, [encoding.token_to_chars(token)[0] for token in found]
    offsets = np.array(encoding.offsets, np.int64).reshape(-1, 2)
    first = np.searchsorted(np.maximum.accumulate(offsets[:, 1]), positions, side="right")
    starts = np.append(offsets[:, 0], np.iinfo(np.int64).max)[first]
    return first.tolist(), starts.tolist()


@lru_cache(maxsize=4)
def encoder_of(definition: str, controls: tuple[str, ...]) -> Encoder:
    """The encoder, built once per process: a definition may be 20 MB of JSON."""
    return Encoder(definition, controls)
