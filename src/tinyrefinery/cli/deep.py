"""The deep part of `recipe check`: every network is built, on the meta device, without memory."""

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

from tinyrefinery.errors import RecipeError, RefineryError
from tinyrefinery.options.labels import Refined
from tinyrefinery.recipe.detection import DetectionRecipe
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.recipe.stage import Stage

CLASSES = 10
"""Stands for the data's classes, which are not known before it is opened."""


def build_networks(recipes: Sequence[Recipe], source: str) -> str:
    """Build each stage's network and say how large it is, e.g. `, small 78,666 parameters`.

    Args:
        recipes: what to check; the same network in several of them is built once.
        source: the file, which starts the error's lines.

    Raises:
        RecipeError: with a line for each network that can't be built, or when torch is missing.
    """
    try:
        import torch
    except ImportError as error:
        raise RecipeError(f"{source}: --deep needs torch, which is not installed") from error
    sizes: dict[str, str] = {}
    mistakes: dict[str, None] = {}
    counts: dict[str, int | RecipeError] = {}
    for recipe in recipes:
        for stage in recipe.stages:
            # Rows, scales and stages of a table share most of their networks.
            network = repr(_arguments(recipe, stage))
            if network not in counts:
                with torch.device("meta"):
                    counts[network] = _parameters(recipe, stage)
            match counts[network]:
                case int() as count:
                    sizes[f"{stage.id} {count:,} parameters"] = ""
                case RecipeError() as error:
                    mistakes[f"{source}: stages.{stage.id}.model: {error}"] = None
    if not mistakes:
        found = (error for recipe in recipes for error in _wrong_hints(recipe))
        mistakes = {f"{source}: {error}": None for error in found}
    if mistakes:
        raise RecipeError("\n".join(mistakes))
    return "".join(f", {size}" for size in sizes)


def _arguments(recipe: Recipe, stage: Stage) -> dict[str, Any]:
    # Weights are the business of a run: no download for a check.
    kwargs = {k: v for k, v in stage.model.kwargs.items() if k != "pretrained"}
    size, channels = recipe.data.train_crop.size, recipe.data.source.channels
    return {"name": stage.model.name, "size": size, "channels": channels, **kwargs}


def _parameters(recipe: Recipe, stage: Stage) -> int | RecipeError:
    from tinyrefinery.models import create

    arguments = _arguments(recipe, stage)
    try:
        network = create(arguments.pop("name"), CLASSES, **arguments)
    except RecipeError as error:
        return error
    return sum(weights.numel() for weights in network.parameters())


def _wrong_hints(recipe: Recipe) -> Iterator[RefineryError]:
    """Why stages can't follow their refiners' features, from shapes alone."""
    import torch

    from tinyrefinery.builders import feature_channels

    channels = recipe.data.source.channels
    data: Any = SimpleNamespace(
        classes=range(CLASSES), images=SimpleNamespace(channels=channels), name="data"
    )
    stages = {stage.id: stage for stage in recipe.generations}
    for stage in stages.values():
        if stage.hints is None or not isinstance(stage.labels, Refined):
            continue
        (name,) = stage.labels.by
        if name.startswith("file:"):
            continue  # such networks have feature maps, see `options.labels.runs_in_torch`
        try:
            with torch.device("meta"):
                refiner = stages.get(name) or _timm_refiner(name, channels)
                feature_channels(stage, refiner, data, recipe)
        except RefineryError as error:
            yield error


def _timm_refiner(name: str, channels: int) -> Any:
    """A model of timm without its weights."""
    from tinyrefinery.builders import FrozenNetwork
    from tinyrefinery.models import create
    from tinyrefinery.networks.opening import open_network

    info = open_network(name).info
    network = create(info.name, CLASSES, size=info.size, channels=channels)
    return FrozenNetwork(network, info.mean, info.std, (), info.size)


def build_detectors(recipes: Sequence[DetectionRecipe], source: str) -> str:
    """Build each detector once, and say how large it is, e.g. `, 2,598,604 parameters, …`."""
    told: dict[str, str] = {}
    for recipe in recipes:
        # Seeds and training options don't change a detector, nor does its backbone's file.
        backbone = recipe.detector.backbone.model_copy(update={"init_from": None})
        detector = repr(recipe.detector.model_copy(update={"backbone": backbone}))
        if detector not in told:
            told[detector] = build_detector(recipe, source)
    return "".join(dict.fromkeys(told.values()))


def build_detector(recipe: DetectionRecipe, source: str) -> str:
    """Build a detector, and say how large it is; its backbone's file is not looked at.

    Raises:
        RecipeError: when it can't be built, or torch is missing.
    """
    try:
        from tinyrefinery.detection.build import detector
    except ImportError as error:
        raise RecipeError(f"{source}: --deep needs torch, which is not installed") from error
    kwargs = {k: v for k, v in recipe.detector.backbone.kwargs.items() if k != "pretrained"}
    bare = recipe.detector.backbone.model_copy(update={"init_from": None, "kwargs": kwargs})
    part = recipe.detector.model_copy(update={"backbone": bare})
    try:
        classes = tuple(f"class {number}" for number in range(CLASSES))
        new, _ = detector(recipe.model_copy(update={"detector": part}), classes)
    except RecipeError as error:
        raise RecipeError(f"{source}: {error}") from error
    size = sum(weights.numel() for weights in new.parameters())
    name = recipe.detector.backbone.name
    return f", {name} {size:,} parameters, {len(new.default_boxes):,} default boxes"
