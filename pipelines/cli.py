"""``gristmill``: the command and its subcommands. Imports stay lazy: ``--help`` loads neither Beam nor Arrow."""

import errno
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from schemas.errors import GristmillError
from schemas.version import __version__

# One process per core is the parallelism; a thread per core in each of them only gets in the others' way. Read by NumPy
# when it is imported, and inherited by workers.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

app = typer.Typer(
    name="gristmill",
    help="Turn raw instruction data into verified, versioned data set releases, and train on them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RecipePath = Annotated[Path, typer.Argument(help="the recipe, a YAML file", show_default=False)]
ReleasePath = Annotated[
    str,
    typer.Argument(metavar="RELEASE", help="a release, for example releases/mix/1.0.0 or s3://…", show_default=False),
]
ConfigPath = Annotated[Path, typer.Argument(help="the training configuration, a YAML file", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="over the file, for example data.epochs=3", show_default=False),
]
OutDir = Annotated[str, typer.Option(metavar="FOLDER|URL", help="folder of releases, or s3://bucket/releases")]
WorkDir = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER|URL", help="folder of the reusable corpus, or a URL; default: .gristmill in the output folder"
    ),
]


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": False})
def curate(
    context: typer.Context,
    recipe: RecipePath,
    out: OutDir = "releases",
    work_dir: WorkDir = None,
    workers: Annotated[int, typer.Option(help="processes of the local runner; 0 means one per core")] = 0,
    engine: Annotated[
        str | None, typer.Option(help="local, prism, flink, spark, dataflow or a Beam runner; see gristmill engines")
    ] = None,
    parallelism: Annotated[int | None, typer.Option(help="how many workers an engine elsewhere uses")] = None,
    ship: Annotated[
        bool, typer.Option("--ship", help="send this installation's wheels to the engine's workers")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="only warnings and the result")] = False,
) -> None:
    """Run a recipe and publish <out>/<name>/<version>. What stands after -- goes to Beam."""
    from pipelines.engine import Engine
    from schemas.store import announce
    from transforms.storage import place

    root = place(out)
    work = place(work_dir) if work_dir else root / ".gristmill"
    announce(root, work)
    with Engine(workers or os.cpu_count() or 1, engine, tuple(context.args), parallelism, ship) as opened:
        from pipelines.curate import curate as run
        from pipelines.report import Report

        report = Report(quiet)
        if not opened.profile.here and "://" not in str(out):
            root = root.absolute()  # workers elsewhere stand in another folder
        if not opened.profile.here and "://" not in str(work):
            work = work.absolute()
        path = run(recipe, root, work, opened, report)
        if not quiet:
            from pipelines.show import show

            show(path, report.console)
    typer.echo(path)


@app.command()
def engines() -> None:
    """Say which engines are ready here, what each lacks, and the Beam options that each sets."""
    from pipelines.engine import quiet
    from pipelines.lean import import_beam

    quiet()
    import_beam()
    from pipelines.engines.table import engines as run

    run()


@app.command()
def plan(recipe: RecipePath) -> None:
    """Say what a run would do: sources, shapes, rows, bytes, deduplication curve, memory. Writes nothing."""
    from pipelines.plan import plan as run

    run(recipe)


@app.command()
def signals(
    recipe: RecipePath,
    out: OutDir = "releases",
    work_dir: WorkDir = None,
    workers: Annotated[int, typer.Option(help="processes to read new files with; 0 means one per core")] = 0,
    source: Annotated[list[str] | None, typer.Option(help="only this source; may be given again")] = None,
    signal: Annotated[list[str] | None, typer.Option(help="only this signal, by source; may be given again")] = None,
    rule: Annotated[str | None, typer.Option(help="one rule, for example length.answer_words.max")] = None,
    threshold: Annotated[float | None, typer.Option(help="what the rule would drop at another threshold")] = None,
    examples: Annotated[int, typer.Option(help="records to show on each side of the rule's threshold")] = 3,
    json: Annotated[Path | None, typer.Option(help="write the same facts to this file")] = None,
) -> None:
    """Look at what is measured of the records, and at what filters would drop. Publishes nothing."""
    from pipelines.report import Report
    from pipelines.signal_table import print_facts, results_console
    from pipelines.signals import Asked, write_json
    from pipelines.signals import signals as run
    from transforms.storage import place

    work = place(work_dir) if work_dir else place(out) / ".gristmill"
    asked = Asked(tuple(source or ()), tuple(signal or ()), rule, threshold, examples)
    facts = run(recipe, work, workers or os.cpu_count() or 1, asked, Report())
    if json is not None:
        write_json(facts, json)
    print_facts(facts, results_console())


@app.command()
def filters(
    name: Annotated[str | None, typer.Argument(help="one of them, to see its settings", show_default=False)] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="print docs/filters.md, the page of all filters")
    ] = False,
) -> None:
    """List the filters that a recipe may name, or one with its settings, their defaults and what it reads."""
    from pipelines.filters_list import show as run

    typer.echo(run(name, markdown))


@app.command()
def verify(
    release: ReleasePath,
    near: Annotated[
        bool,
        typer.Option("--near", help="have datasketch look for near duplicates that were left; 0.3 ms a record"),
    ] = False,
) -> None:
    """Check every checksum, count and law of a release. Exit status 0 or 1."""
    from pipelines.report import harmless
    from pipelines.verify import verify as run
    from transforms.storage import place

    where = place(release)
    problems = run(where)
    if near and not problems:
        from pipelines.open_release import open_manifest
        from pipelines.second_opinion import near_duplicates

        problems = list(near_duplicates(where, open_manifest(where)))
    for problem in problems:
        typer.echo(f"wrong: {harmless(problem)}", err=True)
    if problems:
        raise typer.Exit(1)
    typer.echo(f"{release}: verified")


@app.command()
def why(
    release: ReleasePath,
    record: Annotated[str, typer.Argument(help="an id, or FILE:INDEX as in the ledger", show_default=False)],
) -> None:
    """Say what became of a record, and because of which other record."""
    from pipelines.why import why as run
    from transforms.storage import place

    run(place(release), record)


@app.command()
def show(release: ReleasePath) -> None:
    """Show a release's tables: sources by stage, asked against got, splits."""
    from pipelines.show import show as run
    from transforms.storage import place

    run(place(release))


@app.command()
def clean(
    out: Annotated[
        str,
        typer.Argument(metavar="OUT", help="folder or URL of releases, as for curate", show_default=False),
    ],
    work_dir: WorkDir = None,
    older_than: Annotated[float, typer.Option(help="hours without a change; what is younger may be at work")] = 24.0,
    corpus: Annotated[
        bool, typer.Option("--corpus", help="the reusable corpus too; the next run reads all anew")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be removed")] = False,
) -> None:
    """Remove what dead runs left: staged files, run folders, claims without a release. Never a published release."""
    from pipelines.clean import clean as run
    from transforms.storage import place

    root = place(out)
    run(root, place(work_dir) if work_dir else root / ".gristmill", older_than, corpus, dry_run)


@app.command()
def train(
    config: ConfigPath,
    overrides: Overrides = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="say steps, packs, tokens and lost rows by source; train nothing")
    ] = False,
) -> None:
    """Train a model on a release, or go on where an earlier run of the same configuration stopped."""
    from pipelines.train_commands import train as run

    run(config, overrides or [], plan)


@app.command()
def masks(
    config: ConfigPath,
    overrides: Overrides = None,
    show: Annotated[int, typer.Option(min=1, help="rows to show, of all sources in turn")] = 5,
    id: Annotated[str | None, typer.Option(help="the row with this id, or with a unique start of it")] = None,
) -> None:
    """Show what of a release's rows would be learned, token by token. Needs no torch."""
    from pipelines.train_commands import masks as run

    run(config, overrides or [], show, id)


@app.command()
def rows(
    config: ConfigPath,
    overrides: Overrides = None,
    step: Annotated[
        int | None, typer.Option(help="the records of this step, from 1 as in metrics.jsonl", show_default=False)
    ] = None,
    id: Annotated[str | None, typer.Option(help="every step that holds this record", show_default=False)] = None,
) -> None:
    """Say which records a training step holds, or which steps hold a record: computed from the plan, without torch."""
    from pipelines.train_commands import rows as run

    run(config, overrides or [], step, id)


@app.command()
def schema(
    what: Annotated[str, typer.Argument(help="recipe, record or manifest")] = "recipe",
) -> None:
    """Print a JSON Schema; editors complete recipes by it."""
    from pipelines.schema import schema as run

    typer.echo(run(what))


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


# What the disk says of a folder that was named: the user's affair, not ours.
_OF_THE_DISK = {errno.EACCES, errno.EDQUOT, errno.EEXIST, errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS}


def main() -> None:
    """Entry point: a user's mistake is one sentence on stderr and exit status 2."""
    # Arrow's own allocator keeps what it has freed: 300 MB more at 79,000 records with two workers, and no faster.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    try:
        app(standalone_mode=True)
    except GristmillError as error:
        from pipelines.report import harmless

        typer.echo(f"error: {harmless(str(error))}", err=True)
        sys.exit(2)
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            _end_with(error)
        # The reader of our output has gone (gristmill … | head); that is no error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _end_with(error: OSError) -> None:
    if error.errno not in _OF_THE_DISK:
        raise error
    from pipelines.report import harmless

    place = f"{error.filename}: " if error.filename else ""
    typer.echo(f"error: {harmless(f'{place}{error.strerror}')}; name folders that can be written, with space", err=True)
    sys.exit(2)


if __name__ == "__main__":
    main()
