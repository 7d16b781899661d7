"""Core-milliseconds a training step of ResNet8: plain, refined, and the loop's own share."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, cast

import numpy as np
import torch
from data_path import FINISH, PillowImages, resident, small_pixels
from lightning_fabric import Fabric
from timing import Figure, Way, compared, quick, report, seconds_an_item
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import transforms as tv

from tinyrefinery import losses, models
from tinyrefinery.data.batches import Batch, View, load, shuffled, split_batches
from tinyrefinery.labels.crop_labels import CropLabels
from tinyrefinery.labels.policy import GivenLabels, LabelPolicy, RefinedLabels
from tinyrefinery.labels.refiner import Refiner
from tinyrefinery.options.crops import Augment, Inception, Pad
from tinyrefinery.options.engine import Engine
from tinyrefinery.options.labels import Refining
from tinyrefinery.options.losses import CrossEntropy
from tinyrefinery.options.schedules import Cosine
from tinyrefinery.options.training import TrainingOptions
from tinyrefinery.training import learning_rates as schedules
from tinyrefinery.training.job import Training
from tinyrefinery.training.loop import fit
from tinyrefinery.training.memory import keep_freed_memory

BATCH, CLASSES, SIZE, WORKERS = 128, 10, 32, 2
EPOCH_STEPS = 390  # of CIFAR-10
LIMIT = 0.05  # of a step, for the loop's own work


def network(name: str = "resnet8", *, channels_last: bool = False) -> nn.Module:
    """A new network, its weights always the same."""
    torch.manual_seed(0)
    net = models.create(name, CLASSES, size=SIZE)
    return net.to(memory_format=torch.channels_last) if channels_last else net


def sgd(net: nn.Module) -> torch.optim.Optimizer:
    """As most recipes have it."""
    return torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)


def bare(
    steps: int,
    *,
    channels_last: bool = False,
    bf16: bool = False,
    keep: bool = False,
    compiled: bool = False,
) -> Way:
    """Forward, backward and optimizer on one ready batch, in plain PyTorch."""
    if keep:
        keep_freed_memory()
    net = network(channels_last=channels_last)
    optimizer, forward = sgd(net), torch.compile(net) if compiled else net
    images, labels = torch.randn(BATCH, 3, SIZE, SIZE), torch.arange(BATCH) % CLASSES
    if channels_last:
        images = images.contiguous(memory_format=torch.channels_last)

    def way() -> int:
        for _ in range(steps):
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss = F.cross_entropy(forward(images), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        return steps

    return way


def obvious(pixels: np.ndarray, steps: int, refiner: str | None = None) -> Way:
    """Plain PyTorch: PIL images, float32, a live refiner whose BN sees the batch (train mode)."""
    crop = tv.Compose([tv.RandomResizedCrop(SIZE), *FINISH])
    data = PillowImages(pixels[: steps * BATCH], crop)
    loader = DataLoader(data, BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=True)
    net, teacher = network(), network(refiner) if refiner else None
    optimizer = sgd(net)

    def way() -> int:
        for images, labels in loader:
            targets = labels
            if teacher is not None:
                with torch.no_grad():
                    targets = teacher(images).softmax(dim=1)
            F.cross_entropy(net(images), targets).backward()
            optimizer.step()
            optimizer.zero_grad()
        return steps

    return way


def ours(pixels: np.ndarray, steps: int, refiner: str | None = None, *, bf16: bool = False) -> Way:
    """`fit` for one epoch of so many steps, with labels by ground truth or by a refiner."""
    view = View(
        resident(pixels[: steps * BATCH]), Inception(size=(SIZE, SIZE)), augment=Augment(flip=0.5)
    )
    rows = np.arange(len(view.dataset.manifest))
    policy: LabelPolicy = GivenLabels(CLASSES)
    if refiner is not None:
        frozen = Refiner([network(refiner)], bf16=bf16, channels_last=True)
        policy = RefinedLabels(Refining(), CropLabels(frozen, view, rows, group=BATCH))
    return fitted(view, rows, network(channels_last=True), policy, steps, bf16=bf16)


def fitted(
    view: View, rows: np.ndarray, net: nn.Module, policy: LabelPolicy, steps: int, *, bf16: bool
) -> Way:
    """Run `fit` for one epoch, from the start each time."""
    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed" if bf16 else "32-true")
    job = Training(
        network=net,
        view=view,
        rows=rows,
        policy=policy,
        loss=losses.build(CrossEntropy()),
        optimizer=sgd(net),
        schedule=schedules.build(Cosine(), 1),
        options=TrainingOptions(epochs=1, batch_size=BATCH),
        engine=Engine(),
        fabric=fabric,
        validate=lambda _: {},
        folder=Path(),
    )

    def way() -> int:
        with tempfile.TemporaryDirectory() as folder:
            fit(replace(job, folder=Path(folder)))
        return steps

    return way


class Nearly(nn.Module):
    """Next to no network, so that the loop around it shows."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Logits from the mean color."""
        return self.fc(images.mean(dim=(2, 3)))


@dataclass(frozen=True)
class Ready:
    """Stands for a view, and gives the same ready batch each time."""

    batch: Batch
    seed: int = 0

    def crops(self, rows: np.ndarray, epoch: int) -> "Ready":
        """Stands for the crops too."""
        return self

    def part(self, which: slice) -> None:
        """No crops."""

    def render_many(self, rows: np.ndarray, epochs: Sequence[int], draws: object) -> list[Batch]:
        """The batch."""
        return [self.batch]


def ready() -> tuple[View, np.ndarray]:
    """A view that costs nothing, with the rows of an epoch."""
    rows = np.arange(EPOCH_STEPS * BATCH)
    view = View(resident(small_pixels(BATCH)), Pad(size=(SIZE, SIZE)))
    return cast(View, Ready(view.render(rows[:BATCH], 0))), rows


def looped(view: View, rows: np.ndarray, net: nn.Module, steps: int) -> Way:
    """What `fit` does to the weights, and nothing else: no log, no state, no check, no schedule."""
    keep_freed_memory()
    optimizer, policy, loss = sgd(net), GivenLabels(CLASSES), losses.build(CrossEntropy())

    def way() -> int:
        batches = split_batches(shuffled(rows, view.seed, 0), BATCH, drop_last=True)
        for batch in load(view, batches, 0):
            images = batch.images.contiguous(memory_format=torch.channels_last)
            loss(net(images), policy(batch)).backward()
            optimizer.step()
            optimizer.zero_grad()
        return steps

    return way


def empty(*, ours: bool) -> Way:
    """An epoch of next to no work, by `fit` or by the bare loop."""
    view, rows = ready()
    net = Nearly()
    if ours:
        return fitted(view, rows, net, GivenLabels(CLASSES), EPOCH_STEPS, bf16=False)
    return looped(view, rows, net, EPOCH_STEPS)


def whole(pixels: np.ndarray, steps: int) -> Way:
    """ResNet8 on real crops by the bare loop."""
    view = View(
        resident(pixels[: steps * BATCH]), Inception(size=(SIZE, SIZE)), augment=Augment(flip=0.5)
    )
    rows = np.arange(len(view.dataset.manifest))
    return looped(view, rows, network(channels_last=True), steps)


Ways = dict[str, Callable[[], Way]]


def step_ways(steps: int) -> Ways:
    """The step alone."""
    return {
        "network's step: float32": partial(bare, steps),
        "network's step: channels last": partial(bare, steps, channels_last=True),
        "network's step: channels last, memory kept": partial(
            bare, steps, channels_last=True, keep=True
        ),
        "network's step: channels last, memory kept, bf16": partial(
            bare, steps, channels_last=True, keep=True, bf16=True
        ),
    }


def refined_ways(pixels: np.ndarray, many: int, refiners: Mapping[str, int]) -> Ways:
    """Whole steps, with crops and labels; `refiners` tells how many steps with each."""
    ways: Ways = {
        "plain: obvious": partial(obvious, pixels, many),
        "plain: ours, float32": partial(ours, pixels, many),
        "plain: ours, bf16": partial(ours, pixels, many, bf16=True),
    }
    for refiner, steps in refiners.items():
        ways |= {
            f"refined by {refiner}: obvious": partial(obvious, pixels, steps, refiner),
            f"refined by {refiner}: ours, float32": partial(ours, pixels, steps, refiner),
            f"refined by {refiner}: ours, bf16": partial(ours, pixels, steps, refiner, bf16=True),
        }
    return ways


def overhead(rounds: int, pixels: np.ndarray, steps: int) -> tuple[list[Figure], list[float]]:
    """The loop's own work: with next to no network (core-seconds a step), and in a real step."""
    taken = seconds_an_item(
        {
            "next to no network: bare loop": partial(empty, ours=False),
            "next to no network: fit": partial(empty, ours=True),
        },
        rounds,
    )
    bare_loop, by_fit = taken.values()
    own = [f - b for f, b in zip(by_fit, bare_loop, strict=True)]
    figures = compared(taken, "core-ms/step", next(iter(taken)))
    figures.append(Figure("the loop's own work", "core-ms/step", [1000 * each for each in own]))
    real = {
        "ResNet8 with crops: bare loop": partial(whole, pixels, steps),
        "ResNet8 with crops: fit": partial(ours, pixels, steps),
    }
    taken = seconds_an_item(real, rounds)
    return figures + compared(taken, "core-ms/step", next(iter(real))), own


def against(taken: dict[str, list[float]]) -> Iterator[Figure]:
    """Whole steps, compared with the obvious plain step and with ours of the same precision."""
    yield from compared(taken, "core-ms/step", "plain: obvious")
    for precision in ("float32", "bf16"):
        plain = f"plain: ours, {precision}"
        names = [name for name in taken if name.endswith(precision) and name != plain]
        yield from compared(taken, "core-ms/step", plain, names)
    for way in [name for name in taken if name.startswith("refined") and "obvious" in name]:
        names = [name for name in taken if name.startswith(way.replace("obvious", "ours"))]
        yield from compared(taken, "core-ms/step", way, names)


def main() -> None:
    """Measure, print, keep."""
    short = quick()
    torch.set_num_threads(1)
    rounds, many = (1, 3) if short else (4, 10)
    refiners = {"resnet8": many} if short else {"resnet8": many, "resnet18": 3}
    pixels = small_pixels(many * BATCH)
    keep: dict[str, Any] = {"keep": not short}
    began = time.perf_counter()

    taken = seconds_an_item(step_ways(many), rounds)
    figures = compared(taken, "core-ms/step", next(iter(taken)))
    report("ResNet8, batch 128 of 32x32, on a ready batch (less is better)", figures, **keep)
    quickest = median(list(taken.values())[-1])

    figures, own = overhead(rounds, pixels, many)
    shares = [100 * each / quickest for each in own]
    figures.append(Figure("the loop's own work of a bf16 step", "percent", shares))
    report("The loop's own work", figures, **keep)
    print(f"aim: below {LIMIT:.0%} of a step; {median(shares):.2f} % of the quickest step here")

    taken = seconds_an_item(refined_ways(pixels, many, refiners), rounds)
    report("Whole steps with crops and labels", list(against(taken)), **keep)
    print(f"{time.perf_counter() - began:.0f} s on the wall")


if __name__ == "__main__":
    main()
