"""What became of every record: ledger rows, and quarantined rows with their raw bytes."""

import pyarrow as pa

KEPT, DROPPED, QUARANTINED = "kept", "dropped", "quarantined"

# One row per input record, in the order of source, file, index, part.
LEDGER = pa.schema(
    [
        ("source", pa.string()),
        ("file", pa.string()),
        ("index", pa.int64()),
        ("part", pa.int32()),
        ("id", pa.string()),  # null when quarantined
        ("verdict", pa.string()),  # kept | dropped | quarantined
        ("stage", pa.string()),  # the stage that decided; "release" for kept rows
        ("rule", pa.string()),
        ("value", pa.float64()),  # what was measured: words, similarity, …
        ("threshold", pa.float64()),
        ("representative", pa.string()),  # id of the record that stays in this one's place, or a benchmark's item
        ("copies", pa.int32()),  # how often the record stands in the release
        ("split", pa.string()),  # train, validation, … for kept rows
    ]
)

QUARANTINE = pa.schema(
    [
        ("source", pa.string()),
        ("file", pa.string()),
        ("index", pa.int64()),
        ("reason", pa.string()),
        ("raw", pa.binary()),
    ]
)
