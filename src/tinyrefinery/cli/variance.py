"""`tinyrefinery variance`: variance of feature maps per layer, over images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from tinyrefinery.cli import streams
from tinyrefinery.cli.options import Split, option, output_folder
from tinyrefinery.errors import DataError
from tinyrefinery.recipe.shipped import locate

if TYPE_CHECKING:
    from tinyrefinery.variance.measure_variances import ImageWeights, LayerVariances


def variance(
    networks: Annotated[
        list[str],
        typer.Argument(
            help="Runs and network files, then data changes, e.g. data.source.root=photos/."
        ),
    ],
    layer: Annotated[
        list[str] | None,
        option("LAYER", "Module path, or conv:5. Repeatable.", default="the last feature maps"),
    ] = None,
    split: Split = "test",
    recipe: Annotated[
        str | None, option("RECIPE", "Recipe that defines the data.", default="that of each run")
    ] = None,
    limit: Annotated[
        int | None, option("N", "Number of images, evenly spaced.", default="all images", min=1)
    ] = None,
    untrained: Annotated[
        bool, typer.Option("--untrained", help="Add each network with random weights.")
    ] = False,
    weights: Annotated[
        bool, typer.Option("--weights", help="Add the image weights of each form of Bias Loss.")
    ] = False,
    out: Annotated[
        Path | None, output_folder("Folder for JSON, CSV, a plot and contact sheets.")
    ] = None,
    images: Annotated[
        int,
        option(
            "N", "Images per contact sheet: N with the lowest variance, N with the highest.", min=0
        ),
    ] = 8,
) -> None:
    """Measure feature-map variance per layer (Bias Loss, Table 5).

    Reports the mean, maximum and minimum over images.
    """
    from tinyrefinery.variance.feature_variances import LAST, summary
    from tinyrefinery.variance.measure_variances import Question, measure, weigh
    from tinyrefinery.variance.variance_report import variance_table

    places = [Path(each) for each in networks if "=" not in each or Path(each).exists()]
    overrides = [each for each in networks if Path(each) not in places]
    if not places:
        raise DataError("name at least one run folder or network file, e.g. runs/demo")
    question = Question(split, tuple(layer or [LAST]), limit, untrained)
    data_recipe = locate(recipe) if recipe else None
    measured = measure(places, overrides, question, data_recipe)
    summaries = [summary(each.values) for each in measured]
    console = streams.console()
    console.print(variance_table(measured, summaries))
    if weights:
        _weigh(console, weigh(places, overrides, question, data_recipe), out)
    if out is not None:
        _write(out, measured, summaries, images)
        streams.print_lines(console, f"\nWritten: {out}")


def _weigh(console: Console, weighed: "list[ImageWeights]", out: Path | None) -> None:
    """Print what Bias Loss weighs images by, and write it beside the variances."""
    from tinyrefinery.variance.variance_report import save_figures
    from tinyrefinery.variance.weights_report import weight_figure, weights_table, write_weights

    console.print(weights_table(weighed))
    if out is not None:
        write_weights(out, weighed)
        save_figures({"weights": weight_figure(weighed)}, out)


def _write(out: Path, measured: "list[LayerVariances]", summaries: list[dict], images: int) -> None:
    """The files of `--out`."""
    from tinyrefinery.variance import variance_report as report

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
