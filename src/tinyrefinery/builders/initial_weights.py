"""From a recipe to the weights that a stage starts from, and to what of them stays."""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn

from tinyrefinery.builders.networks import head, network, skeleton
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.errors import CheckpointError, RecipeError
from tinyrefinery.models.network_file import NetworkInfo, read_info
from tinyrefinery.models.rounded_network import RoundedNetwork
from tinyrefinery.models.weights import check_weights, put_weights, read_safetensors, read_weights
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.recipe.stage import Stage
from tinyrefinery.training.parameter_groups import freeze, to_freeze

RECIPE = "recipe:"
"""Begins the name of a recipe whose last network a stage starts from."""


def check_start(stage: Stage, data: Dataset, recipe: Recipe) -> None:
    """Find out before training whether a stage can start as it says; reads files, trains nothing.

    Raises:
        CheckpointError: when weights from outside don't fit.
        RecipeError: when a part that is to be frozen isn't there.
    """
    net, classes = skeleton(stage, data, recipe), len(data.classes)
    last = _head(stage, data, recipe)
    drawn = last if stage.replace_head else ()
    if (path := stage.model.weights) is not None:
        check_weights(net, read_weights(path), classes, path, head=drawn)
    if (name := stage.init_from) is not None and ":" in name:
        check_weights(net, outside_weights(stage, data, recipe), classes, name, head=drawn)
    if stage.freeze:
        to_freeze(net, last, stage.freeze)
    if stage.int8:
        rounded(stage, network(stage, data, recipe, 1), data, recipe)
    if stage.model.kwargs.get("pretrained"):
        network(stage, data, recipe, 1)  # downloads the weights, before anything is trained


def outside_weights(stage: Stage, data: Dataset, recipe: Recipe) -> dict[str, Tensor]:
    """The weights in the network file that `init_from` names as `file:PATH`.

    Raises:
        CheckpointError: when the file is unreadable, or is of other classes or channels.
    """
    kind, _, path = str(stage.init_from).partition(":")
    if f"{kind}:" == RECIPE:
        raise RecipeError(
            f"stages.{stage.id}.init_from: '{stage.init_from}' is trained first by the commands "
            "run and reproduce; name its network as file:PATH here"
        )
    info = read_info(path)
    if not stage.replace_head and info.classes != data.classes:
        raise CheckpointError(_other_classes(path, info, data))
    if info.channels != data.images.channels:
        raise CheckpointError(
            f"{path}: takes images of {info.channels} channels, but dataset '{data.name}' has "
            f"{data.images.channels}; set data.source.channels={info.channels}"
        )
    return read_safetensors(Path(path))


def _other_classes(path: str, info: NetworkInfo, data: Dataset) -> str:
    theirs, ours = info.classes, data.classes
    remedy = "to keep all layers but the last, write replace_head: true"
    if len(theirs) != len(ours):
        return (
            f"{path}: has {len(theirs)} classes, but dataset '{data.name}' has {len(ours)}; "
            f"{remedy}"
        )
    first = next(i for i, pair in enumerate(zip(theirs, ours, strict=True)) if len({*pair}) > 1)
    return (
        f"{path}: its class {first} is '{theirs[first]}', but in dataset '{data.name}' it is "
        f"'{ours[first]}'; {remedy}"
    )


def initial_network(
    stage: Stage,
    data: Dataset,
    recipe: Recipe,
    generation: int,
    earlier: Callable[[str], nn.Module],
) -> tuple[nn.Module, list[nn.Module]]:
    """The stage's network where its training starts, and the modules of it that stay frozen.

    Args:
        stage: what to do.
        data: what it is trained on.
        recipe: that the stage is of.
        generation: of the stage.
        earlier: the trained network of an earlier stage, by its id.
    """
    net = network(stage, data, recipe, generation)
    last = _head(stage, data, recipe)
    if (name := stage.init_from) is not None:
        inside = ":" not in name
        weights = earlier(name).state_dict() if inside else outside_weights(stage, data, recipe)
        drawn = last if stage.replace_head else ()
        put_weights(net, weights, len(data.classes), name, head=drawn)
    return net, freeze(net, to_freeze(net, last, stage.freeze)) if stage.freeze else []


def rounded(stage: Stage, net: nn.Module, data: Dataset, recipe: Recipe) -> RoundedNetwork:
    """The stage's network with values rounded to 8 bits, and the same parameters.

    Raises:
        RecipeError: when it can't be traced.
    """
    try:
        return RoundedNetwork(net, recipe.data.train_crop.size, data.images.channels)
    except RuntimeError as error:
        raise RecipeError(
            f"stages.{stage.id}.int8: {stage.model.name} can't be traced ({error}). Train it "
            "without int8"
        ) from error


def _head(stage: Stage, data: Dataset, recipe: Recipe) -> frozenset[str]:
    """The head where it matters; networks without memory take a moment to build."""
    return head(stage, data, recipe) if stage.replace_head or stage.freeze else frozenset()
