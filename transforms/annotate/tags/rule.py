"""What a row of the score table is, and the vocabularies that several rows share (RE2 alternatives, lower case)."""

from typing import Literal, NamedTuple


class Rule(NamedTuple):
    """A pattern that adds ``weight`` to ``task`` where it matches the text that ``where`` names (views.Views)."""

    task: str
    weight: float
    where: Literal["ask", "opening", "prompt", "answer", "answer_raw"]
    pattern: str
    given: bool | None = None  # only with a passage, only without one, or either


MADE = (
    r"(?:poem|haiku|limerick|sonnet|song|lyrics|rap|story|stories|tale|novel|fable|joke|pun|riddle|essay|letter|e-?mail|"
    r"speech|toast|tweet|blog|article|review|slogan|tagline|ad|advert\w*|jingle|screenplay|monologue|diary|journal|"
    r"paragraph|obituary|script for|invitation|memo|cover letter|press release|post|caption|narrative|anecdote|"
    r"description of|message|note to|resume|dialogue|conversation|proposal|statement of|announcement|headline)"
)
LANGUAGE = (
    r"(?:english|french|spanish|german|italian|portuguese|russian|chinese|mandarin|japanese|korean|hindi|arabic|finnish|"
    r"swedish|dutch|latin|greek|turkish|marathi|urdu|bengali|tamil|vietnamese|polish|romanian|hebrew|thai|swahili)"
)
CODE_NAME = (
    r"(?:python|java|javascript|js|typescript|c\+\+|c#|php|ruby|perl|golang|rust|kotlin|swift|scala|matlab|sql|mysql|"
    r"html5?|css|bash|shell script|powershell|regex|regular expression|react|node\.?js|jquery|json|xml|verilog)"
)
CODE_THING = (
    r"(?:code|codebase|program|script|function|method|class|algorithm|query|snippet|regex|module|api|endpoint|loop|"
    r"app|application|component|stylesheet|webpage|web page|command|pseudocode|unit tests?|subroutine|procedure)"
)
MAKE = (
    r"(?:write|create|implement|generate|construct|compose|develop|build|design|convert|fix|debug|refactor|translate|complete|"
    r"optimi[sz]e|code|program|make|modify|provide|define|add|produce|set up)"
)
TEXT = (
    r"(?:passage|text|paragraph|article|excerpt|context|sentence|snippet|information|reference|document|below|story)s?"
)
