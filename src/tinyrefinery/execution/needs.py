"""What a table needs before it starts: networks to train, hours by measured steps, weights on disk.

Steps are timed on noise, a few crops at a time, so that no data is needed. The hours are those of
training steps and of refined labels. Decoding, cropping and evaluating come on top.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tinyrefinery import builders, models
from tinyrefinery.execution.initial_recipes import Start, is_recipe
from tinyrefinery.execution.source_needs import SourceNeeds, source_needs
from tinyrefinery.labels.refiner import Refiner
from tinyrefinery.options.labels import Refined
from tinyrefinery.recipe.load import part_hash
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.recipe.stage import Model, Stage
from tinyrefinery.recipe.stage_order import ancestors
from tinyrefinery.training.memory import keep_freed_memory
from tinyrefinery.training.precision_probe import FULL, training_steps

_ENOUGH = 0.1  # seconds of a step, so that clocks and calls don't matter
_LEAST = 2  # crops per step, for batch normalization
_MOST = 256  # crops per step
_JITTER = 3  # steps that one with jittered crops takes: the ascent, and twice the crops
_CLASSES = {"imagenet": 1000, "cifar100": 100, "food101": 101, "street_numbers": 100}
_FEW_CLASSES = 10  # of other sources, whose classes are not known before they are opened
_NUMBER = 4  # bytes

Clock = dict[str, float]
"""Seconds per crop of steps that were timed already, by what they do."""


@dataclass(frozen=True)
class NetworkNeeds:
    """What it takes to train one network."""

    source: SourceNeeds
    epochs: int
    seconds_per_image: float
    """Of a training image in one epoch: its training step and its label, by measured steps. On CPUs
    core-seconds."""
    parameters: int

    @property
    def seconds(self) -> float | None:
        """For all epochs; None where the number of images is not known."""
        images = self.source.images
        return None if images is None else self.epochs * images * self.seconds_per_image

    @property
    def bytes(self) -> int:
        """Of its weights."""
        return _NUMBER * self.parameters


def network_needs(recipes: Sequence[Recipe], clock: Clock) -> list[NetworkNeeds]:
    """The networks that recipes train, each once, with those of the recipes they start from.

    Args:
        recipes: of the rows and seeds of a table.
        clock: steps that were timed already; new ones are added.

    Raises:
        RecipeError: when a network can't be built.
    """
    found: dict[str, NetworkNeeds] = {}
    for recipe in [*recipes, *_starts(recipes)]:
        stages = {stage.id: stage for stage in recipe.generations}
        source = source_needs(recipe.data.source)
        for stage in stages.values():
            key = _digest(recipe, stage)
            if key not in found:
                seconds = _seconds_per_image(recipe, stage, stages, clock)
                size = _parameters(recipe, stage.model)
                found[key] = NetworkNeeds(source, stage.epochs, seconds, size)
    return list(found.values())


def _starts(recipes: Sequence[Recipe]) -> Iterator[Recipe]:
    """The recipes that stages start from, at their seeds."""
    for recipe in recipes:
        for name in dict.fromkeys(stage.init_from for stage in recipe.stages):
            if name is not None and is_recipe(name):
                yield Start(name).load().model_copy(update={"seed": recipe.seed})


def _digest(recipe: Recipe, stage: Stage) -> str:
    """Of all that a network depends on: equal for stages that rows share."""
    needed = {stage.id, *ancestors(stage.id, recipe.generations)}
    kept = tuple(each for each in recipe.generations if each.id in needed)
    return part_hash(recipe.model_copy(update={"stages": kept}))


def _seconds_per_image(
    recipe: Recipe, stage: Stage, stages: dict[str, Stage], clock: Clock
) -> float:
    labels, times = stage.labels, _JITTER if stage.jitter is not None else 1
    seconds = times * _timed("train", recipe, stage.model, clock)
    if isinstance(labels, Refined) and labels.level == "crop":
        pool = min(stage.epochs, stage.crop_pool or stage.epochs) if labels.store else stage.epochs
        share = pool / stage.epochs * (2 if stage.jitter is not None else 1)
        inside = (stages[name].model for name in labels.by if name in stages)
        seconds += share * sum(_timed("label", recipe, model, clock) for model in inside)
    return seconds


def _timed(does: str, recipe: Recipe, model: Model, clock: Clock) -> float:
    """Seconds per crop of a training step, or of labels, at the recipe's crop size."""
    size, channels = recipe.data.train_crop.size, recipe.data.source.channels
    key = repr((does, model.name, sorted(model.kwargs.items()), size, channels))
    if key not in clock:
        device = builders.fabric(recipe.engine).device
        last = recipe.engine.channels_last
        layout = torch.channels_last if last else torch.contiguous_format
        network = _build(recipe, model).to(memory_format=layout)  # type: ignore[call-overload]
        steps = {
            "train": lambda: training_steps(network, device)[FULL],
            "label": lambda: Refiner([network.to(device).eval()], channels_last=last),
        }
        clock[key] = quick_seconds(steps[does](), (channels, *size), device, channels_last=last)
    return clock[key]


def quick_seconds(
    step: Callable[[Tensor], object],
    shape: tuple[int, int, int],
    device: torch.device,
    *,
    channels_last: bool = True,
) -> float:
    """Seconds per crop of a step.

    It is that of the first batch that takes a tenth of a second, from two crops on, each time twice
    as many. On CPUs these are core-seconds of one thread, which other work on the machine changes
    less.

    Args:
        step: takes crops (B, C, h, w).
        shape: of a crop, (C, h, w).
        device: where to compute.
        channels_last: memory layout of the crops.
    """
    keep_freed_memory()
    on_cpu = device.type == "cpu"
    clock = time.process_time if on_cpu else time.perf_counter
    layout = torch.channels_last if channels_last else torch.contiguous_format

    def taken(count: int) -> float:
        """Seconds of a step with so many crops."""
        images = torch.rand(count, *shape, device=device).contiguous(memory_format=layout)
        began = clock()
        step(images)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return clock() - began

    count, threads = _LEAST, torch.get_num_threads()
    torch.set_num_threads(1 if on_cpu else threads)
    try:
        taken(count)  # prepares kernels
        while (seconds := taken(count)) < _ENOUGH and count < _MOST:
            count *= 2
    finally:
        torch.set_num_threads(threads)
    return seconds / count


def _build(recipe: Recipe, model: Model) -> torch.nn.Module:
    kwargs = {key: value for key, value in model.kwargs.items() if key != "pretrained"}
    size, channels = recipe.data.train_crop.size, recipe.data.source.channels
    classes = _CLASSES.get(recipe.data.source.name, _FEW_CLASSES)
    with torch.random.fork_rng(devices=[]):
        return models.create(model.name, classes, size=size, channels=channels, **kwargs)


def _parameters(recipe: Recipe, model: Model) -> int:
    with torch.device("meta"):
        return sum(weights.numel() for weights in _build(recipe, model).parameters())
