"""Features: everything a decision needs, computed once per record and cached with the corpus.

Decisions shuffle these and addresses, never text. Row i of a features block is row i of its text block.
"""

import pyarrow as pa

# Version of the meaning of these columns; part of the corpus key, so that a change recomputes them.
FEATURES_VERSION = 3

# "Text" of a message: its content, reasoning and tool calls (name and arguments), as they will be trained on.
FEATURES = pa.schema(
    [
        ("id", pa.binary(16)),
        ("index", pa.int64()),  # raw row within the split
        ("part", pa.int32()),
        ("characters", pa.int32()),  # Unicode code points of all text
        ("words", pa.int32()),
        ("turns", pa.int32()),  # assistant messages
        ("answer_characters", pa.int32()),
        ("answer_words", pa.int32()),
        ("empty_turns", pa.int32()),  # user and assistant messages whose text is blank
        ("bytes", pa.int32()),  # UTF-8 bytes of all text
        ("tokens", pa.int32()),  # null without a tokenizer
        ("answer_tokens", pa.int32()),
        ("turn_characters", pa.int32()),  # of the longest message, whoever wrote it
        ("turn_words", pa.int32()),
        ("turn_tokens", pa.int32()),  # null without a tokenizer
        ("label", pa.bool_()),
        ("origin", pa.int8()),  # position in record.ORIGINS, null when the row does not say
        ("exact_key", pa.binary(16)),  # xxh3-128 of the normalised text that exact dedup compares
    ]
)
