"""From a recipe to data: the data set, its crops and views, and their seeds."""

import torch

from tinyrefinery import random
from tinyrefinery.data.batches import View
from tinyrefinery.data.crops import ColorSpec, CropSpec
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.images import ResidentImages
from tinyrefinery.data.open import open_data
from tinyrefinery.errors import DataError
from tinyrefinery.recipe.data import Data
from tinyrefinery.recipe.schema import Recipe


def dataset(data: Data) -> Dataset:
    """Open the recipe's data set.

    Raises:
        DataError: when it can't be opened, or was handed over by Python code.
    """
    if data.source.name == "given":
        raise DataError(
            "data.source: the data set was handed over by Python code, so a command can't open it; "
            "name a source, e.g. 'data.source={name: folder, root: photos/}'"
        )
    return open_data(data.source.name, **data.source.model_dump(exclude={"name"}))


def train_spec(data: Data) -> CropSpec:
    """The training crop, with its flips, rotations and colors."""
    crop = data.train_crop
    options = crop.model_dump(exclude={"name", "size"})
    color = ColorSpec(**data.color.model_dump()) if data.color else None
    return CropSpec(
        crop.name, crop.size, flip=data.flip, rotate=data.rotate, color=color, **options
    )


def eval_spec(data: Data) -> CropSpec:
    """The crop that networks are evaluated on."""
    return CropSpec("center", data.eval_crop.size, resize=data.eval_crop.resize)


def stage_seed(recipe: Recipe, what: str, generation: int, own: int | None = None) -> int:
    """Seed of a stage's weights, order or training noise.

    It depends on the recipe's seed and the generation: stages of one generation have the same, so
    that they can be compared in pairs, unless one has a seed of its own.
    """
    return random.integer(recipe.seed, what, generation, *([] if own is None else [own]))


def train_view(
    recipe: Recipe,
    data: Dataset,
    generation: int,
    device: torch.device,
    pool: int | None = None,
) -> View:
    """The training crops of a generation, in `pool` streams.

    Each generation sees crops of its own, so that none is labelled on the very crops its refiner
    was trained on.
    """
    own = recipe.data.crop_seed
    seed = random.integer(recipe.seed if own is None else own, "crops", generation)
    return View(data, train_spec(recipe.data), seed, *recipe.data.normalization, device, pool)


def eval_view(recipe: Recipe, data: Dataset, device: torch.device) -> View:
    """Whole images, as networks are evaluated."""
    return View(data, eval_spec(recipe.data), 0, *recipe.data.normalization, device)


def workers(recipe: Recipe, data: Dataset) -> int:
    """Threads that prepare crops; where nothing is decoded they cost more than they give."""
    return 0 if isinstance(data.images, ResidentImages) else recipe.data.workers
