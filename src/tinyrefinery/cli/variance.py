"""`tinyrefinery variance`: how much feature maps vary, image by image."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinyrefinery.cli.options import a_folder

if TYPE_CHECKING:
    from rich.console import Console

    from tinyrefinery.variance.measuring import LayerVariances, Weighed


def variance(
    networks: Annotated[
        list[str],
        typer.Argument(
            help="Run folders and network files, then changes to the data as path=value."
        ),
    ],
    layer: Annotated[
        list[str] | None,
        typer.Option(help="Path of a module, e.g. blocks.3; may be given several times."),
    ] = None,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    recipe: Annotated[
        str | None, typer.Option(help="Recipe whose data to measure on; else each run's own.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Measure on so many images, evenly spaced.")
    ] = None,
    untrained: Annotated[
        bool, typer.Option("--untrained", help="Also each architecture with new random weights.")
    ] = False,
    weights: Annotated[
        bool,
        typer.Option("--weights", help="Also what each reading of Bias Loss weighs images by."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for JSON, CSV, a plot and sheets of images.", callback=a_folder),
    ] = None,
    images: Annotated[
        int, typer.Option(min=0, help="Images of least and of greatest variance on a sheet.")
    ] = 8,
) -> None:
    """Print the average, maximum and minimum over images of the feature maps' variance."""
    from rich.console import Console

    from tinyrefinery.errors import DataError
    from tinyrefinery.recipe.shipped import locate
    from tinyrefinery.variance.feature_variances import LAST, summary
    from tinyrefinery.variance.measuring import Question, measure, weigh
    from tinyrefinery.variance.report import variance_table

    places = [Path(each) for each in networks if "=" not in each or Path(each).exists()]
    overrides = [each for each in networks if Path(each) not in places]
    if not places:
        raise DataError("name at least one run folder or network file, e.g. runs/demo")
    question = Question(split, tuple(layer or [LAST]), limit, untrained)
    said = locate(recipe) if recipe else None
    measured = measure(places, overrides, question, said)
    summaries = [summary(each.values) for each in measured]
    console = Console(emoji=False)  # a path may hold :x:
    console.print(variance_table(measured, summaries))
    if weights:
        _weigh(console, weigh(places, overrides, question, said), out)
    if out is not None:
        _write(out, measured, summaries, images)
        console.print(f"\nWritten: {out}", soft_wrap=True, markup=False, highlight=False)


def _weigh(console: "Console", weighed: "list[Weighed]", out: Path | None) -> None:
    """Print what Bias Loss weighs images by, and write it beside the variances."""
    from tinyrefinery.variance.report import save_figures
    from tinyrefinery.variance.weights_report import weight_figure, weights_table, write_weights

    console.print(weights_table(weighed))
    if out is not None:
        write_weights(out, weighed)
        save_figures({"weights": weight_figure(weighed)}, out)


def _write(out: Path, measured: "list[LayerVariances]", summaries: list[dict], images: int) -> None:
    """The files of `--out`."""
    from tinyrefinery.variance import report as report

    people = []
    for each in measured:
        manifest = each.data.manifest
        names = (manifest.classes[label] for label in manifest.labels[each.rows])
        people.append(list(zip(manifest.column("id")[each.rows], names, strict=True)))
    report.write_variances(out, measured, summaries, people)
    figures = {"distribution": report.distribution_plot(measured)}
    for number, each in enumerate(measured if images else []):
        ends = each.values.argsort(kind="stable")
        sheets = [
            [
                (
                    each.data.images.pixels(int(each.rows[at])),
                    people[number][at][1],
                    float(each.values[at]),
                )
                for at in side
            ]
            for side in (ends[:images], ends[::-1][:images])
        ]
        seed = "" if each.seed is None else f", seed {each.seed}"
        title = f"{each.network} {each.layer}{seed}"
        figures[f"images {title}"] = report.contact_sheet(title, *sheets)
    report.save_figures(figures, out)
