"""Placeholders: an answer that is little but blanks goes, a letter with a few stays; all are counted."""

from tests.annotated import alone, answers, failed, hostile, pair, records
from transforms.filters.placeholders import FILTER

WITH = [
    "Dear [Recipient's Name],\n\nI am excited to present a captivating novel idea.\n\nBest regards,\n\n[Your Name]",
    "Hi <insert name here>, I’m running a fever and my doctor recommended I find someone else to help.",
    "At [Company Name], we've been working on data for many years to solve the problems of society.",
    "We removed our son from the camp and are requesting a refund.\n\nSincerely,\n[insert name]",
    "Dear {{ first_name }}, thank you for the order you placed with us last week.",
    "To call a New York number dial 8 10 1 212 XXXXXXX and wait for the second tone.",
    "请党组织给予我考察和培养的机会，让我能够更好地发挥自己的作用。申请人：XXX",
]
WITHOUT = [
    "const [name, setName] = useState('');",
    "for city in sorted_cities: names.append([city[0] for city in cities])",
    "return daysOfWeek[date.getDay()];",
    "See [your guide](https://example.org/guide) and [name]: a reference.",
    "Super Bowl XXX was played in 1996.",
    'String[] tens = {"", "X", "XX", "XXX", "XL"};',
    "([myVar v] of (item (index) of [names v]))",
    "<name>.x and <name>.y are the coordinates.",
    "[Enter FATHER, MOTHER, and HYRUM]",
    "Add a TODO list to the page.",
    "7", "",
]  # fmt: skip


def test_any_number_is_allowed_by_default():
    assert failed(FILTER, answers(*WITH)) == [set()] * len(WITH)


def test_count():
    assert failed(FILTER, answers(*WITH), count=0) == [{"count"}] * len(WITH)
    assert failed(FILTER, answers(*WITHOUT), count=0, share=0.0) == [set()] * len(WITHOUT)
    assert failed(FILTER, answers(WITH[0]), count=2) == [set()]


def test_share_is_of_the_worst_answer():
    form = "[Your Name]\n[Your Address]\n[City, State]\n[Date]\n\nDear [Recipient Name],\nHello."
    assert failed(FILTER, answers(form, "Hello, I am Ann.")) == [{"share"}, set()]
    assert failed(FILTER, records([*pair("A form", form), *pair("More", "word " * 200)])) == [{"share"}]
    assert failed(FILTER, records(pair(form, "Dear Ann, hello."))) == [set()]


def test_alone_and_hostile():
    assert alone(FILTER, answers(*WITH, *WITHOUT))
    assert failed(FILTER, hostile(), share=1.0, count=0) == [set()] * len(hostile())
