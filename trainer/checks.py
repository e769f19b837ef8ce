"""What must hold of every row before training, checked on whole batches; a row that fails is looked at by hand.

``schemas.chat.verify.Verifier`` is the judge, and slow. Here the same questions are asked of a batch at a time, and
only rows that look wrong go to the judge, together with a sample of the sound ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.chat.render import Renderer
from schemas.chat.spans import ALIAS, Encoded, Marked
from schemas.chat.template import Conversation, Refusal, Segment, weight_of
from schemas.chat.verify import Verifier

# Prompts of a conversation that are rendered and compared: its first and its last answers. More would be quadratic in
# turns; at every border, the encoder itself compares the end of the prompt with that of the text.
PROMPTS = 4
_PROBE = "The  tokenizer\n\ngives Text back, 42 times: café 世界 🙂.\n"

Bools = npt.NDArray[np.bool_]


class Rendered(NamedTuple):
    """A conversation on its way: the text with its weights, and the tokens."""

    segments: list[Segment]
    marked: Marked
    encoded: Encoded


def render(renderer: Renderer, conversations: Sequence[Conversation]) -> list[Rendered | Refusal]:
    """``Renderer.encode`` that keeps what it made on the way."""
    encoder = renderer.encoder
    made: list[tuple[list[Segment], Marked] | Refusal] = []
    for conversation in conversations:
        try:
            segments = renderer.render(conversation)
            made.append((segments, encoder.mark(segments)))
        except Refusal as refusal:
            made.append(refusal)
    encoded = iter(encoder.encode([one[1] for one in made if not isinstance(one, Refusal)]))
    return [one if isinstance(one, Refusal) else Rendered(*one, next(encoded)) for one in made]


@dataclass(frozen=True)
class Checks:
    """The questions for one renderer; made once per process with ``checks_of``."""

    renderer: Renderer
    verifier: Verifier
    special: Bools  # [vocabulary]: which ids are control tokens
    faithful: bool  # the tokenizer gives a plain text back letter by letter
    piecewise: bool  # and a piece of the text from the piece's tokens

    def problems(
        self, conversations: Sequence[Conversation], rows: Sequence[Rendered], sampled: Sequence[bool]
    ) -> list[str | None]:
        """Why a row must not be trained on, or None [n]. ``sampled``: rows that the judge looks at in any case."""
        suspects = np.array(sampled, np.bool_)
        if not len(rows):
            return []
        suspects |= self._of_controls(conversations, rows)
        suspects |= self._of_stretches(conversations, rows)
        suspects |= self._of_prompts(conversations, rows)
        found: list[str | None] = [None] * len(rows)
        for row in np.flatnonzero(suspects).tolist():
            found[row] = next(iter(self.verifier.problems(conversations[row])), None)
        return found

    def _of_controls(self, conversations: Sequence[Conversation], rows: Sequence[Rendered]) -> Bools:
        """As many control tokens as in a conversation of the same form that says "x"; no begin token after another."""
        ids = np.concatenate([row.encoded.ids for row in rows])
        bounds = _bounds(rows)
        got = _sums(self.special[ids].astype(np.int64), bounds)
        wanted = np.zeros(len(rows), np.int64)
        for at, conversation in enumerate(conversations):
            try:
                wanted[at] = self.renderer.mark(_form(conversation)).text.count(ALIAS)
            except Refusal:
                wanted[at] = -1
        suspects: Bools = got != wanted
        if self.verifier.start_id is not None and len(ids) > 1:
            start = ids == self.verifier.start_id
            twice = np.zeros(len(ids), np.int64)
            twice[1:] = start[1:] & start[:-1]
            twice[bounds[:-1][bounds[:-1] < len(ids)]] = 0  # the token before is another row's
            suspects |= _sums(twice, bounds) > 0
        return suspects

    def _of_stretches(self, conversations: Sequence[Conversation], rows: Sequence[Rendered]) -> Bools:
        """What is learned decodes to the learned text, answers end with learned stops, and no other text learns one."""
        suspects = np.zeros(len(rows), np.bool_)
        pieces: list[list[int]] = []
        before: list[list[int]] = []
        expected: list[tuple[int, str]] = []
        for at, (conversation, row) in enumerate(zip(conversations, rows)):
            ids, learned = row.encoded.ids, row.encoded.weights > 0
            edges = np.flatnonzero(np.diff(learned, prepend=False, append=False)).reshape(-1, 2).tolist()
            texts, stops = _stretches(row.segments)
            stop_ids = [self.renderer.encoder.specials.get(stop, -1) for stop in stops]
            weights = [(message["role"], weight_of(message)) for message in conversation.messages]
            ends = sum([int(ids[end - 1]) in stop_ids for _, end in edges])
            total = int(np.isin(ids[learned], stop_ids).sum())
            answers = sum([role == "assistant" and weight > 0 for role, weight in weights])
            turns = sum([weight > 0 for _, weight in weights])
            if len(texts) != len(edges) or -1 in stop_ids or ends < answers or total > turns:
                suspects[at] = True
                continue
            for (start, end), text in zip(edges, texts):
                lead = start if self.piecewise else max(0, start - 1)  # with the token before, no space is trimmed
                pieces.append(ids[lead:end].tolist())
                before.append(ids[lead:start].tolist())
                expected.append((at, text))
        if self.faithful:
            decoded = self._decoded(pieces)
            leads = [""] * len(pieces) if self.piecewise else self._decoded(before)
            for (at, text), piece, trimmed in zip(expected, decoded, leads):
                suspects[at] |= piece.removeprefix(trimmed) != text
        return suspects

    def _of_prompts(self, conversations: Sequence[Conversation], rows: Sequence[Rendered]) -> Bools:
        """A server's prompt is, in tokens, a start of the row, and learning begins right behind it."""
        suspects = np.zeros(len(rows), np.bool_)
        asked: list[tuple[int, int, int]] = []  # row, message, tokens of the row before the tail
        tails: dict[str, int] = {}
        order: list[int] = []
        for row, (conversation, (_, marked, encoded)) in enumerate(zip(conversations, rows)):
            answers = [
                at
                for at, message in enumerate(conversation.messages)
                if message["role"] == "assistant" and weight_of(message) > 0
            ]
            few = answers if len(answers) <= PROMPTS else answers[: PROMPTS // 2] + answers[-PROMPTS // 2 :]
            controls: list[int] = np.flatnonzero(self.special[encoded.ids]).tolist()
            for at in few:
                try:
                    sent = self.renderer.encoder.mark(self.renderer.prompt(conversation.before(at))).text
                except Refusal:
                    suspects[row] = True
                    continue
                last, written = sent.rfind(ALIAS), sent.count(ALIAS)
                if marked.text.startswith(sent) and 0 < written <= len(controls):
                    # A control token cuts the text before anything is tokenised: what stands before the last one has
                    # the same tokens in both, and only what stands behind it can end differently.
                    sent, before = sent[last:], controls[written - 1]
                else:
                    before = 0
                asked.append((row, at, before))
                order.append(tails.setdefault(sent, len(tails)))
        encoded_tails = self.renderer.encoder.encode([Marked(tail, [0], [0.0]) for tail in tails])
        for (row, at, before), number in zip(asked, order):
            tail, (_, _, encoded) = encoded_tails[number].ids, rows[row]
            here = before + len(tail)
            thought = self.renderer.reasoning == "mask" and conversations[row].messages[at].get("reasoning_content")
            suspects[row] |= (
                here >= len(encoded.ids)
                or not np.array_equal(tail, encoded.ids[before:here])
                or bool(here and encoded.weights[here - 1] > 0)
                or bool(encoded.weights[here] <= 0 and not thought)
            )
        return suspects

    def _decoded(self, pieces: list[list[int]]) -> list[str]:
        texts: list[str] = self.verifier.backend.decode_batch(pieces, skip_special_tokens=False)
        return texts


@lru_cache(maxsize=4)
def checks_of(renderer: Renderer) -> Checks:
    """The checks, made once per process: they hold a tokenizer."""
    verifier = Verifier(renderer)
    specials = renderer.encoder.specials.values()
    special = np.zeros(max([verifier.backend.get_vocab_size(with_added_tokens=True), *specials]) + 1, np.bool_)
    special[list(specials)] = True
    ids = verifier.backend.encode(_PROBE, add_special_tokens=False).ids
    faithful = verifier.backend.decode(ids, skip_special_tokens=False) == _PROBE
    half = len(_PROBE) // 3
    pieces = [verifier.backend.encode(part, add_special_tokens=False).ids for part in (_PROBE[:half], _PROBE[half:])]
    parts = [verifier.backend.decode(piece, skip_special_tokens=False) for piece in pieces]
    # Byte-level decoders join bytes and do nothing else; others trim the first space of whatever they are given.
    level: Any = type(verifier.backend.decoder).__name__ == "ByteLevel"
    return Checks(renderer, verifier, special, faithful, bool(level) and "".join(parts) == _PROBE)


def _form(conversation: Conversation) -> Conversation:
    """The same conversation with texts of one letter."""
    forms = []
    for message in conversation.messages:
        forms.append(message | {key: "x" for key in ("content", "reasoning_content") if message.get(key)})
    return Conversation(forms, conversation.tools)


def _stretches(segments: list[Segment]) -> tuple[list[str], set[str]]:
    """The learned texts, neighbours joined; and the texts of all stops."""
    found: list[list[str]] = []
    stops: set[str] = set()
    open_ = False
    for text, weight, kind in segments:
        if not text:
            continue
        if weight > 0:
            if open_:
                found[-1].append(text)
            else:
                found.append([text])
        open_ = weight > 0
        if kind == "stop":
            stops.add(text)
    return ["".join(one) for one in found], stops


def _bounds(rows: Sequence[Rendered]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum([len(row.encoded.ids) for row in rows])]).astype(np.int64)


def _sums(values: npt.NDArray[np.int64], bounds: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Sum of each row's values [n]; rows may be empty."""
    total = np.concatenate([[0], np.cumsum(values)])
    return np.asarray(total[bounds[1:]] - total[bounds[:-1]], np.int64)
