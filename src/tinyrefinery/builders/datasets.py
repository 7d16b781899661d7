"""From a recipe to data: the dataset, its crops and views, and their seeds."""

from pathlib import Path

import torch

from tinyrefinery import random
from tinyrefinery.data.batches import View
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.images import ResidentImages
from tinyrefinery.data.manifest import UNLABELLED
from tinyrefinery.data.open import open_source
from tinyrefinery.data.unlabelled import with_unlabelled
from tinyrefinery.options.crops import Augment
from tinyrefinery.recipe.data import Data
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.recipe.stage import Stage


def dataset(data: Data) -> Dataset:
    """Open the recipe's dataset.

    Raises:
        DataError: when it can't be opened, or was handed over by Python code.
    """
    return open_source(data.source)


def training_dataset(data: Data, given: Dataset | None = None) -> Dataset:
    """The recipe's dataset with the pictures without labels that join its training.

    Args:
        data: of the recipe.
        given: the dataset, if it is open already; None: opened as the recipe says.

    Raises:
        DataError: when it can't be opened.
    """
    opened = given or dataset(data)
    if data.unlabelled is None or len(opened.manifest.rows(UNLABELLED)):
        return opened
    near = getattr(data.source, "near_copies", "together") == "together"
    return with_unlabelled(opened, Path(data.unlabelled).expanduser(), near_copies=near)


def stage_seed(recipe: Recipe, what: str, generation: int, extra: int | None = None) -> int:
    """Seed of a stage's weights, order or training noise.

    It depends on the recipe's seed and the generation: stages of one generation have the same, so
    that they can be compared in pairs, unless a stage has a seed of its own (`extra`).
    """
    return random.integer(recipe.seed, what, generation, *([] if extra is None else [extra]))


def order_seed(recipe: Recipe, stage: Stage, generation: int) -> int | None:
    """Seed of a stage's order of samples; None: that of the crops, whose batches are BN groups."""
    stages = {other.id: other for other in recipe.generations}
    # Stages that train in step have one order, that of the first.
    seed = (stages[stage.beside] if stage.beside else stage).seed
    apart = seed is not None or recipe.data.crop_seed is not None
    return stage_seed(recipe, "order", generation, seed) if apart else None


def train_view(
    recipe: Recipe,
    data: Dataset,
    generation: int,
    device: torch.device,
    pool: int | None = None,
    *,
    mixed: bool = True,
) -> View:
    """The training crops of a generation, in `pool` streams.

    Each generation sees crops of its own, so that none is labeled on the very crops its refiner
    was trained on. With `mixed` false, crops are as they are before they are mixed.
    """
    part = recipe.data
    base = recipe.seed if part.crop_seed is None else part.crop_seed
    seed = random.integer(base, "crops", generation)
    augment = Augment(**{name: getattr(part, name) for name in Augment.model_fields})
    if not mixed:
        augment = augment.model_copy(update={"mix": None})
    return View(data, part.train_crop, seed, *part.normalization, device, pool, augment)


def eval_view(recipe: Recipe, data: Dataset, device: torch.device) -> View:
    """Whole images, as networks are evaluated."""
    return View(data, recipe.data.eval_crop, 0, *recipe.data.normalization, device)


def workers(recipe: Recipe, data: Dataset) -> int:
    """Threads that prepare crops; where nothing is decoded they cost more than they give."""
    return 0 if isinstance(data.images, ResidentImages) else recipe.data.workers
