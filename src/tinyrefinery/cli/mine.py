"""`tinyrefinery mine`: a queue of images that are worth a person's look."""

from pathlib import Path
from typing import Annotated

import typer

from tinyrefinery.cli.options import Like, Row, Seed, Stage, a_file


def mine(
    run: Annotated[
        Path, typer.Argument(help="A run folder, a stage's folder, or an ONNX file made of one.")
    ],
    tests: Annotated[
        Path | None, typer.Option(help="File of data tests; those that fail give images.")
    ] = None,
    budget: Annotated[int, typer.Option(min=1, help="Images, at most.")] = 200,
    out: Annotated[Path, typer.Option("--out", "-o", help="The queue.", callback=a_file)] = Path(
        "queue.jsonl"
    ),
    refiner: Annotated[
        Path | None, typer.Option(help="Run or network file to hold the network against.")
    ] = None,
    share: Annotated[
        list[str] | None,
        typer.Option(help="Share of a reason, e.g. random=0.2; several times."),
    ] = None,
    stage: Stage = None,
    seed: Seed = None,
    row: Row = None,
    like: Like = None,
    draw_seed: Annotated[int, typer.Option(help="Of the random share.")] = 0,
) -> None:
    """Choose images of RUN for people to look at, each with the reason why."""
    from tinyrefinery.cli.outcome import log_progress
    from tinyrefinery.review.mining import mine as choose
    from tinyrefinery.review.queue import write_queue

    shares = _shares(share or [])
    log_progress()
    mined = choose(
        run,
        tests=tests,
        budget=budget,
        seed=draw_seed,
        refiner=refiner,
        shares=shares,
        stage=stage,
        run_seed=seed,
        row=row,
        like=like,
    )
    write_queue(out, mined.queue)
    for name, count in mined.counts.items():
        typer.echo(f"{count:6,} {name} (of {mined.found[name]:,} candidates)")
    for note in mined.notes:
        typer.echo(f"       {note}")
    typer.echo(f"{out}: {len(mined.queue.items):,} images; next: tinyrefinery review {out}")


def _shares(pairs: list[str]) -> dict[str, float]:
    from tinyrefinery.errors import DataError

    found = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise DataError(f"--share {pair}: expected e.g. random=0.2") from None
    return found
