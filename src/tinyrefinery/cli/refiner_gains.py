"""`tinyrefinery refiner-gains`: does a refiner's verdict foretell what its students gain?"""

from pathlib import Path
from typing import Annotated

import typer

from tinyrefinery.cli.options import a_file
from tinyrefinery.cli.refiner import BatchNorm, BnGroup, Crops, Images, Labelling


def refiner_gains(
    run: Annotated[Path, typer.Argument(help="A finished run with refiners and their students.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Changes to the run's recipe.")
    ] = None,
    plain: Annotated[
        str | None,
        typer.Option(
            help="Stage that gains are measured against; else the student's architecture with "
            "given labels."
        ),
    ] = None,
    images: Images = 2000,
    crops: Crops = 4,
    batch_norm: Labelling = BatchNorm.batch,
    bn_group: BnGroup = None,
    out: Annotated[
        Path | None,
        typer.Option(help="CSV file; else refiner-gains.csv in the run folder.", callback=a_file),
    ] = None,
) -> None:
    """Set what is said of RUN's refiners beside the gains of who learned from them."""
    from rich.console import Console

    from tinyrefinery.cli.outcome import log_progress
    from tinyrefinery.files import check_writable
    from tinyrefinery.recipe.load import load_recipe
    from tinyrefinery.refiners.gains_report import gains_table, rank_table, write_gains
    from tinyrefinery.runs.folder import open_run

    open_run(run)  # which says what is wrong before anything heavy is loaded
    recipe = load_recipe(run / "recipe.yaml", overrides or [])
    path = out or run / "refiner-gains.csv"
    check_writable(files=[path])
    log_progress()
    from tinyrefinery.refiners.assessment import Options
    from tinyrefinery.refiners.gains import gain_lines

    options = Options(images, crops, batch_norm.value, bn_group)
    lines = list(gain_lines(run, recipe, options, plain))
    write_gains(path, lines)
    console = Console(emoji=False)  # a path may hold :x:
    console.print(gains_table(lines))
    console.print(rank_table(lines))
    console.print(f"Written: {path}", soft_wrap=True, markup=False, highlight=False)
