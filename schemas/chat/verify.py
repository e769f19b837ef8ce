"""What must hold of a rendered conversation before anything is trained on it, checked on the tokens themselves."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from schemas.chat.render import Renderer
from schemas.chat.spans import Encoded, Int32s
from schemas.chat.template import Conversation, Refusal, Segment, as_json, content_of, text_of, weight_of
from schemas.chat.tokenizer import plain_backend


class Verifier:
    """Checks conversations under one renderer; slow (several encodings each), for a preflight and for tests."""

    def __init__(self, renderer: Renderer):
        self.renderer = renderer
        self.backend = plain_backend(renderer.tokenizer.definition)
        start = renderer.tokenizer.special("bos_token")
        # Some tokenizers call <|im_start|> or the end token their begin token; those may well follow each other.
        known = start is not None and start in (renderer.tokenizer.start, "<s>", "<bos>", "<|begin_of_text|>")
        self.start_id = self.backend.token_to_id(start) if known else None

    def problems(self, conversation: Conversation) -> list[str]:
        """One sentence per thing that does not hold; empty for a sound row.

        - the learned tokens decode to the learned text, and that holds the answer;
        - every learned answer ends with exactly one learned stop, a single token;
        - where weights change, tokens end, and end as they do in the prompt alone;
        - the prompt of every learned answer is, in tokens, a start of the whole, and learning begins right behind it;
        - no text became a control token;
        - the begin token does not stand twice in a row, and something is learned.
        """
        try:
            segments = self.renderer.render(conversation)
            encoded = self._encoded(segments)
            return [
                *self._of_texts(segments, encoded),
                *self._of_stops(conversation, segments, encoded),
                *self._of_prompts(conversation, encoded),
                *self._of_controls(conversation, encoded),
            ]
        except Refusal as refusal:
            return [f"{refusal.state.name.lower()}: {refusal}"]

    def _encoded(self, segments: list[Segment]) -> Encoded:
        return self.renderer.encoder.encode([self.renderer.encoder.mark(segments)])[0]

    def _of_texts(self, segments: list[Segment], encoded: Encoded) -> Iterator[str]:
        learned = encoded.weights > 0
        if not learned.any():
            yield "nothing is learned"
        if encoded.straddles:
            yield f"{encoded.straddles} borders between read and learned text are none of the tokens sent"
        expected = _stretches(segments)
        edges = _edges(learned)
        if len(edges) != len(expected):
            yield f"{len(edges)} stretches of tokens are learned where the text has {len(expected)}"
        elif self._decoded(encoded.ids) == text_of(segments):  # a tokenizer that lower-cases gives no text back
            for (start, end), text in zip(edges, expected):
                got = self._decoded(encoded.ids[:end])[len(self._decoded(encoded.ids[:start])) :]
                if got != text:
                    yield f"the learned tokens decode to {got!r}, not to {text!r}"

    def _of_stops(self, conversation: Conversation, segments: list[Segment], encoded: Encoded) -> Iterator[str]:
        answers = _answers(conversation)
        stops = {segment.text for segment in segments if segment.kind == "stop"}
        ids = [self.renderer.encoder.specials.get(stop, -1) for stop in sorted(stops)]
        if -1 in ids:
            yield f"the stops {sorted(stops)} are not all single control tokens"
        ends = sum([int(encoded.ids[end - 1]) in ids for _, end in _edges(encoded.weights > 0)])
        if ends < len(answers):
            yield f"{ends} stops are learned for {len(answers)} answers"
        learned = int(np.isin(encoded.ids[encoded.weights > 0], ids).sum())
        turns = sum([weight_of(message) > 0 for message in conversation.messages])
        if learned > turns:
            yield f"{learned} stops are learned for {turns} turns"

    def _of_prompts(self, conversation: Conversation, encoded: Encoded) -> Iterator[str]:
        ids, learned, texts = encoded.ids, encoded.weights > 0, text_of(self.renderer.render(conversation))
        for at in _answers(conversation):
            message = conversation.messages[at]
            sent = self._encoded(self.renderer.prompt(conversation.before(at))).ids
            here = len(sent)
            if not np.array_equal(sent, ids[:here]):
                yield f"the prompt for message {at} is not a start of the whole in tokens"
            elif here and learned[here - 1]:
                yield f"the last token of the prompt for message {at} is learned"
            elif not learned[here] and not (self.renderer.reasoning == "mask" and message.get("reasoning_content")):
                yield f"the first token of message {at} is not learned"
            content = content_of(message).strip()
            if content not in texts and as_json(content)[1:-1] not in texts:
                yield f"the content of message {at} is not in the text"

    def _of_controls(self, conversation: Conversation, encoded: Encoded) -> Iterator[str]:
        """Control tokens are as many as in a conversation of the same form whose texts hold one letter."""
        forms = []
        for message in conversation.messages:
            short = {key: "x" for key in ("content", "reasoning_content") if message.get(key)}
            forms.append(message | short)
        form = self._encoded(self.renderer.render(Conversation(forms, conversation.tools)))
        specials = list(self.renderer.encoder.specials.values())
        wanted, got = (int(np.isin(one.ids, specials).sum()) for one in (form, encoded))
        if wanted != got:
            yield f"{got} control tokens stand where the template writes {wanted}"
        if self.start_id is not None:
            starts = encoded.ids == self.start_id
            if (starts[1:] & starts[:-1]).any():
                yield "the begin token stands twice in a row"

    def _decoded(self, ids: Int32s) -> str:
        return str(self.backend.decode(ids.tolist(), skip_special_tokens=False))


def _answers(conversation: Conversation) -> list[int]:
    """The learned assistant messages."""
    found = enumerate(conversation.messages)
    return [at for at, message in found if message["role"] == "assistant" and weight_of(message) > 0]


def _edges(learned: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where learned stretches start and end."""
    steps = np.flatnonzero(np.diff(np.r_[False, learned, False].astype(np.int8)))
    return [(int(start), int(end)) for start, end in steps.reshape(-1, 2)]


def _stretches(segments: list[Segment]) -> list[str]:
    """The learned texts, neighbours joined."""
    found: list[str] = []
    open_ = False
    for segment in segments:
        if not segment.text:
            continue
        if segment.supervised and open_:
            found[-1] += segment.text
        elif segment.supervised:
            found.append(segment.text)
        open_ = segment.supervised
    return found
