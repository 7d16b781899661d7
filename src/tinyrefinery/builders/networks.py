"""From a recipe to networks: new ones, and frozen ones from outside."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from tinyrefinery import models
from tinyrefinery.builders.datasets import stage_seed
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.labels.class_map import ClassMap
from tinyrefinery.models.blocks import head_of
from tinyrefinery.models.network_file import NetworkInfo
from tinyrefinery.models.weights import load_weights
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.recipe.stage import Stage


@dataclass(frozen=True)
class FrozenNetwork:
    """A network that can refine, with the input it expects."""

    network: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...]
    size: tuple[int, int] | None = None
    """Height and width of the crops that it was trained on, in pixels."""
    class_map: ClassMap | None = None
    """Which of its classes stand for which of the data's; None: they are the same."""


def skeleton(stage: Stage, data: Dataset, recipe: Recipe, classes: int | None = None) -> nn.Module:
    """The stage's network without memory for its weights, on the meta device.

    `classes` stands for the number of the data's classes, where it is to be another.
    """
    kwargs = {key: value for key, value in stage.model.kwargs.items() if key != "pretrained"}
    without = stage.model_copy(update={"model": stage.model.model_copy(update={"kwargs": kwargs})})
    with torch.device("meta"):
        return _architecture(without, data, recipe, classes)


def head(stage: Stage, data: Dataset, recipe: Recipe) -> frozenset[str]:
    """Names of the tensors of the stage's network that depend on the number of classes."""
    return head_of(lambda classes: skeleton(stage, data, recipe, classes), len(data.classes))


def _architecture(
    stage: Stage, data: Dataset, recipe: Recipe, classes: int | None = None
) -> nn.Module:
    return models.create(
        stage.model.name,
        classes or len(data.classes),
        size=recipe.data.train_crop.size,
        channels=data.images.channels,
        **stage.model.kwargs,
    )


def network(stage: Stage, data: Dataset, recipe: Recipe, generation: int) -> nn.Module:
    """A new network, its weights a function of seed, generation and architecture."""
    model = stage.model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stage_seed(recipe, "weights", generation, stage.seed))
        net = _architecture(stage, data, recipe)
    if model.weights is not None:
        drawn = head(stage, data, recipe) if stage.replace_head else ()
        load_weights(net, Path(model.weights), len(data.classes), head=drawn)
    if stage.bn_momentum is not None:
        for module in net.modules():
            if isinstance(module, _BatchNorm):
                module.momentum = stage.bn_momentum
    layout = torch.channels_last if recipe.engine.channels_last else torch.contiguous_format
    return net.to(memory_format=layout)


def describe(recipe: Recipe, stage: Stage, data: Dataset) -> NetworkInfo:
    """What a file of this stage's network has to say about it."""
    mean, std = recipe.data.normalization
    return NetworkInfo(
        name=stage.model.name,
        kwargs=dict(stage.model.kwargs),
        classes=data.classes,
        size=recipe.data.train_crop.size,
        channels=data.images.channels,
        mean=tuple(mean),
        std=tuple(std),
        extra={"stage": stage.id, "seed": recipe.seed},
    )
