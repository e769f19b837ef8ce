"""Recipe sections that choose among good records: balance by length, diversity, the best, curriculum."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from schemas.strict import Strict
from schemas.units import Amount, Share

Order = str  # "hash" or the name of a score
Similarity = Annotated[float, Field(gt=0, lt=1)]


class Like(Strict):
    """The lengths of another source as the target."""

    like: str = Field(description="name of the source whose lengths the others shall have")


class Balance(Strict):
    """A target histogram over the lengths of answers, by taking fewer of the frequent lengths."""

    per: Literal["source", "task", "all"] = Field("source", description="what is balanced by itself")
    by: Literal["answer_words", "answer_tokens", "answer_characters"] = Field(
        "answer_words", description="how long an answer is; tokens need the recipe's tokenizer"
    )
    edges: list[Annotated[int, Field(gt=0, lt=2**31)]] = Field(
        default=[8, 32, 128, 512, 2048],
        min_length=1,
        max_length=63,
        description="lower bounds of all bins but the first, ascending: each bin holds four times the length of the "
        "one before, as answers' lengths spread over powers",
    )
    target: Literal["flat"] | Like | list[Share] = Field(
        "flat", description='"flat": the same rows in every bin; {like: source}; or a list of shares, one a bin'
    )
    remain: Share = Field(
        default=Share.parse("50 %"),
        description="share of the rows that remain; bins that have too few give all they have and the others the rest",
    )
    max_epochs: Annotated[int, Field(ge=1, le=100)] = Field(1, description="how often one record may be repeated")

    @model_validator(mode="after")
    def _consistent(self) -> "Balance":
        if sorted(set(self.edges)) != self.edges:
            raise ValueError(f"edges {self.edges} must ascend, each once")
        if isinstance(self.target, list):
            if len(self.target) != len(self.edges) + 1:
                raise ValueError(
                    f"target has {len(self.target)} shares for {len(self.edges) + 1} bins ({len(self.edges)} edges)"
                )
            total = sum(share.value for share in self.target)
            if total != 1:
                raise ValueError(f"target adds up to {float(total * 100):g} %, not 100 %")
        return self


class Model2Vec(Strict):
    """A static embedding model: model2vec's folder format."""

    model2vec: str = Field(description="folder with model.safetensors, tokenizer.json and config.json")


class SentenceModel(Strict):
    """An encoder through transformers, mean-pooled."""

    sentence: str = Field(description="folder or hub id; needs the train extra")
    max_tokens: Annotated[int, Field(ge=8, le=8192)] = Field(256, description="longer texts are cut here")


class Hashed(Strict):
    """Words hashed and projected; no model, nothing to download."""

    dimensions: Annotated[int, Field(ge=16, le=1024)] = Field(256, description="length of a vector")


class Diversity(Strict):
    """Against one voice and one subject: caps on phrasings, a distance, quotas over clusters."""

    text: Literal["prompt", "response", "whole"] = Field("prompt", description="what is embedded")
    embedding: Model2Vec | SentenceModel | Hashed = Field(default_factory=Hashed, description="how it is embedded")
    clusters: Annotated[int, Field(ge=2, le=4096)] = Field(64, description="clusters of the embeddings")
    sample: Amount = Field(
        default=Amount.parse("20000 rows"), description="rows that clusters are fitted on, drawn by the recipe's seed"
    )
    order: Order = Field("hash", description='who stays first: "hash" for chance, or the name of a score, e.g. quality')
    max_opening: Share | Amount | None = Field(
        None, description="most records that may open their answer with the same three words: a share or rows"
    )
    max_verb_noun: Share | Amount | None = Field(
        None, description="most records that may ask for the same thing (verb and noun): a share or rows"
    )
    similarity: Similarity | None = Field(
        None, description="cosine similarity to a record that stays from which a record of the same cluster goes"
    )
    quota: Literal["equal", "sqrt"] | list[Share] | None = Field(
        None, description="what each cluster may give: the same, by the root of its size, or a list of shares, one each"
    )
    remain: Share = Field(default=Share.parse("50 %"), description="with a quota: share of the rows that remain")

    @field_validator("sample", "max_opening", "max_verb_noun")
    @classmethod
    def _in_rows(cls, amount: Share | Amount | None) -> Share | Amount | None:
        if isinstance(amount, Amount) and (amount.unit != "rows" or amount.number < 1):
            raise ValueError(f"{amount} must be rows, at least one")
        return amount

    @model_validator(mode="after")
    def _consistent(self) -> "Diversity":
        if isinstance(self.quota, list):
            if len(self.quota) != self.clusters:
                raise ValueError(f"quota has {len(self.quota)} shares for {self.clusters} clusters")
            total = sum(share.value for share in self.quota)
            if total != 1:
                raise ValueError(f"quota adds up to {float(total * 100):g} %, not 100 %")
        return self


class Best(Strict):
    """The best of what is left, down to a budget, none too near to a better one (DEITA's walk)."""

    size: Amount = Field(description='how many records, for example "1000 rows"')
    by: str = Field(
        "quality",
        description="the score that decides: quality, evol (quality times difficulty, as DEITA multiplies its two), "
        "one of the recipe's scores, or any measured number such as answer_words",
    )
    similarity: Similarity | None = Field(
        0.9,
        description="cosine similarity to a better record from which one is passed over (DEITA: 0.9); null: not asked",
    )
    per: Literal["all", "source", "task", "cluster"] = Field(
        "all", description="the budget is for all, or divided evenly over sources, tasks or clusters"
    )
    shares: dict[str, Share] | None = Field(None, description="with per source: how the budget is divided")

    @model_validator(mode="after")
    def _consistent(self) -> "Best":
        if self.size.unit != "rows" or not 1 <= self.size.number <= 10_000_000:
            raise ValueError(f"size {self.size} must be rows, from 1 to 10,000,000")
        if self.shares is not None:
            if self.per != "source":
                raise ValueError(f"shares are by source, but per is {self.per}; set per: source")
            total = sum(share.value for share in self.shares.values())
            if total != 1:
                raise ValueError(f"shares add up to {float(total * 100):g} %, not 100 %")
        return self


class Quality(Strict):
    """The heuristic quality score: a weighted harmonic mean of components in [0, 1]."""

    weights: dict[str, Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]] = Field(
        default_factory=dict, description="weights that differ from the defaults, by component (docs/quality.md)"
    )


class Stage(Strict):
    """One stage of a curriculum: what stands in it. What is not asked holds for every record."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$", description="in small letters")
    sources: Annotated[list[str], Field(min_length=1)] | None = Field(None, description="records of these sources")
    tasks: Annotated[list[str], Field(min_length=1)] | None = Field(None, description="records with these task tags")
    difficulty: Annotated[float, Field(ge=0, le=1)] | None = Field(None, description="at most this difficult")
    answer_words: Annotated[int, Field(ge=0)] | None = Field(None, description="at most this many words in the answers")
