"""Which annotations a recipe needs: each only if something in the recipe asks for it."""

import difflib
from pathlib import Path

import pyarrow as pa

from schemas.chat.settings import resolve
from schemas.chat.tokenizer import ChatTokenizer
from schemas.errors import GristmillError
from schemas.features import FEATURES
from schemas.recipe import Recipe
from schemas.scores import Scores
from schemas.selection import Diversity, Model2Vec, SentenceModel
from schemas.strict import nearest
from transforms.annotate.annotation import Annotation, Checked, key
from transforms.annotate.embedding import HashedTfidf, sentence_embedding, static_embedding
from transforms.annotate.language import Language
from transforms.annotate.openings import Openings
from transforms.annotate.quality import WEIGHTS, Quality
from transforms.annotate.scores.chosen import model_scores
from transforms.annotate.supervised import SupervisedTokens
from transforms.annotate.tags import TASKS, Tags
from transforms.annotate.verb_noun import VerbNoun
from transforms.decontaminate.stored import contamination
from transforms.filters import Chosen, needed
from transforms.storage import is_remote


def quality_weights(recipe: Recipe) -> tuple[tuple[str, float], ...]:
    """Component weights of the quality score, by name; empty when nothing asks for the score.

    Raises:
        GristmillError: a weight for a component that does not exist, or no weight above 0.
    """
    if recipe.quality is None and not {"quality", "evol"} & recipe.orders:
        return ()
    given = recipe.quality.weights if recipe.quality else {}
    for name in given:
        if name not in WEIGHTS:
            raise GristmillError(f"quality.weights: unknown component {name!r}; {nearest(name, WEIGHTS)}")
    weights = {**WEIGHTS, **given}
    if not any(weights.values()):
        raise GristmillError("quality.weights: all weights are 0, so there is no score; give one of them a weight")
    return tuple(sorted(weights.items()))


def wanted(
    recipe: Recipe, base: Path, cache: Path, filters: Chosen, quality: bool, tokenizer: ChatTokenizer | None
) -> tuple[Annotation, ...]:
    """Everything that has to be measured for this recipe, each once, by key; a judge's replies go to ``cache``.

    Raises:
        GristmillError: a model or a file that is needed is absent, or a name means nothing.
    """
    found: list[Annotation] = list(needed(filters))
    for name in (recipe.best.shares if recipe.best else None) or {}:
        if name not in recipe.sources:
            raise GristmillError(
                f"best.shares names {name!r}, which is no source; sources: {', '.join(recipe.sources)}"
            )
    for stage in recipe.release.curriculum:
        for name in stage.tasks or []:
            if name not in TASKS:
                raise GristmillError(f"release.curriculum.{stage.name}: unknown task {name!r}; {nearest(name, TASKS)}")
    if recipe.tagged:
        found += [Tags(), Language()]
    if recipe.template is not None and tokenizer is not None:
        found.append(SupervisedTokens(resolve(recipe.template, tokenizer, base)))
    if recipe.decontaminate is not None:
        found.append(contamination(recipe.decontaminate, base, cache))
    if recipe.scores is not None:
        if recipe.scores.judge is not None and is_remote(cache):
            raise GristmillError(
                f"scores.judge keeps its replies in a local folder, not in {cache}; give a local --work-dir"
            )
        found += model_scores(recipe.scores, base, cache)
    if quality:
        found.append(Quality())
    if recipe.diversity is not None and recipe.diversity.max_opening is not None:
        found.append(Openings())
    if recipe.diversity is not None and recipe.diversity.max_verb_noun is not None:
        found.append(VerbNoun())
    if recipe.embedded:
        found.append(_embedding(recipe.diversity or Diversity(), base))
    by_key = {}
    for one in found:
        if isinstance(one, Checked):
            one.check()
        by_key[key(one)] = one
    _check_orders(recipe, found)
    return tuple(by_key[name] for name in sorted(by_key))


def _check_orders(recipe: Recipe, annotations: list[Annotation]) -> None:
    """Whatever decides who comes first is measured, and a number."""
    numbers = [
        field.name
        for schema in (FEATURES, *(one.schema for one in annotations))
        for field in schema
        if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        if field.name not in ("index", "part")  # where a record stood is no measure of it, and goes by ingest.split
        if recipe.tokenizer or not field.name.endswith("tokens")
    ]
    for name in sorted(recipe.orders - {"quality", "evol"} - set(numbers)):
        if name in Scores.model_fields:
            raise GristmillError(f"{name!r} shall decide who comes first, but no model gives it; add scores.{name}")
        known = ["quality", "evol", *numbers]
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
        hint = f"did you mean {close[0]!r}?" if close else "quality and evol are there, and any measured number"
        raise GristmillError(f"{name!r} shall decide who comes first, but nothing measures it; {hint}")


def _embedding(diversity: Diversity, base: Path) -> Annotation:
    chosen = diversity.embedding
    if isinstance(chosen, Model2Vec):
        return static_embedding(str((base / chosen.model2vec).resolve()), diversity.text)
    if isinstance(chosen, SentenceModel):
        local = base / chosen.sentence
        model = str(local.resolve()) if local.exists() else chosen.sentence
        return sentence_embedding(model, diversity.text, chosen.max_tokens)
    return HashedTfidf(chosen.dimensions, diversity.text)
