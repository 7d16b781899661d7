"""Measure which precision is faster for a network on this machine: a few steps in each, in turn."""

import time
from collections.abc import Callable, Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional

from tinyrefinery.labels.refiner import Refiner
from tinyrefinery.training.memory import keep_freed_memory

FULL, HALF = "32", "bf16"
"""The precisions, as `engine.precision` has them."""
_FEWEST = 8  # crops per step
_STEP = 0.1  # seconds that a step should take, so that clocks and calls don't matter
_ROUNDS = 5

Step = Callable[[Tensor], object]
"""One step of work on crops (B, C, h, w)."""


def training_steps(network: nn.Module, device: torch.device) -> dict[str, Step]:
    """A training step of a network in each precision: forward, backward, optimizer.

    Args:
        network: maps crops (B, C, h, w) to logits (B, K); it is copied.
        device: where to compute.
    """

    def step_in(*, half: bool) -> Step:
        """The step in bfloat16, or in 32 bits."""
        learner = deepcopy(network).to(device).train()
        optimizer = torch.optim.SGD(learner.parameters(), lr=1e-3, momentum=0.9)

        def step(images: Tensor) -> None:
            """Train on crops (B, C, h, w), whose classes don't matter here."""
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                logits = learner(images)  # (B, K)
            targets = torch.zeros(len(images), dtype=torch.long, device=device)
            functional.cross_entropy(logits.float(), targets).backward()
            optimizer.step()
            optimizer.zero_grad()

        return step

    return {FULL: step_in(half=False), HALF: step_in(half=True)}


def labeling_steps(
    network: nn.Module, device: torch.device, *, channels_last: bool
) -> dict[str, Step]:
    """A batch of refined labels in each precision, see `training_steps`."""
    placed = deepcopy(network).to(device)
    return {
        name: Refiner([placed], bf16=name == HALF, channels_last=channels_last)
        for name in (FULL, HALF)
    }


def seconds_per_crop(
    steps: Mapping[str, Step],
    shape: tuple[int, int, int],
    batch: int,
    device: torch.device,
    *,
    channels_last: bool,
) -> dict[str, float | None]:
    """Seconds per crop of each kind of step: the least of several that take turns.

    On CPUs these are core-seconds, which other work on the machine changes less.

    Args:
        steps: by name.
        shape: of a crop, (C, h, w).
        batch: crops per step, where these take a tenth of a second or less; else fewer.
        device: where to compute.
        channels_last: memory layout of the crops.

    Returns:
        By the names of `steps`; None where the device can't do such steps.
    """
    keep_freed_memory()
    layout = torch.channels_last if channels_last else torch.contiguous_format
    images = torch.rand(batch, *shape, device=device).contiguous(memory_format=layout)
    seconds: dict[str, float | None] = {}
    able = {name: step for name, step in steps.items() if _is_able(step, images[:_FEWEST])}
    first = [_seconds(step, images[:_FEWEST]) for step in able.values()]
    crops = images[: max(_FEWEST, int(_FEWEST * _STEP / max(first, default=1.0)))]
    for number in range(_ROUNDS + 1):
        for name, step in able.items():
            taken = _seconds(step, crops) / len(crops)
            if number:  # the first prepares kernels for this number of crops
                seconds[name] = min(taken, seconds.get(name) or taken)
    return {name: seconds.get(name) for name in steps}


def _is_able(step: Step, images: Tensor) -> bool:
    """Whether the device can do such steps; some accelerators lack bfloat16."""
    try:
        step(images)
    except (RuntimeError, NotImplementedError, TypeError):
        return False
    return True


def _seconds(step: Step, images: Tensor) -> float:
    clock = time.process_time if images.device.type == "cpu" else time.perf_counter
    _wait(images.device)
    began = clock()
    step(images)
    _wait(images.device)
    return clock() - began


def _wait(device: torch.device) -> None:
    """Let an accelerator finish what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
