"""`tinyrefinery refiner-gains`: does a refiner's score predict the gain of its students?"""

from pathlib import Path
from typing import Annotated

import typer

from tinyrefinery.cli import streams
from tinyrefinery.cli.options import (
    BatchNorm,
    BnGroup,
    Crops,
    Images,
    LabelingBatchNorm,
    Overrides,
    check_default,
    option,
    output_file,
)
from tinyrefinery.cli.progress import log_progress
from tinyrefinery.files import write_csv
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.refiners.gains_report import COLUMNS, gains_table, rank_table
from tinyrefinery.runs.run_digests import check_run_file
from tinyrefinery.runs.run_folder import open_run


def refiner_gains(
    run: Annotated[Path, typer.Argument(help="Finished run with refiners and their students.")],
    overrides: Overrides = None,
    plain: Annotated[
        str | None,
        option(
            "STAGE",
            "Stage that gains are relative to.",
            default="the student's network trained on the original labels",
        ),
    ] = None,
    images: Images = 2000,
    crops: Crops = 4,
    batch_norm: LabelingBatchNorm = BatchNorm.batch,
    bn_group: BnGroup = None,
    out: Annotated[
        Path | None,
        output_file("CSV file to write.", default="refiner-gains.csv in the run folder"),
    ] = None,
) -> None:
    """Compare each refiner's score with its students' gains."""
    open_run(run)  # reports a bad folder before torch is imported
    recipe = load_recipe(check_run_file(run, run / "recipe.yaml"), overrides or [])
    path = out or run / "refiner-gains.csv"
    check_default(path, other="--out FILE")
    log_progress()
    from tinyrefinery.refiners.assessment import Options
    from tinyrefinery.refiners.gains import gain_lines

    options = Options(images, crops, batch_norm.value, bn_group)
    lines = list(gain_lines(run, recipe, options, plain))
    write_csv(path, COLUMNS, lines)
    console = streams.console()
    console.print(gains_table(lines))
    console.print(rank_table(lines))
    streams.print_lines(console, f"Written: {path}")
