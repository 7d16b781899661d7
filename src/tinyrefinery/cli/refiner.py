"""`tinyrefinery refiner`: how good a refiner is, before anyone trains on its labels."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tinyrefinery.cli.options import a_file


class BatchNorm(StrEnum):
    """Whose statistics the refiner's batch normalization uses."""

    batch = "batch"
    running = "running"
    calibrated = "calibrated"


Human = Annotated[
    Path | None,
    typer.Option(help="Parquet file of people's votes or probabilities, a line an image."),
]
HumanKey = Annotated[
    str | None, typer.Option(help="Its key column, which the data has too; else path or id.")
]
HumanColumn = Annotated[
    str | None, typer.Option(help="Its column with a number a class; else the usual names.")
]
Recipe = Annotated[
    str | None,
    typer.Option(help="Recipe whose data and crops to use; else that of the first run."),
]
Stage = Annotated[
    list[str] | None, typer.Option(help="Of run folders only this stage; several times.")
]
Student = Annotated[
    str | None,
    typer.Option(
        help="Who is to learn, as trained on given labels: a stage of the first run, a stage's "
        "folder or a network file."
    ),
]

Images = Annotated[int, typer.Option(min=2, help="Training, and validation, images at most.")]
Crops = Annotated[int, typer.Option(min=2, help="Crops of each image.")]
Labelling = Annotated[BatchNorm, typer.Option(help="Batch normalization that labels.")]
BnGroup = Annotated[
    int | None,
    typer.Option(min=2, help="Crops that share statistics; else the recipe's batch size."),
]


def refiner(
    refiners: Annotated[
        list[str],
        typer.Argument(
            help="Run folders, stage folders, network files or timm:NAME; and overrides of the "
            "recipe, e.g. data.source.root=photos/."
        ),
    ],
    recipe: Recipe = None,
    stage: Stage = None,
    seed: Annotated[
        list[int] | None,
        typer.Option(help="Of run folders only this seed; several times. Else the lowest."),
    ] = None,
    student: Student = None,
    images: Images = 2000,
    crops: Crops = 4,
    batch_norm: Labelling = BatchNorm.batch,
    bn_group: BnGroup = None,
    human: Human = None,
    human_key: HumanKey = None,
    human_column: HumanColumn = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="JSON file; else refiners.json in the first run folder.", callback=a_file
        ),
    ] = None,
) -> None:
    """Tell how good REFINERS are, with a verdict each, and rank them; nothing is trained."""
    import json

    from rich.console import Console

    from tinyrefinery.cli.outcome import log_progress
    from tinyrefinery.files import check_writable, write_atomic
    from tinyrefinery.refiners.report import refiner_table, told
    from tinyrefinery.refiners.targets import find_student, find_targets, recipe_for, split_words

    words, overrides = split_words(refiners)
    targets = find_targets(words, stage or (), seed or "lowest")
    learner = find_student(student, targets, seed or "lowest") if student else None
    loaded = recipe_for(targets, recipe, overrides)
    run = next((each.run for each in targets if each.run is not None), None)
    path = out or (run / "refiners.json" if run else None)
    check_writable(files=[path])
    log_progress()
    from tinyrefinery.refiners.assessment import HumanFile, Options, assess

    people = HumanFile(human, human_key, human_column) if human else None
    options = Options(images, crops, batch_norm.value, bn_group, people)
    assessed = assess(targets, loaded, options, [learner] if learner else [])
    found = assessed.as_json(learner.name if learner else None)
    if path is not None:
        write_atomic(path, json.dumps(found, indent=1, allow_nan=False))
    console = Console(emoji=False)  # a path may hold :x:
    console.print(refiner_table(found))
    for line in (*told(found), *([f"Written: {path}"] if path else [])):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
