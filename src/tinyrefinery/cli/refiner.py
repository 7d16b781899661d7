"""`tinyrefinery refiner`: how good a refiner is, before a student trains on its labels."""

import json
from pathlib import Path
from typing import Annotated

from tinyrefinery.cli import streams
from tinyrefinery.cli.options import (
    BatchNorm,
    BnGroup,
    Crops,
    Human,
    HumanColumn,
    HumanKey,
    Images,
    LabelingBatchNorm,
    Recipe,
    Refiners,
    Stages,
    check_default,
    option,
    output_file,
)
from tinyrefinery.cli.progress import log_progress
from tinyrefinery.files import write_atomic
from tinyrefinery.networks.opening import open_networks
from tinyrefinery.refiners.compared_networks import find_student, recipe_for, split_words
from tinyrefinery.refiners.refiner_report import refiner_table, report_lines


def refiner(
    refiners: Refiners,
    recipe: Recipe = None,
    stage: Stages = None,
    seed: Annotated[
        list[int] | None, option("SEED", "Seed to use. Repeatable.", default="the lowest")
    ] = None,
    student: Annotated[
        str | None,
        option(
            "STUDENT",
            "Student trained on the original labels: a stage, stage folder or network file.",
        ),
    ] = None,
    images: Images = 2000,
    crops: Crops = 4,
    batch_norm: LabelingBatchNorm = BatchNorm.batch,
    bn_group: BnGroup = None,
    human: Human = None,
    human_key: HumanKey = None,
    human_column: HumanColumn = None,
    out: Annotated[
        Path | None, output_file("JSON file to write.", default="refiners.json in the first run")
    ] = None,
) -> None:
    """Assess and rank refiners before training on their labels.

    Nothing is trained.
    """
    words, overrides = split_words(refiners)
    targets = open_networks(words, stages=stage or (), seeds=seed or "lowest")
    learner = find_student(student, targets, seed or "lowest") if student else None
    loaded = recipe_for(targets, recipe, overrides)
    run = next((each.run for each in targets if each.run is not None), None)
    path = out or (run / "refiners.json" if run else None)
    check_default(path, other="--out FILE")
    log_progress()
    from tinyrefinery.refiners.assessment import HumanFile, Options, assess

    people = HumanFile(human, human_key, human_column) if human else None
    options = Options(images, crops, batch_norm.value, bn_group, people)
    assessed = assess(targets, loaded, options, [learner] if learner else [])
    found = assessed.as_json(learner.name if learner else None)
    if path is not None:
        write_atomic(path, json.dumps(found, indent=1, allow_nan=False))
    console = streams.console()
    console.print(refiner_table(found))
    written = [f"Written: {path}"] if path else []
    streams.print_lines(console, *report_lines(found), *written)
