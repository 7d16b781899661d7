"""`tinyrefinery label-quality`: how near labels of every kind are to the truth."""

from pathlib import Path
from typing import Annotated

import typer

from tinyrefinery.cli.options import a_file
from tinyrefinery.cli.refiner import Human, HumanColumn, HumanKey, Recipe, Stage


def label_quality(
    refiners: Annotated[
        list[str],
        typer.Argument(
            help="Run folders (all their seeds), stage folders, network files or timm:NAME; and "
            "overrides of the recipe."
        ),
    ],
    recipe: Recipe = None,
    stage: Stage = None,
    images: Annotated[int, typer.Option(min=2, help="Images at most.")] = 10_000,
    bn_group: Annotated[
        list[int] | None,
        typer.Option(min=2, help="Crops that share statistics; several times. Else 16, 64, 256."),
    ] = None,
    human: Human = None,
    human_key: HumanKey = None,
    human_column: HumanColumn = None,
    split: Annotated[str, typer.Option(help="Whose images people labelled.")] = "test",
    out: Annotated[
        Path | None,
        typer.Option(
            help="CSV file; else label-quality.csv in the first run folder.", callback=a_file
        ),
    ] = None,
) -> None:
    """Compare labels by BN mode, level, soft and hard with crop truth, or with people's."""
    from rich.console import Console

    from tinyrefinery.cli.outcome import log_progress
    from tinyrefinery.files import check_writable
    from tinyrefinery.refiners.label_report import quality_table, write_lines
    from tinyrefinery.refiners.targets import find_targets, recipe_for, split_words

    words, overrides = split_words(refiners)
    targets = find_targets(words, stage or (), "all")
    loaded = recipe_for(targets, recipe, overrides)
    run = next((each.run for each in targets if each.run is not None), None)
    path = out or (run / "label-quality.csv" if run else Path("label-quality.csv"))
    check_writable(files=[path])
    log_progress()
    from tinyrefinery.refiners.assessment import HumanFile
    from tinyrefinery.refiners.label_grid import Grid, label_lines

    people = HumanFile(human, human_key, human_column, split) if human else None
    chosen = {"bn_groups": tuple(bn_group)} if bn_group else {}
    grid = Grid(images=images, human=people, split=split, **chosen)
    lines = list(label_lines(targets, loaded, grid))
    write_lines(path, lines)
    console = Console(emoji=False)  # a path may hold :x:
    for basis in dict.fromkeys(line["basis"] for line in lines):
        console.print(quality_table(lines, basis))
    console.print(f"Written: {path}", soft_wrap=True, markup=False, highlight=False)
