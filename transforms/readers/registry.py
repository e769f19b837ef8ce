"""The shapes, in the order in which they are tried. To add a reader: one file, and one line here."""

import difflib
from collections.abc import Callable

from schemas.errors import GristmillError, Unreadable
from transforms.readers import (
    alpaca,
    dolly,
    hh,
    kto,
    messages,
    natural_instructions,
    oasst,
    preference,
    prompt_completion,
    question_answer,
    self_instruct,
    sharegpt,
    swe_agent,
    taskmaster,
    toolbench,
    transcript,
)
from transforms.readers.shape import RawRow, Shape
from transforms.readers.source import brief

# Those that ask for more come first: a pair with `messages` is a pair, a labelled `messages` is KTO.
SHAPES: tuple[Shape, ...] = (
    hh.SHAPE,
    preference.SHAPE,
    kto.SHAPE,
    messages.SHAPE,
    sharegpt.SHAPE,
    self_instruct.SHAPE,
    natural_instructions.SHAPE,
    taskmaster.SHAPE,
    oasst.NESTED,
    oasst.FLAT,
    swe_agent.SHAPE,
    toolbench.SHAPE,
    dolly.SHAPE,
    alpaca.SHAPE,
    prompt_completion.SHAPE,
    question_answer.SHAPE,
    transcript.SHAPE,
)
BY_NAME = {shape.name: shape for shape in SHAPES}
_MAX_KEPT = 4096  # Combinations of keys remembered; a file with more has made its keys up.


def shape_named(name: str) -> Shape:
    """The shape a recipe forces; raises GristmillError that names the nearest known one."""
    if name in BY_NAME:
        return BY_NAME[name]
    near = difflib.get_close_matches(name, BY_NAME, n=1)
    hint = f', do you mean "{near[0]}"' if near else f"; the known ones are {', '.join(BY_NAME)}"
    raise GristmillError(f'no reader knows the shape "{name}"{hint}')


def finder() -> Callable[[RawRow], Shape]:
    """A function from a row to its shape, which remembers what each combination of keys can be.

    The function raises Unreadable, naming the keys, for a row that no shape fits.
    """
    known: dict[tuple[str, ...], Shape | tuple[Shape, ...]] = {}

    def find(row: RawRow) -> Shape:
        keys = tuple(row)
        found = known.get(keys)
        if found is None:
            found = _candidates(frozenset(keys))
            if len(known) >= _MAX_KEPT:
                known.clear()
            known[keys] = found
        if found.__class__ is Shape:
            return found
        assert isinstance(found, tuple)
        for shape in found:
            if shape.confirm is None or shape.confirm(row):
                return shape
        names = ", ".join(sorted(keys)[:12]) if keys else "none"
        raise Unreadable(f"no known shape has these keys: {brief(names, 200)}; map columns by hand to read it")

    return find


def _candidates(keys: frozenset[str]) -> Shape | tuple[Shape, ...]:
    """The one shape that these keys mean, or those among which the values decide."""
    fitting = []
    for shape in SHAPES:
        if shape.recognise(keys):
            fitting.append(shape)
            if shape.confirm is None:
                break
    return fitting[0] if fitting and fitting[0].confirm is None else tuple(fitting)
