"""The books: what ingest, decisions and release counted, held against each other. No record vanishes."""

from dataclasses import dataclass, fields

from pipelines.inputs import Input
from schemas.errors import GristmillError
from schemas.recipe import Recipe
from transforms.corpus import Block, assign_units, block_name, read_done, signals_path
from transforms.readers import ReadStats
from transforms.signals import SignalSettings

COUNTS = tuple(field.name for field in fields(ReadStats))


@dataclass(frozen=True)
class Ingested:
    """The corpus of this run: accounts by (source, file) and all blocks in address order."""

    accounts: dict[tuple[str, str], ReadStats]
    blocks: list[Block]
    # (source, file, raw row at which the split begins, folder) of splits with quarantined rows, in address order
    quarantines: list[tuple[str, str, int, str]]

    @property
    def records(self) -> int:
        return sum(block.rows for block in self.blocks)

    @property
    def units(self) -> int:
        return self.blocks[-1].unit + 1


def take_stock(inputs: list[Input], names: list[str], settings: SignalSettings) -> Ingested:
    """Number all blocks in the order of source, file, split, and add up what ingest counted.

    Raises:
        GristmillError: a split is missing from the corpus, or its counts do not add up.
    """
    accounts: dict[tuple[str, str], ReadStats] = {}
    blocks: list[Block] = []
    quarantines = []
    base = 0
    for one in inputs:
        account = accounts.setdefault((one.source, one.file.name), ReadStats())
        for work in one.works:
            done = read_done(work.text)
            if done is None:
                raise GristmillError(f"{one.file.name}: a piece is missing from the corpus; run again")
            first_row = account.rows
            account.add(ReadStats(**{name: done[name] for name in COUNTS}))
            if done["quarantined"]:
                quarantines.append((one.source, one.file.name, first_row, str(work.text)))
            stored = sum(block["rows"] for block in done["blocks"])
            if done["records"] != stored:
                raise GristmillError(
                    f"{one.file.name}: {done['records']} records were read and {stored} stored; "
                    "remove the work folder and run again"
                )
            for number, block in enumerate(done["blocks"]):
                blocks.append(
                    Block(
                        base, block["rows"], block["bytes"], names.index(one.source), one.file.name, first_row,
                        str(work.text / block_name(number)), signals_path(work.signals(settings), number),
                    )
                )  # fmt: skip
                base += block["rows"]
    return Ingested(accounts, assign_units(blocks), quarantines)


def check_budget(recipe: Recipe, ingested: Ingested, reasons: dict[str, str]) -> None:
    """Stop when a source has more bad rows than its error budget.

    Raises:
        GristmillError: naming the source, both shares and the first reason.
    """
    for name, source in recipe.sources.items():
        files = [account for (owner, _), account in ingested.accounts.items() if owner == name]
        rows, bad = sum(one.rows for one in files), sum(one.quarantined for one in files)
        budget = source.max_bad or recipe.ingest.max_bad
        if rows and bad > budget.value * rows:
            raise GristmillError(
                f"source {name!r}: {bad:,} of {rows:,} rows ({bad / rows:.1%}) cannot be read, more than max_bad "
                f"{budget}; first reason: {reasons.get(name, 'unknown')}"
            )


def check_loss(recipe: Recipe, dropped: dict[str, int], entered: dict[str, int], examples: dict[str, str]) -> None:
    """The wipe-out guard: stop when deduplication takes more of a source than allowed.

    Raises:
        GristmillError: naming the source, both shares and what to do.
    """
    for name, source in recipe.sources.items():
        allowed = source.max_loss or recipe.dedup.max_source_loss
        if entered[name] and dropped[name] > allowed.value * entered[name]:
            raise GristmillError(
                f"source {name!r} would lose {dropped[name]:,} of {entered[name]:,} records "
                f"({dropped[name] / entered[name]:.1%}) to deduplication, more than its allowed {allowed}"
                f"{examples.get(name, '')}; raise sources.{name}.max_loss if that is right, "
                "or compare another side or raise dedup.near.similarity"
            )


def check_conservation(place: str, into: int, out: dict[str, int]) -> None:
    """in = out, or the run fails.

    Raises:
        GristmillError: with both sides.
    """
    if into != sum(out.values()):
        parts = " + ".join(f"{count:,} {name}" for name, count in out.items())
        raise GristmillError(
            f"conservation broken in {place}: {into:,} records went in, {parts} = {sum(out.values()):,} came out; "
            "nothing was published, please report this"
        )
