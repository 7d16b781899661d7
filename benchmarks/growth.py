"""How the cost of refining from a store grows with students, classes and images; one plot each."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from data_path import small_pixels
from label_store import job_obvious, job_ours
from timing import Figure, Way, compared, quick, report, seconds_an_item
from training_step import BATCH, SIZE, fitted

from tinyrefinery import models
from tinyrefinery.data.batches import View, shuffled, split_batches
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.images import ResidentImages
from tinyrefinery.data.manifest import Manifest
from tinyrefinery.labels.crop_labels import CropLabels
from tinyrefinery.labels.policy import GivenLabels, RefinedLabels
from tinyrefinery.labels.refiner import Refiner
from tinyrefinery.labels.store.encodings import choose
from tinyrefinery.labels.store.reader import StoredLabels
from tinyrefinery.options.crops import Inception
from tinyrefinery.options.labels import Refining

IMAGES = Path(__file__).parents[1] / "docs" / "images"
Ways = dict[str, Callable[[], Way]]


def noise(images: int, classes: int, size: int) -> tuple[View, np.ndarray]:
    """A view of so many images of noise, and their rows."""
    pixels = torch.randint(0, 256, (images, 3, size, size), dtype=torch.uint8)
    names = tuple(map(str, range(classes)))
    columns = {
        "id": [f"{row:x}" for row in range(images)],
        "path": [f"noise/{row}" for row in range(images)],
        "label": pa.array(np.arange(images) % classes, pa.int64()),
        "split": ["train"] * images,
    }
    data = Dataset("noise", Manifest(pa.table(columns), names), ResidentImages(pixels))
    return View(data, Inception(size=(size, size))), np.arange(images)


def stored(view: View, rows: np.ndarray, net: torch.nn.Module, group: int) -> RefinedLabels:
    """Compact labels in a store of one stream, made by noise: it is read, not made, that counts."""
    labels = CropLabels(Refiner([net], bf16=True), view, rows, group=group)
    form = choose("compact", len(view.dataset.classes))
    store = StoredLabels(labels, Path(tempfile.mkdtemp()), form)
    guesses = torch.rand(1024, len(view.dataset.classes)).softmax(dim=1)
    records = form.encode(guesses).repeat(-(-len(rows) // 1024), 1)[: len(rows)]
    store.store.get_or_create(0, lambda: records)
    return RefinedLabels(Refining(), labels, store=store)


def step(classes: int, steps: int, *, refined: bool) -> Way:
    """A step of ResNet8 with given labels, or compact ones from a store."""
    view, rows = noise(steps * BATCH, classes, SIZE)
    torch.manual_seed(0)
    net = models.create("resnet8", classes, size=SIZE).to(memory_format=torch.channels_last)
    policy = stored(view, rows, net, BATCH) if refined else GivenLabels(classes)
    return fitted(view, rows, net, policy, steps, bf16=True)


def reading(images: int) -> Way:
    """An epoch's order and its labels, a batch of 128 at a time, without any network."""
    view, rows = noise(images, 10, 8)
    torch.manual_seed(0)
    net = models.create("resnet8", 10, size=32)
    policy = stored(view, rows, net, BATCH)
    batch = view.render(rows[:BATCH], 0)

    def way() -> int:
        order = split_batches(shuffled(rows, 0, 0), BATCH, drop_last=True)
        for these in order:
            batch.rows = these
            policy(batch)
        return len(order)

    return way


def draw(name: str, title: str, xs: list[int], lines: dict[str, list[Figure]], unit: str) -> None:
    """Medians with their ranges; classes and images grow tenfold, so on a logarithmic axis."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5, 3))
    for label, figures in lines.items():
        middle = np.array([np.median(each.values) for each in figures])
        low = middle - [min(each.values) for each in figures]
        high = [max(each.values) for each in figures] - middle
        axes.errorbar(xs, middle, [low, high], marker="o", capsize=3, label=label)
    scale = "linear" if name == "networks" else "log"
    axes.set(xscale=scale, ylim=(0, None), title=title, xlabel=name, ylabel=unit, xticks=xs)
    axes.set_xticklabels([f"{x:,}" for x in xs])
    axes.minorticks_off()
    axes.legend(frameon=False)
    figure.tight_layout()
    pyplot.rcParams["svg.hashsalt"] = name
    figure.savefig(IMAGES / f"growth-{name}.svg", metadata={"Date": None})


def main() -> None:
    """Measure, print, draw, keep."""
    short = quick()
    torch.set_num_threads(1)
    rounds, keep = (1, False) if short else (3, True)

    students = [1, 2] if short else [1, 2, 5, 10, 20]
    pixels, steps = small_pixels(8 * BATCH), 1 if short else 2
    kinds = {"obvious": job_obvious, "labels made once": job_ours}
    ways: Ways = {
        f"{n} students, {kind}": partial(job, pixels, steps, n)
        for n in students
        for kind, job in kinds.items()
    }
    taken = compared(seconds_an_item(ways, rounds), "core-ms/job", next(iter(ways)))
    report("Students of one ResNet-18", taken, keep=keep)
    lines = {kind: [f for f in taken if f.name.endswith(kind)] for kind in kinds}
    by_students = students, lines

    classes = [10, 100] if short else [10, 100, 1000]
    ways = {
        f"{k} classes, {kind}": partial(step, k, 2 if short else 8, refined=kind != "given labels")
        for k in classes
        for kind in ("given labels", "compact labels from a store")
    }
    taken = compared(seconds_an_item(ways, rounds), "core-ms/step", next(iter(ways)))
    report("Classes: a step of ResNet8", taken, keep=keep)
    kinds = ("given labels", "compact labels from a store")
    by_classes = classes, {kind: [f for f in taken if f.name.endswith(kind)] for kind in kinds}

    images = [10_000, 30_000] if short else [10_000, 100_000, 1_000_000]
    ways = {f"{n:,} images: order and labels": partial(reading, n) for n in images}
    taken = compared(seconds_an_item(ways, rounds), "core-ms/batch", next(iter(ways)))
    report("Images: order and labels of a batch of 128", taken, keep=keep)
    if keep:
        draw("networks", "ResNet8 networks refined by one ResNet-18", *by_students, "core-ms a job")
        draw("classes", "a training step of ResNet8", *by_classes, "core-ms a step")
        draw(
            "images",
            "order and labels of a batch of 128",
            images,
            {"from a store": taken},
            "core-ms",
        )


if __name__ == "__main__":
    main()
