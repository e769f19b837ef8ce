r"""Garbled characters: UTF-8 read as Windows-1252 or Latin-1, characters lost on the way, code points of no alphabet.

The pattern for mojibake is one RE2 expression over the texts that are not ASCII, by what lead and following bytes of
UTF-8 become. It asks for more than ``ftfy.badness`` does, which takes phonetic transcription ("[ˈtrauŋkaˌjœːkʏtl̥]")
and a closing quotation mark after a Finnish "ä" or a French "é" to be bad.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.records import Records

VERSION = 1

SCHEMA = pa.schema(
    [
        ("mojibake_sequences", pa.int32()),  # "Ã©", "â€™", "ðŸ˜€" … over all turns
        ("replacement_characters", pa.int32()),  # U+FFFD
        ("stray_characters", pa.int32()),  # private use, C1 controls but U+0085; C0 controls are taken out on reading
    ]
)

# What the bytes 0x80 to 0xBF become in Latin-1 and in Windows-1252.
_NEXT = "\\x{80}-\\x{bf}€‚ƒ„…†‡ˆ‰Š‹Œ‘’“”•–—˜™š›œžŸŽ"
# The same without what may stand after a letter: closing quotation marks, dashes, ellipsis, no-break space, ª, º.
_ODD = "\\x{80}-\\x{9f}¡-©¬-¹¼-¿€‚ƒ„†‡ˆ‰Š‹Œ•˜™š›œžŸŽ"
MOJIBAKE = "|".join(
    [
        f"[ÂÃ][{_NEXT}]",  # Latin-1 letters and signs: Ã©, Â°
        f"[ÅÄ][{_ODD}]",  # Latin extended: Å‚; not Ä” of Finnish capitals
        f"(?:[ÐÑÎÏØÙ×][{_NEXT}] ?){{2,}}|Ï[€\\x{{80}}]",  # Cyrillic, Greek, Arabic, Hebrew, two letters at least; pi
        f"â(?:€|[{_ODD}][{_NEXT}])",  # dashes, quotation marks, arrows, signs: â€™, âˆš
        f"ã[€‚ƒ\\x{{81}}][{_NEXT}]",  # Kana
        f"(?:[ä-é][{_NEXT}]{{2}}){{2,}}",  # Han, two at least
        f"(?:[à-ï][{_ODD}][{_ODD}]){{2,}}",
        "ð[Ÿ\\x{9f}]",  # emoji
        "ï¿½|ï»¿",  # U+FFFD and the byte order mark
    ]
)
_STRAY = "[\\x{80}-\\x{84}\\x{86}-\\x{9f}\\x{e000}-\\x{f8ff}\\x{f0000}-\\x{10ffff}]"


@dataclass(frozen=True)
class Mojibake:
    """The columns of ``SCHEMA``."""

    name: str = "mojibake"
    schema: pa.Schema = SCHEMA

    def identity(self) -> dict[str, Any]:
        return {"version": VERSION}

    def __call__(self, records: Records) -> pa.RecordBatch:
        """SCHEMA [n]"""
        beyond = pc.not_equal(pc.binary_length(records.texts), pc.cast(pc.utf8_length(records.texts), pa.int64()))
        rows = np.flatnonzero(np.asarray(beyond.fill_null(False)))
        texts = records.texts.take(pa.array(rows))
        columns = []
        for counts in (
            pc.count_substring_regex(texts, MOJIBAKE),
            pc.count_substring(texts, "\ufffd"),
            pc.count_substring_regex(texts, _STRAY),
        ):
            found = np.zeros(len(records.texts), np.int64)
            found[rows] = np.asarray(counts)
            columns.append(pa.array(records.sums(found)).cast(pa.int32()))
        return pa.record_batch(columns, schema=SCHEMA)
