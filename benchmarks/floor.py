"""How near the work is to its floor: networks' arithmetic at the machine's peak, decoding alone.

The peak is that of a 3x3 convolution, measured beside. A training step is taken for three forward
passes' arithmetic. The floor of reading photographs is decoding their files in full, that of small
crops is turning their bytes into normalized numbers.
"""

import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import data_path
import numpy as np
import simplejpeg
import torch
from data_path import PHOTO_BATCH, resident, small_pixels
from label_store import convolution, making
from timing import Figure, Way, compared, quick, report, seconds_an_item
from training_step import BATCH, SIZE, network, ours

from tinyrefinery.data.batches import View
from tinyrefinery.data.open import open_data
from tinyrefinery.evaluation import cost
from tinyrefinery.options.crops import Augment, Inception
from tinyrefinery.training.memory import keep_freed_memory

CONVOLUTION = 128 * 128 * 9 * 16 * 16
"""Multiply-accumulates of the convolution that stands for the peak, an image."""
Ways = dict[str, Callable[[], Way]]


def arithmetic(rounds: int, steps: int) -> list[Figure]:
    """Steps and label making, with the share of their time that their arithmetic would need."""
    pixels = small_pixels(steps * BATCH)
    few = pixels[: 4 * BATCH]
    macs = {name: cost.macs(network(name), 3, (SIZE, SIZE)) for name in ("resnet8", "resnet18")}
    work: dict[str, tuple[Callable[[], Way], int, float]] = {
        "step of ResNet8": (partial(ours, pixels, steps, bf16=True), BATCH, 3 * macs["resnet8"]),
        "step of ResNet8, live ResNet8": (
            partial(ours, pixels, steps, "resnet8", bf16=True),
            BATCH,
            4 * macs["resnet8"],
        ),
        "step of ResNet8, live ResNet-18": (
            partial(ours, few, 4, "resnet18", bf16=True),
            BATCH,
            3 * macs["resnet8"] + macs["resnet18"],
        ),
        "labels by ResNet8": (partial(making, pixels, len(pixels), "resnet8"), 1, macs["resnet8"]),
        "labels by ResNet-18": (partial(making, few, len(few), "resnet18"), 1, macs["resnet18"]),
    }
    peak = "peak: 3x3 convolution"
    ways: Ways = {name: each[0] for name, each in work.items()}
    taken = seconds_an_item(ways | {peak: partial(convolution, steps * BATCH)}, rounds)
    best = [each / CONVOLUTION for each in taken.pop(peak)]  # core-seconds a multiply-accumulate
    figures = [Figure(peak, "GFLOP/core-s", [2e-9 / each for each in best])]
    for name, (_, images, each) in work.items():
        images_ms = [1000 * seconds / images for seconds in taken[name]]
        shares = [100 * b * each * images / t for b, t in zip(best, taken[name], strict=True)]
        figures.append(Figure(name, "core-ms/img", images_ms))
        figures.append(Figure(f"{name}: arithmetic alone", "percent", shares))
    return figures


def decoding(root: Path, images: int) -> Way:
    """Files of photographs to pixels, all of them, and nothing else."""
    files = [path.read_bytes() for path in sorted(root.rglob("*.jpg"))]

    def way() -> int:
        for number in range(images):
            simplejpeg.decode_jpeg(files[number % len(files)])
        return images

    return way


def normalizing(pixels: np.ndarray) -> Way:
    """Bytes to normalized numbers, a batch at a time: the least that a crop costs."""
    keep_freed_memory()
    whole = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    scale, shift = torch.rand(3, 1, 1), torch.rand(3, 1, 1)

    def way() -> int:
        for start in range(0, len(whole), BATCH):
            torch.addcmul(shift, whole[start : start + BATCH].float(), scale)
        return len(whole)

    return way


def reading(rounds: int, share: float, root: Path) -> list[Figure]:
    """Crops, with the share of their time that decoding or normalizing alone needs."""
    data_path.write_photos(root)
    photos = open_data("folder", root=root, resident="never", validation=0.0)
    large = View(photos, Inception(size=(224, 224)), augment=Augment(flip=0.5))
    pixels, items = small_pixels(int(20_000 * share)), int(320 * share)
    small = View(resident(pixels), Inception(size=(SIZE, SIZE)), augment=Augment(flip=0.5))
    pairs: list[tuple[str, str, Ways]] = [
        (
            "JPEG of 500x375 to 224x224",
            "JPEG of 500x375: decoding alone",
            {
                "JPEG of 500x375 to 224x224": partial(data_path.ours, large, PHOTO_BATCH, items, 0),
                "JPEG of 500x375: decoding alone": partial(decoding, root, items),
            },
        ),
        (
            "crop of 32x32",
            "crop of 32x32: normalizing alone",
            {
                "crop of 32x32": partial(data_path.ours, small, BATCH, len(pixels), 0),
                "crop of 32x32: normalizing alone": partial(normalizing, pixels),
            },
        ),
    ]
    figures = []
    for whole, least, ways in pairs:
        taken = seconds_an_item(ways, rounds)
        figures += compared(taken, "core-ms/img", whole)
        shares = [100 * a / b for a, b in zip(taken[least], taken[whole], strict=True)]
        figures.append(Figure(f"{least}, of all", "percent", shares))
    return figures


def main() -> None:
    """Measure, print, keep."""
    short = quick()
    torch.set_num_threads(1)
    rounds = 1 if short else 5
    report("Arithmetic", arithmetic(rounds, 3 if short else 20), keep=not short)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TINYREFINERY_CACHE"] = f"{folder}/cache"
        figures = reading(rounds, 0.1 if short else 1.0, Path(folder) / "photos")
    report("Reading", figures, keep=not short)


if __name__ == "__main__":
    main()
