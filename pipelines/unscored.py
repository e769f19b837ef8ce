"""Records that a score or a template could make nothing of: counted and told, never taken for a number."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from schemas.errors import GristmillError
from transforms.annotate.annotation import Annotation, key
from transforms.annotate.scores.missing import account
from transforms.corpus import Block, annotation_path, read_batch

MISSING = ("reward_missing", "ifd_missing", "deita_missing", "judge_missing")


def unscored(annotations: Sequence[Annotation], blocks: Sequence[Block], corpus: Path) -> dict[str, str]:
    """By score: one sentence on the records without it; scores that all records have are left out.

    Raises:
        GristmillError: the recipe's template cannot render a single record.
    """
    told = {}
    for one in annotations:
        folder = str(corpus / "annotations" / key(one))
        for column in one.schema.names:
            if column in MISSING:
                codes = [np.asarray(read_batch(annotation_path(folder, block.text))[column]) for block in blocks]
                sentence = account(column.removesuffix("_missing"), np.concatenate(codes))
                if sentence:
                    told[column.removesuffix("_missing")] = sentence
        if "supervised_tokens" in one.schema.names:
            nulls = sum(
                read_batch(annotation_path(folder, block.text))["supervised_tokens"].null_count for block in blocks
            )
            if nulls == sum(block.rows for block in blocks):
                raise GristmillError(
                    f"the template can render none of the {nulls:,} records, so nothing could be trained on them; "
                    "look at the template with one record, or name another"
                )
            if nulls:
                told["supervised_tokens"] = (
                    f"supervised_tokens: the template cannot render {nulls:,} records; their count is null, "
                    "and a mix on supervised tokens leaves them out"
                )
    return told
