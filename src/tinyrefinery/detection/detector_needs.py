"""What detectors need before they are trained; see `execution.needs`."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from tinyrefinery import builders
from tinyrefinery.detection.build import detector
from tinyrefinery.detection.container import open_container
from tinyrefinery.execution.initial_recipes import Start, is_recipe
from tinyrefinery.execution.needs import Clock, NetworkNeeds, network_needs, quick_seconds
from tinyrefinery.execution.source_needs import SourceNeeds, box_source_needs
from tinyrefinery.recipe.detection import BoxSource, DetectionRecipe, Voc
from tinyrefinery.recipe.load import part_hash
from tinyrefinery.recipe.schema import Recipe

_CLASSES = tuple(f"class {number}" for number in range(20))  # as many as Pascal VOC has


def detector_needs(recipes: Sequence[DetectionRecipe], clock: Clock) -> list[NetworkNeeds]:
    """The detectors that recipes train, and the networks of the recipes that backbones start from.

    Args:
        recipes: of the rows and seeds of a table.
        clock: steps that were timed already; new ones are added.
    """
    found: dict[str, NetworkNeeds] = {}
    starts: list[Recipe] = []
    for recipe in recipes:
        part = recipe.detector.backbone
        if part.init_from is not None and is_recipe(part.init_from):
            start = Start(part.init_from, part.start).load()
            starts.append(start.model_copy(update={"seed": recipe.seed}))
        if (key := part_hash(recipe)) not in found:
            found[key] = _needs(recipe, clock)
    return [*found.values(), *network_needs(starts, clock)]


def _needs(recipe: DetectionRecipe, clock: Clock) -> NetworkNeeds:
    kwargs = {k: v for k, v in recipe.detector.backbone.kwargs.items() if k != "pretrained"}
    bare = recipe.detector.backbone.model_copy(update={"init_from": None, "kwargs": kwargs})
    part = recipe.detector.model_copy(update={"backbone": bare})
    network, _ = detector(recipe.model_copy(update={"detector": part}), _CLASSES)
    key = f"detect {part_hash(part)}"
    if key not in clock:
        device = builders.fabric(recipe.engine).device
        network.to(device).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]

        def step(images: Tensor) -> None:
            """Forward and backward; the loss of outputs (B, A, 4 + 1 + K) doesn't matter here."""
            network(images).float().square().mean().backward()
            network.zero_grad()

        clock[key] = quick_seconds(step, (3, recipe.detector.size, recipe.detector.size), device)
    size = sum(weights.numel() for weights in network.parameters())
    source = _counted(recipe.data.source)
    return NetworkNeeds(source, recipe.training.epochs, clock[key], size)


def _counted(part: BoxSource) -> SourceNeeds:
    """What a source takes; where it is there, its annotations are counted."""
    needs = box_source_needs(part)
    if needs.images is not None or not needs.is_there or not isinstance(part, Voc):
        return needs
    count = sum(name.lower().endswith(".xml") for name in open_container(part.root).names)
    return replace(needs, images=round(count * (1 - part.validation - part.test)))
