"""Fine-tune a network for int8: a run of one stage, from refined labels, in 8 bits.

The labels are those that the network was trained from, if a refiner made them. Otherwise the float
network is the refiner. The epoch with the smallest validation loss is kept.
"""

from pathlib import Path
from typing import Any

from tinyrefinery.errors import DataError
from tinyrefinery.execution.execute import run
from tinyrefinery.networks.network import Network
from tinyrefinery.networks.opening import of_stage, open_network
from tinyrefinery.options.labels import Refined
from tinyrefinery.options.messages import check
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.recipe.stage import Stage
from tinyrefinery.runs.plan import Job
from tinyrefinery.runs.run_folder import TrainedStage, open_run

STAGE = "int8"
"""Id of the stage."""
RATE = 0.02
"""Learning rate, as a share of the one that the network was trained with."""


def check_fine_tuning(network: Network) -> None:
    """Refuse a network whose training is not known, before the work starts.

    Raises:
        DataError: if it is in no run.
    """
    if network.stage is None or network.recipe is None:
        raise DataError(
            f"{network.name}: --fine-tune repeats some epochs of a network's training, but this "
            "one is in no run. Name a run folder, or leave --fine-tune out"
        )


def fine_tune(network: Network, epochs: int, folder: Path) -> Network:
    """Train a copy of a network in 8 bits. What is there already is not trained again.

    Args:
        network: of a run. It is not changed.
        epochs: passes over its training images.
        folder: the run folder to write.

    Returns:
        The fine-tuned network, in float.

    Raises:
        RefineryError: if it can't be trained, e.g. since its images have moved.
    """
    check_fine_tuning(network)
    trained, recipe = network.stage, network.recipe
    assert trained is not None
    assert recipe is not None
    stage = next((s for s in recipe.generations if s.id == trained.stage), None)
    if stage is None:
        raise DataError(
            f"{network.name}: its stage is no longer in the recipe of the run. Name another stage"
        )
    start = trained.intact_network
    chain = run([Job(_recipe(recipe, stage, trained, start, epochs))], folder)
    assert len(chain[0])
    tuned = open_run(folder)
    return of_stage(tuned, next(s for s in tuned.stages[::-1] if s.stage == STAGE))


def _recipe(
    recipe: Recipe, stage: Stage, trained: TrainedStage, start: Path, epochs: int
) -> Recipe:
    """The recipe of the run, with one stage that continues from a network."""
    raw = recipe.model_dump(mode="json")
    optimizer = stage.optimizer.model_dump(mode="json")
    optimizer["lr"] *= RATE
    raw["stages"] = [
        {
            "id": STAGE,
            "model": _model(stage),
            "labels": _labels(stage, trained, start),
            "loss": {"name": "kl"},
            "optimizer": optimizer,
            "schedule": {"name": "cosine", "warmup": 0},
            "epochs": epochs,
            "batch_size": stage.batch_size,
            "clip_norm": stage.clip_norm,
            "init_from": f"file:{start}",
            "int8": True,
            "stop": {"metric": "validation_loss", "patience": None, "restore_best": True},
        }
    ]
    title = f"{trained.stage}, fine-tuned for int8"
    raw |= {"title": title, "seed": trained.seed, "paper": None}
    return check(raw, Recipe, source="fine-tune")


def _model(stage: Stage) -> dict[str, Any]:
    """The architecture, without weights to start from."""
    kwargs = {key: value for key, value in stage.model.kwargs.items() if key != "pretrained"}
    return {"name": stage.model.name, "kwargs": kwargs}


def _labels(stage: Stage, trained: TrainedStage, start: Path) -> dict[str, Any]:
    """Where the labels come from: the stage's refiners, or the network itself."""
    if not isinstance(stage.labels, Refined):
        return {"name": "refined", "by": [f"file:{start}"], "batch_norm": "running"}
    place = {"seed": trained.seed, "row": next(iter(trained.rows), None)}
    by = [
        name if ":" in name else open_network(trained.run_folder, stage=name, **place).source
        for name in stage.labels.by
    ]
    return stage.labels.model_dump(mode="json") | {"by": by, "store": None}
