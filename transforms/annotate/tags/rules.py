"""The score table of tasks: a rule that matches adds its weight to its task. Transparent on purpose: no row is hidden.

Patterns are RE2 on lower-case text. They were written and weighed by hand on the developing part of
``benchmarks/tag_agreement.jsonl`` and on unmarked rows; docs/tags.md holds what came of it.
"""

from transforms.annotate.tags.rule import Rule
from transforms.annotate.tags.rules_given import GIVEN
from transforms.annotate.tags.rules_made import MADE_OR_DONE

RULES: tuple[Rule, ...] = GIVEN + MADE_OR_DONE
