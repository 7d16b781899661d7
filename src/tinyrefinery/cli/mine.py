"""`tinyrefinery mine`: a queue of images for human review."""

from pathlib import Path
from typing import Annotated

import typer

from tinyrefinery.cli import streams
from tinyrefinery.cli.options import (
    DataOverrides,
    Like,
    NetworkPath,
    Row,
    Seed,
    Stage,
    option,
    output_file,
)
from tinyrefinery.cli.progress import log_progress
from tinyrefinery.errors import DataError
from tinyrefinery.review.queue import write_queue


def mine(
    run: NetworkPath,
    overrides: DataOverrides = None,
    tests: Annotated[
        Path | None, option("FILE", "Data-test file. Errors of failed tests are selected.")
    ] = None,
    budget: Annotated[int, option("N", "Maximum number of images.", min=1)] = 200,
    out: Annotated[Path, output_file("Queue file to write.", "--out", "-o")] = Path("queue.jsonl"),
    refiner: Annotated[
        Path | None, option("RUN", "Run or network file. Images where it disagrees are selected.")
    ] = None,
    share: Annotated[
        list[str] | None,
        option("REASON=SHARE", "Share of one reason, e.g. random=0.2. Repeatable."),
    ] = None,
    stage: Stage = None,
    seed: Seed = None,
    row: Row = None,
    like: Like = None,
    test_images: Annotated[
        bool, typer.Option("--test-images", help="Select images of the test split too.")
    ] = False,
    draw_seed: Annotated[int, option("SEED", "Seed of the images drawn at random.")] = 0,
) -> None:
    """Select images for human review, each with a reason."""
    from tinyrefinery.review.mining import mine as choose

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
        overrides=overrides or (),
        test_images=test_images,
    )
    write_queue(out, mined.queue)
    for name, count in mined.counts.items():
        streams.echo(f"{count:6,} {name} (of {mined.found[name]:,} candidates)")
    for note in mined.notes:
        streams.echo(f"       {note}")
    if tests_in := sum(item.is_test for item in mined.queue.items):
        streams.echo(f"{tests_in:6,} of them are test images: review hides predictions for them")
    streams.echo(f"{out}: {len(mined.queue.items):,} images; next: tinyrefinery review {out}")


def _shares(pairs: list[str]) -> dict[str, float]:
    found = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise DataError(f"--share {pair}: expected e.g. random=0.2") from None
    return found
