"""Core-time of refining from a label store: steps, label generation, opening, a whole job."""

import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from data_path import resident, small_pixels
from timing import Figure, Way, compared, quick, report, seconds_an_item
from torch.nn import functional as F
from training_step import BATCH, CLASSES, SIZE, fitted, network, obvious, ours

from tinyrefinery.data.batches import View
from tinyrefinery.evaluation import cost
from tinyrefinery.labels.crop_labels import CropLabels
from tinyrefinery.labels.policy import RefinedLabels
from tinyrefinery.labels.refiner import Refiner
from tinyrefinery.labels.store.encodings import Form, choose
from tinyrefinery.labels.store.reader import StoredLabels
from tinyrefinery.labels.store.store import LabelStore
from tinyrefinery.options.crops import Augment, Inception
from tinyrefinery.options.labels import Refining
from tinyrefinery.training.memory import keep_freed_memory

CIFAR_IMAGES, CIFAR_EPOCHS = 50_000, 200
STUDENTS = 10
EXACT = choose("float32", CLASSES)
Ways = dict[str, Callable[[], Way]]


def seen(pixels: np.ndarray, images: int) -> tuple[View, np.ndarray]:
    """Inception crops of so many of the images, and their rows."""
    view = View(resident(pixels[:images]), Inception(size=(SIZE, SIZE)), augment=Augment(flip=0.5))
    return view, np.arange(images)


def labels_of(pixels: np.ndarray, images: int, refiner: str) -> CropLabels:
    """How a refiner labels crops of so many images, in bfloat16."""
    view, rows = seen(pixels, images)
    frozen = Refiner([network(refiner)], bf16=True, channels_last=True)
    return CropLabels(frozen, view, rows, group=BATCH)


def stored(pixels: np.ndarray, steps: int, form: Form) -> Way:
    """`fit` for one epoch in bfloat16 with labels that are in a store already."""
    labels = labels_of(pixels, steps * BATCH, "resnet8")
    folder = tempfile.mkdtemp()
    store = StoredLabels(labels, Path(folder), form)
    store.store.get_or_create(0, lambda: store.label_stream(0))
    policy = RefinedLabels(Refining(), labels, store=store)
    net = network(channels_last=True)
    return fitted(labels.view, labels.rows, net, policy, steps, bf16=True)


def step_ways(pixels: np.ndarray, steps: int) -> Ways:
    """A step of ResNet8 with labels from everywhere they can come from."""
    return {
        "plain": partial(ours, pixels, steps, bf16=True),
        "plain again": partial(ours, pixels, steps, bf16=True),
        "from a store, float32": partial(stored, pixels, steps, EXACT),
        "from a store, compact": partial(stored, pixels, steps, choose("compact", CLASSES)),
        "by a live resnet8": partial(ours, pixels, steps, "resnet8", bf16=True),
    }


def making(pixels: np.ndarray, images: int, refiner: str) -> Way:
    """A stream of labels, from images in memory to records."""
    labels = StoredLabels(labels_of(pixels, images, refiner), Path(tempfile.mkdtemp()), EXACT)
    keep_freed_memory()

    def way() -> int:
        labels.label_stream(0)
        return images

    return way


def forward(pixels: np.ndarray, images: int, refiner: str) -> Way:
    """The refiner's forward pass alone, on one ready batch."""
    labels = labels_of(pixels, images, refiner)
    crops = labels.view.render(labels.rows[:BATCH], 0).images
    crops = crops.contiguous(memory_format=torch.channels_last)
    keep_freed_memory()

    def way() -> int:
        for _ in range(images // BATCH):
            labels.refiner(crops)
        return images

    return way


def forward_in_pytorch(pixels: np.ndarray, images: int, refiner: str) -> Way:
    """The same in plain PyTorch: train mode, autocast to bfloat16, channels last."""
    view, rows = seen(pixels, images)
    crops = view.render(rows[:BATCH], 0).images.contiguous(memory_format=torch.channels_last)
    net = network(refiner, channels_last=True).train()
    keep_freed_memory()

    def way() -> int:
        with torch.inference_mode():
            for _ in range(images // BATCH):
                with torch.autocast("cpu", torch.bfloat16):
                    net(crops).softmax(dim=1)
        return images

    return way


def convolution(images: int) -> Way:
    """The best rate of a 3x3 convolution of 128 channels in bfloat16, counted in operations."""
    keep_freed_memory()
    layer = torch.nn.Conv2d(128, 128, 3, padding=1, bias=False).bfloat16()
    layer.to(memory_format=torch.channels_last)
    maps = torch.randn(BATCH, 128, 16, 16).bfloat16().contiguous(memory_format=torch.channels_last)

    def way() -> int:
        with torch.no_grad():
            for _ in range(images // BATCH):
                layer(maps)
        return images // BATCH * BATCH

    return way


def generation(pixels: np.ndarray, rounds: int, short: bool) -> list[Figure]:
    """Labels a second against two bare forward passes, and against the machine's peak."""
    figures = []
    work = {"resnet8": 8} if short else {"resnet8": 40, "resnet18": 4}
    for refiner, batches in work.items():
        images = batches * BATCH
        alone, plain, made = (
            f"{refiner}: {what}"
            for what in ("forward pass alone", "forward pass in plain PyTorch", "making labels")
        )
        ways: Ways = {
            alone: partial(forward, pixels, images, refiner),
            plain: partial(forward_in_pytorch, pixels, images, refiner),
            made: partial(making, pixels, images, refiner),
            "3x3 convolution": partial(convolution, images),
        }
        taken = seconds_an_item(ways, rounds)
        figures += compared(taken, "img/core-s", alone, [alone, plain, made])
        against = [100 * p / m for p, m in zip(taken[plain], taken[made], strict=True)]
        figures.append(Figure(f"{made}, of plain PyTorch's forward pass", "percent", against))
        macs = cost.macs(network(refiner), 3, (SIZE, SIZE))
        peak = [2 * 128 * 128 * 9 * 16 * 16 / t / 1e9 for t in taken["3x3 convolution"]]
        rate = [2 * macs / t / 1e9 for t in taken[made]]
        shares = [100 * a / b for a, b in zip(rate, peak, strict=True)]
        figures += [
            Figure(f"{made}, of peak", "percent", shares),
            Figure(f"3x3 convolution, bf16, beside {refiner}", "GFLOP/core-s", peak),
        ]
    return figures


def opening(rounds: int, epochs: int) -> list[Figure]:
    """Open a store of CIFAR-10's size, and check every byte of it."""
    view, rows = seen(small_pixels(CIFAR_IMAGES), CIFAR_IMAGES)
    labels = CropLabels(Refiner([network()], bf16=True), view, rows, group=BATCH)
    walls: dict[str, list[float]] = {"open": [], "verify": []}
    with tempfile.TemporaryDirectory() as folder:
        made = StoredLabels(labels, Path(folder), EXACT).store
        for stream in range(epochs):
            noise = torch.rand(CIFAR_IMAGES, CLASSES).softmax(dim=1)
            made.write(stream, EXACT.encode(noise))
        for _ in range(rounds):
            began = time.perf_counter()
            store = StoredLabels(labels, Path(folder), EXACT).store
            opened = time.perf_counter()
            assert LabelStore(store.folder).verify() == []
            walls["open"].append(opened - began)
            walls["verify"].append(time.perf_counter() - opened)
    return [
        Figure(f"{k} {epochs} epochs of CIFAR-10", "s on the wall", v) for k, v in walls.items()
    ]


def job_obvious(pixels: np.ndarray, steps: int, students: int) -> Way:
    """Students one after the other, each with a live ResNet-18, PIL crops and float32."""
    ways = [obvious(pixels, steps, "resnet18") for _ in range(students)]

    def way() -> int:
        for each in ways:
            each()
        return 1

    return way


def job_ours(pixels: np.ndarray, steps: int, students: int) -> Way:
    """Label once, then train the students from the store."""
    labels = labels_of(pixels, steps * BATCH, "resnet18")

    def way() -> int:
        with tempfile.TemporaryDirectory() as folder:
            store = StoredLabels(labels, Path(folder), EXACT)
            policy = RefinedLabels(Refining(), labels, store=store)
            for _ in range(students):
                net = network(channels_last=True)
                fitted(labels.view, labels.rows, net, policy, steps, bf16=True)()
        return 1

    return way


def memory(pixels: np.ndarray, epochs: int) -> list[Figure]:
    """Resident memory after one epoch and after many, from a store of CIFAR-10's size."""
    labels = labels_of(pixels, len(pixels), "resnet8")
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        store = StoredLabels(labels, Path(folder), EXACT)
        for epoch in range(epochs):
            noise = torch.rand(len(pixels), CLASSES).softmax(dim=1)
            store.store.write(epoch, EXACT.encode(noise))
        net = network(channels_last=True)
        for epoch in range(epochs):
            for start in range(0, len(pixels) - BATCH, 10 * BATCH):
                batch = labels.view.render(labels.rows[start : start + BATCH], epoch)
                targets = store(batch)
                assert isinstance(targets, torch.Tensor)
                F.cross_entropy(net(batch.images), targets).backward()
            if epoch in (0, epochs - 1):
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                figures.append(Figure(f"peak memory after epoch {epoch + 1}", "MiB", [peak]))
                pages = int(Path("/proc/self/statm").read_text().split()[1])
                used = pages * resource.getpagesize() / 2**20
                figures.append(Figure(f"memory in use after epoch {epoch + 1}", "MiB", [used]))
    return figures


def main() -> None:
    """Measure, print, keep."""
    short = quick()
    torch.set_num_threads(1)
    rounds, steps = (1, 3) if short else (9, 20)
    keep = not short
    pixels = small_pixels(CIFAR_IMAGES)
    taken = seconds_an_item(step_ways(pixels, steps), rounds)
    report("A step of ResNet8, bf16", compared(taken, "core-ms/step", "plain"), keep=keep)
    report("Making labels", generation(pixels, 1 if short else 5, short), keep=keep)
    report("Opening", opening(1 if short else 3, 5 if short else CIFAR_EPOCHS), keep=keep)
    report("Memory", memory(pixels, 2 if short else 20), keep=keep)
    students, steps = (2, 1) if short else (STUDENTS, 8)
    name = f"{students} ResNet8 refined by a ResNet-18"
    jobs: Ways = {
        f"{name}: obvious": partial(job_obvious, pixels, steps, students),
        f"{name}: ours, labels made once": partial(job_ours, pixels, steps, students),
    }
    taken = seconds_an_item(jobs, 1 if short else 3)
    figures = compared(taken, "core-ms/job", next(iter(jobs)))
    report(f"A whole job of {steps} steps each", figures, keep=keep)


if __name__ == "__main__":
    main()
