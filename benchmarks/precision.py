"""`engine.precision: auto` beside each precision: core-milliseconds per training step, interleaved.

With AMX, where this processor has it, and without: oneDNN can be told to leave it alone. So one
machine shows what processors of two kinds do.
"""

import os
import tempfile
from collections.abc import Iterator
from functools import partial
from statistics import median

import numpy as np
import torch
from data_path import resident, small_pixels
from timing import Figure, Way, compared, quick, report, seconds_an_item
from training_step import BATCH, CLASSES, SIZE, fitted, network

from tinyrefinery.data.batches import View
from tinyrefinery.execution.chosen_precision import GAIN, speed_ratio
from tinyrefinery.labels.crop_labels import CropLabels
from tinyrefinery.labels.policy import GivenLabels, LabelPolicy, RefinedLabels
from tinyrefinery.labels.refiner import Refiner
from tinyrefinery.options.crops import Augment, Inception
from tinyrefinery.options.labels import Refining
from tinyrefinery.options.messages import check
from tinyrefinery.recipe.schema import Recipe

KINDS = ("32", "bf16", "auto")
CASES: dict[str, tuple[str, str | None, int]] = {
    "ResNet8": ("resnet8", None, 8),
    "MobileNet v1 .25": ("mobilenet_v1_025", None, 8),
    "ResNet8 by a live ResNet-18": ("resnet8", "resnet18", 2),
}
"""Student, refiner, steps per round."""
UNITS = {"all units": "", "without AMX": "AVX512_CORE_BF16"}
"""Values of ONEDNN_MAX_CPU_ISA."""
LIMIT = 0.03
"""How much slower than the better precision `auto` may be."""


def recipe_of(student: str, refiner: str | None) -> Recipe:
    """A recipe that leaves the choice, for as many epochs of each work as are measured."""
    stage = {
        "id": "student",
        "model": {"name": student},
        "optimizer": {"name": "sgd", "lr": 0.01},
        "schedule": {"name": "cosine"},
        "epochs": 1000,
        "batch_size": BATCH,
    }
    stages = [stage]
    if refiner is not None:
        teacher = stage | {"id": "refiner", "model": {"name": refiner}, "epochs": 1}
        stages = [teacher, stage | {"labels": {"name": "refined", "by": "refiner"}}]
    raw = {
        "title": "a step",
        "data": {
            "source": {"name": "folder", "root": "unused"},
            "train_crop": {"name": "inception", "size": SIZE},
        },
        "stages": stages,
        "engine": {"device": "cpu", "precision": "auto", "threads": 1},
    }
    return check(raw, Recipe, source="precision")


def training(kind: str, case: str, units: str, pixels: np.ndarray) -> Way:
    """Steps of `fit` in a precision, or in the one that is chosen."""
    student, refiner, steps = CASES[case]
    if UNITS[units]:
        os.environ["ONEDNN_MAX_CPU_ISA"] = UNITS[units]  # read at the first product
    bf16 = kind == "bf16"
    if kind == "auto":
        with tempfile.TemporaryDirectory() as cache:
            os.environ["TINYREFINERY_CACHE"] = cache
            ratio = speed_ratio([recipe_of(student, refiner)], torch.device("cpu"))
        bf16 = ratio is not None and ratio >= GAIN
        print(f"  {case}, {units}: {'bf16' if bf16 else '32'} chosen (bf16 {ratio:.2f}x as fast)")
    flip = Augment(flip=0.5)
    view = View(resident(pixels[: steps * BATCH]), Inception(size=(SIZE, SIZE)), augment=flip)
    rows = np.arange(len(view.dataset.manifest))
    policy: LabelPolicy = GivenLabels(CLASSES)
    if refiner is not None:
        frozen = Refiner([network(refiner)], bf16=bf16, channels_last=True)
        policy = RefinedLabels(Refining(), CropLabels(frozen, view, rows, group=BATCH))
    return fitted(view, rows, network(student, channels_last=True), policy, steps, bf16=bf16)


def beside_the_better(taken: dict[str, list[float]]) -> Iterator[Figure]:
    """The precisions of one case and `auto`, with ratios to the precision with the lower median."""
    first = {kind: name for name in taken for kind in KINDS if name.endswith(f" {kind}")}
    better = min((first["32"], first["bf16"]), key=lambda name: median(taken[name]))
    yield from compared(taken, "core-ms/step", better)


def main() -> None:
    """Measure, print, keep."""
    short = quick()
    torch.set_num_threads(1)
    pixels = small_pixels(8 * BATCH)
    worst = 0.0
    for units in UNITS:
        for case in CASES:
            names = {kind: f"{case}, {units}: {kind}" for kind in KINDS}
            ways = {n: partial(training, k, case, units, pixels) for k, n in names.items()}
            figures = list(beside_the_better(seconds_an_item(ways, 2 if short else 7)))
            report("Training step (less is better)", figures, keep=not short)
            worst = max(worst, figures[-1].ratio or 1.0)
    print(f"aim: below {1 + LIMIT:.2f} times the better precision; {worst:.3f} at worst here")


if __name__ == "__main__":
    main()
