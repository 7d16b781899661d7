"""`tinyrefinery label-quality`: how close each kind of label is to the true labels."""

from pathlib import Path
from typing import Annotated

from tinyrefinery.cli import streams
from tinyrefinery.cli.options import (
    Human,
    HumanColumn,
    HumanKey,
    Recipe,
    Refiners,
    Stages,
    check_default,
    option,
    output_file,
)
from tinyrefinery.cli.progress import log_progress
from tinyrefinery.files import write_csv
from tinyrefinery.networks.opening import open_networks
from tinyrefinery.refiners.compared_networks import recipe_for, split_words
from tinyrefinery.refiners.label_report import COLUMNS, quality_table


def label_quality(
    refiners: Refiners,
    recipe: Recipe = None,
    stage: Stages = None,
    images: Annotated[int, option("N", "Maximum number of images.", min=2)] = 10_000,
    bn_group: Annotated[
        list[int] | None,
        option(
            "N", "Crops that share batch statistics. Repeatable.", default="16, 64 and 256", min=2
        ),
    ] = None,
    human: Human = None,
    human_key: HumanKey = None,
    human_column: HumanColumn = None,
    split: Annotated[str, option("SPLIT", "Split that has human labels.")] = "test",
    out: Annotated[
        Path | None, output_file("CSV file to write.", default="label-quality.csv in the first run")
    ] = None,
) -> None:
    """Score each kind of label against true or human labels.

    True crop labels exist only for generated data, e.g. of the demo. Human labels are read from
    --human. All seeds of a run are used.
    """
    words, overrides = split_words(refiners)
    targets = open_networks(words, stages=stage or (), seeds="all")
    loaded = recipe_for(targets, recipe, overrides)
    run = next((each.run for each in targets if each.run is not None), None)
    path = out or (run / "label-quality.csv" if run else Path("label-quality.csv"))
    check_default(path, other="--out FILE")
    log_progress()
    from tinyrefinery.refiners.assessment import HumanFile
    from tinyrefinery.refiners.label_grid import Grid, label_lines

    people = HumanFile(human, human_key, human_column, split) if human else None
    chosen = {"bn_groups": tuple(bn_group)} if bn_group else {}
    grid = Grid(images=images, human=people, split=split, **chosen)
    lines = list(label_lines(targets, loaded, grid))
    write_csv(path, COLUMNS, lines)
    console = streams.console()
    for basis in dict.fromkeys(line["basis"] for line in lines):
        console.print(quality_table(lines, basis))
    streams.print_lines(console, f"Written: {path}")
