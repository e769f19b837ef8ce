"""A recipe with everything that can be looked up and checked before work starts."""

from dataclasses import dataclass
from pathlib import Path

from pipelines.wanted import quality_weights, wanted
from schemas.chat.tokenizer import load_tokenizer
from schemas.recipe import Recipe, load_recipe
from transforms.annotate.annotation import Annotation
from transforms.filters import Chosen, choose
from transforms.ingest import Measuring
from transforms.signals import SignalSettings
from transforms.storage import is_remote


@dataclass(frozen=True)
class Job:
    """A recipe with everything that is looked up before work starts."""

    recipe: Recipe
    base: Path  # the recipe's folder
    tokenizer: str | None  # its definition
    settings: SignalSettings
    filters: Chosen
    annotations: tuple[Annotation, ...]  # what the recipe's decisions need besides the signals
    weights: tuple[tuple[str, float], ...]  # of the quality score, empty when nothing asks for it

    @property
    def measuring(self) -> Measuring:
        return Measuring(self.settings, self.tokenizer, self.annotations)

    @property
    def names(self) -> list[str]:
        """Sources by name: their order in the file means nothing."""
        return sorted(self.recipe.sources)


def prepare(recipe_path: Path, work_dir: Path = Path(".gristmill")) -> Job:
    """Read and check everything that can be checked before work starts.

    Raises:
        GristmillError: the first mistake found.
    """
    recipe = load_recipe(recipe_path)
    base = recipe_path.resolve().parent
    filters = choose(recipe.filters, recipe.tokenizer is not None, base)
    chat = load_tokenizer(recipe.tokenizer, base) if recipe.tokenizer else None
    tokenizer = chat.definition if chat else None
    exact, near = recipe.dedup.exact, recipe.dedup.near
    settings = SignalSettings(
        exact_compare=exact.compare if exact else None,
        near_compare=near.compare if near else None,
        shingle=near.shingle if near else 5,
        permutations=near.permutations if near else 8,
        hash_seed=near.hash_seed if near else 1,
        tokenizer=chat.digest if chat else None,
    )
    weights = quality_weights(recipe)
    work_dir = work_dir if is_remote(work_dir) else work_dir.resolve()
    annotations = wanted(recipe, base, work_dir, filters, bool(weights), chat)
    return Job(recipe, base, tokenizer, settings, filters, annotations, weights)
