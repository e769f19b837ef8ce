"""Names of the tags: a code in a column is a position here. New names go to the end, so that codes keep their meaning;
``TAGS_VERSION`` rises with every change of a rule, a weight or a name."""

TAGS_VERSION = 1

TASKS = (
    "other",
    "question_answering",
    "closed_question_answering",
    "summarisation",
    "translation",
    "coding",
    "classification",
    "extraction",
    "creative",
    "dialogue",
    "reasoning",
    "tool_use",
    "brainstorming",
    "rewriting",
)
"""What the first user turn asks for. docs/tags.md holds the guideline by which people mark them."""

FORMATS = ("empty", "prose", "list", "table", "markdown", "code", "json")
"""How the last answer is laid out."""

TONES = ("neutral", "formal", "casual", "enthusiastic")
"""How the last answer speaks."""
