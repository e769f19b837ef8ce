"""Prompts that point at something not there go; prompts about images, files and diagrams stay."""

from tests.annotated import alone, failed, hostile, pair, records
from transforms.filters.attachments import FILTER

POINTING = [
    "Describe the attached image.",
    "What is wrong in this screenshot?",
    "What does the picture below show?",
    "Summarise the following video.",
    "Find attached the report and correct it.",
    "What is the value at x = 3 in the diagram above?",
    "I have attached my CV. Improve it.",
    "这张图片里有什么？",
    "如图所示，求角A的度数。",
]
ABOUT = [
    "What is the video game Diablo",
    "Write a Python program that reads a text file and displays the number of words in the file.",
    "In June 1752 he is reputed to have attached a metal key to the bottom of a dampened kite string.",
    "Dana draws many field lines on the chart. The field she is representing is likely strong or weak?",
    "Why are windows not attached directly to the studs of a house?",
    "In the following diagram, these stages are divided into ten steps, from definition to disposal.",
    "A man needs 2 pencils for signing his signature on the pictures. How many in all?",
    "List all the files in the current directory",
    "请将以下图形分类为二次曲线", "",
]  # fmt: skip


def test_references():
    assert failed(FILTER, records(*(pair(text, "So.") for text in POINTING))) == [{"references"}] * len(POINTING)
    assert failed(FILTER, records(*(pair(text, "So.") for text in ABOUT))) == [set()] * len(ABOUT)


def test_settings_and_turns():
    assert failed(FILTER, records(pair(POINTING[0], "So.")), references=1) == [set()]
    assert failed(FILTER, records(pair("How?", POINTING[0]))) == [set()]


def test_alone_and_hostile():
    assert alone(FILTER, records(*(pair(text, "So.") for text in (*POINTING, *ABOUT))))
    assert failed(FILTER, hostile()) == [set()] * len(hostile())
