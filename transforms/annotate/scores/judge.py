"""A language model's opinion of a record, asked for over an endpoint and read strictly.

What a judge answers is kept by the hash of what it was asked, so that a second run asks nothing and finds the same
scores. A reply that is not what the rubric asks for is an error with a code, never a number in the middle.
"""

import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import GristmillError
from schemas.record import ROLES
from transforms.annotate.scores.endpoint import Endpoint
from transforms.annotate.scores.missing import Missing, columns
from transforms.annotate.scores.replies import Exhausted, Ledger, Replies
from transforms.annotate.scores.turns import answered
from transforms.keys import halves, seeded
from transforms.records import Records

VERSION = 1
RUBRIC = Path(__file__).with_name("rubric.md")

_ASK = "The conversation to rate, as JSON:\n\n{}\n\nRate it by the rubric. Answer with the JSON object alone."
# What opens a control token in the common chat formats: <|im_start|>, <s>, <start_of_turn>, <<SYS>>, [INST].
_CONTROL = re.compile(r"<|\[(?=/?(?:INST|SYSTEM_PROMPT|TOOL_CALLS|AVAILABLE_TOOLS|TOOL_RESULTS)\b)")


@dataclass(frozen=True)
class Judge:
    """``judge`` float32 on ``scale``; ``judge_missing`` int8 says why it is null (``scores/missing.py``).

    The key is read from the environment where a request is made; neither it nor its name is in ``identity``.
    """

    endpoint: Endpoint
    model: str
    cache: str  # folder of replies and of the budget, shared by all workers
    rubric: str | None = None  # file with {low} and {high} in it; default: rubric.md beside this module
    scale: tuple[float, float] = (1, 10)
    seed: int = 0
    reply_tokens: int = 300
    max_characters: int = 40_000  # of a conversation; what is longer has no score
    share: float = 1.0  # of the records, chosen by id: a way to spend less that gives the same records each time
    max_requests: int | None = None
    max_tokens: int | None = None
    on_exhausted: Literal["stop", "null"] = "stop"
    concurrency: int = 4
    ping: bool = True

    @property
    def name(self) -> str:
        return "judge"

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([("judge", pa.float32()), ("judge_missing", pa.int8())])

    def identity(self) -> dict[str, Any]:
        # With "null" the budget decides which records have a score, so another budget makes other columns.
        budget = [self.max_requests, self.max_tokens] if self.on_exhausted == "null" else None
        asked = {"version": VERSION, "endpoint": self.endpoint.base_url, **self._asked()}
        return {**asked, "max_characters": self.max_characters, "share": self.share, "budget": budget}

    def _asked(self) -> dict[str, Any]:
        """What goes into a request besides the conversation."""
        return {
            "model": self.model,
            "system": self._system(),
            "ask": _ASK,
            "seed": self.seed,
            "max_tokens": self.reply_tokens,
        }

    def check(self) -> None:
        """Raises: GristmillError: rubric, scale, key, endpoint or cache cannot be used."""
        self._system()
        if not self.scale[0] < self.scale[1]:
            raise GristmillError(
                f"judge.scale runs from {self.scale[0]:g} to {self.scale[1]:g}; give the lower end first"
            )
        try:
            Path(self.cache).mkdir(parents=True, exist_ok=True)
            self._ledger().spent()
        except Exception as error:  # the file system's errors and SQLite's
            raise GristmillError(
                f"judge.cache {self.cache}: cannot be written ({error}); name a local folder"
            ) from None
        self.endpoint.check(self.ping)

    def __call__(self, records: Records) -> pa.RecordBatch:
        codes = self._unasked(records)
        texts = _conversations(records, codes)
        system = self._system()
        bodies = [self._body(system, text) if text is not None else None for text in texts]
        # Equal conversations are asked once: two threads would both find no reply yet.
        asked = {self._key(body): body for body in bodies if body is not None}
        replies = Replies(Path(self.cache))
        with ThreadPoolExecutor(self.concurrency) as threads:
            futures = {key: threads.submit(self._reply, replies, key, body) for key, body in asked.items()}
            try:
                found = {key: future.result() for key, future in futures.items()}
            except BaseException:
                threads.shutdown(cancel_futures=True)
                raise
        scores = [0.0] * len(records)
        for row, body in enumerate(bodies):
            if body is not None:
                codes[row], scores[row] = found[self._key(body)]
        return columns(self.schema, codes, scores)

    def _unasked(self, records: Records) -> list[int]:
        """Code of each record [n] that is known without asking."""
        codes = np.zeros(len(records), np.int64)
        size = records.sums(np.asarray(pc.utf8_length(records.texts.fill_null(""))))
        codes[size > self.max_characters] = Missing.TOO_LONG
        codes[~answered(records)] = Missing.NO_ANSWER
        if self.share < 1:
            place = seeded(halves(records.batch["id"]), self.seed, "judge")
            codes[place >= np.uint64(int(self.share * 2**53) << 11)] = Missing.NOT_SAMPLED
        return [int(code) for code in codes]

    def _reply(self, replies: Replies, key: str, body: bytes) -> tuple[int, float]:
        """(code, score)."""
        reply = replies.get(key)
        if reply is None:
            ledger = self._ledger()
            try:
                reply = self.endpoint.ask(body, ledger.reserve, ledger.refund)
            except Exhausted:
                if self.on_exhausted == "null":
                    return int(Missing.BUDGET), 0.0
                requests, tokens = ledger.spent()
                raise GristmillError(
                    f"the judge's budget is spent: {requests} requests of {_shown(self.max_requests)} and {tokens} "
                    f"tokens of {_shown(self.max_tokens)}; its answers are kept in {self.cache}, so raise "
                    "max_requests or max_tokens and run again, or set on_exhausted: null to go on without the other "
                    "scores"
                ) from None
            # A server that does not count is charged for the request's bytes at four to a token, and the reply in full.
            tokens = reply["tokens"]
            ledger.pay(tokens if tokens is not None else len(body) // 4 + self.reply_tokens)
            replies.put(key, reply)
        return parse(reply["content"], self.scale)

    def _ledger(self) -> Ledger:
        return Ledger(Path(self.cache), self.max_requests, self.max_tokens)

    def _system(self) -> str:
        path = RUBRIC if self.rubric is None else Path(self.rubric).expanduser()
        try:
            text = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise GristmillError(
                f"judge.rubric {path}: cannot be read ({type(error).__name__}); name a text file"
            ) from None
        if "{low}" not in text or "{high}" not in text:
            raise GristmillError(
                f"judge.rubric {path}: {{low}} or {{high}} is not in it; a rubric must state the scale"
            )
        return text.replace("{low}", f"{self.scale[0]:g}").replace("{high}", f"{self.scale[1]:g}")

    def _body(self, system: str, conversation: str) -> bytes:
        messages = [
            {"role": "system", "content": system},
            {"role": "user", "content": _ASK.replace("{}", conversation)},
        ]
        settings = {"model": self.model, "temperature": 0, "seed": self.seed, "max_tokens": self.reply_tokens}
        return orjson.dumps({**settings, "messages": messages}, option=orjson.OPT_SORT_KEYS)

    def _key(self, body: bytes) -> str:
        """The name of a reply: all that was asked, and where. The same name at two addresses may be two models."""
        return hashlib.sha256(self.endpoint.base_url.encode() + b"\0" + body).hexdigest()


def _shown(most: int | None) -> str:
    return "any number" if most is None else str(most)


def _conversations(records: Records, codes: list[int]) -> list[str | None]:
    """Each record to be asked about as JSON, in which no text can end its string or open a control token."""
    bounds, roles = records.bounds.tolist(), records.roles.tolist()
    made: list[str | None] = []
    for row, code in enumerate(codes):
        if code:
            made.append(None)
            continue
        start, end = bounds[row], bounds[row + 1]
        texts = records.texts.slice(start, end - start).to_pylist()
        messages = [{"role": ROLES[role], "text": text or ""} for role, text in zip(roles[start:end], texts)]
        made.append(_CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", orjson.dumps(messages).decode()))
    return made


def parse(reply: str, scale: tuple[float, float]) -> tuple[int, float]:
    """(code, score) of a judge's words: one JSON object with a number ``score``, in a code fence or bare. Anything
    else, two scores or a number in a sentence included, is no score."""
    text = reply.strip()
    fenced = re.fullmatch(r"```(?:json)?\s*\n(.*)\n```", text, re.DOTALL)
    seen = 0

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal seen
        seen += sum(key == "score" for key, _ in pairs)
        return dict(pairs)

    try:
        # Not orjson: it keeps the last of two equal keys and does not say so.
        found = json.loads(fenced[1] if fenced else text, object_pairs_hook=once)
    except (ValueError, RecursionError):
        return int(Missing.NO_SCORE), 0.0
    score = found.get("score") if isinstance(found, dict) else None
    if seen != 1 or isinstance(score, bool) or not isinstance(score, int | float):
        return int(Missing.NO_SCORE), 0.0
    if not scale[0] <= score <= scale[1]:  # not (nan <= x)
        return int(Missing.OUT_OF_RANGE), 0.0
    return int(Missing.SCORED), float(score)
