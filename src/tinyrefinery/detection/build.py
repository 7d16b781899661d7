"""From a detector's recipe to objects."""

from pathlib import Path

import torch
from torch import nn

from tinyrefinery import random
from tinyrefinery.data.batches import IMAGENET_MEAN, IMAGENET_STD
from tinyrefinery.detection.box_view import BoxView
from tinyrefinery.detection.boxes import BoxData
from tinyrefinery.detection.detector import Detector
from tinyrefinery.detection.detector_file import DetectorInfo
from tinyrefinery.detection.shapes_dataset import open_shapes
from tinyrefinery.detection.voc import open_voc
from tinyrefinery.errors import CheckpointError, RecipeError
from tinyrefinery.models import create
from tinyrefinery.models.network_file import NetworkInfo, load_network
from tinyrefinery.recipe.detection import Backbone, BoxSource, DetectionRecipe, DetectorSpec, Voc


def box_data(source: BoxSource, *, measured: bool = False) -> BoxData:
    """Open the recipe's images; `measured`: other ones than a detector was trained on."""
    if isinstance(source, Voc):
        return open_voc(source, measured=measured)
    return open_shapes(source)


def detector(recipe: DetectionRecipe, classes: tuple[str, ...]) -> tuple[Detector, DetectorInfo]:
    """A new detector, its weights a function of seed and architecture, or of the backbone's file.

    Raises:
        RecipeError: when the backbone can't be built, or gives no maps.
        CheckpointError: when its file is unreadable, or of another architecture.
    """
    part = recipe.detector
    spec = DetectorSpec(**part.model_dump(exclude={"backbone"}))
    size = (part.size, part.size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random.integer(recipe.seed, "weights"))
        backbone, known = _backbone(part.backbone, len(classes), size)
        try:
            network = Detector(backbone, len(classes), spec)
        except RecipeError as error:
            name = part.backbone.name
            raise RecipeError(f"detector.backbone '{name}': {error}") from error
    mean, std = (known.mean, known.std) if known else (IMAGENET_MEAN, IMAGENET_STD)
    kwargs = {key: value for key, value in part.backbone.kwargs.items() if key != "pretrained"}
    info = DetectorInfo(
        backbone=part.backbone.name,
        kwargs=dict(known.kwargs) if known else kwargs,
        built_for=known.size if known else size,
        classes=classes,
        spec=spec,
        mean=recipe.data.mean or mean,
        std=recipe.data.std or std,
        extra={"seed": recipe.seed},
    )
    layout = torch.channels_last if recipe.engine.channels_last else torch.contiguous_format
    return network.to(memory_format=layout).train(), info


def _backbone(
    part: Backbone, classes: int, size: tuple[int, int]
) -> tuple[nn.Module, NetworkInfo | None]:
    """The network, and what its file says, where it comes from one."""
    if part.init_from is None:
        return create(part.name, classes, size=size, **part.kwargs), None
    path = Path(part.init_from.removeprefix("file:"))
    network, known = load_network(path)
    if known.name != part.name or (part.kwargs and known.kwargs != part.kwargs):
        holds = f"{known.name} {known.kwargs or ''}".strip()
        raise CheckpointError(
            f"{path}: holds a {holds}, not a {part.name} {part.kwargs or ''}; set "
            f"detector.backbone.name={known.name}"
        )
    if known.channels != 3:
        raise CheckpointError(f"{path}: takes grayscale images, but a detector takes color images")
    return network, known


def box_view(
    recipe: DetectionRecipe, data: BoxData, info: DetectorInfo, device: torch.device, *, train: bool
) -> BoxView:
    """Training images as they vary, or whole ones."""
    spec = recipe.data.augment if train else None
    seed = random.integer(recipe.seed, "augment")
    return BoxView(data, info.spec.size, spec, seed, info.mean, info.std, device)
