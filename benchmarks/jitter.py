"""Core-milliseconds that jitter adds to a step of ResNet8, its refiner twice as wide."""

from functools import partial

import torch
from data_path import resident, small_pixels
from timing import Way, compared, quick, report, seconds_an_item
from training_step import BATCH, CLASSES, SIZE, network, sgd

from tinyrefinery import models
from tinyrefinery.data.batches import View, shuffled
from tinyrefinery.labels.crop_labels import CropLabels
from tinyrefinery.labels.policy import RefinedLabels
from tinyrefinery.labels.refiner import Refiner
from tinyrefinery.losses import build
from tinyrefinery.options.crops import Inception
from tinyrefinery.options.labels import Refining
from tinyrefinery.options.losses import Kl
from tinyrefinery.options.training import Jitter
from tinyrefinery.training.jitter import CropJitter
from tinyrefinery.training.memory import keep_freed_memory

OPTIONS = {
    "jittered": {},
    "jittered, through_refiner: false": {"through_refiner": False},
    "jittered, refiner_batch: jittered": {"refiner_batch": "jittered"},
    "jittered, both of these": {"through_refiner": False, "refiner_batch": "jittered"},
}


def refined(steps: int, options: dict | None) -> Way:
    """Label, jitter, go forward and back, and move, with rendered crops; None: no jitter."""
    keep_freed_memory()
    view = View(resident(small_pixels(BATCH)), Inception(size=(SIZE, SIZE)))
    rows = view.dataset.manifest.rows("train")
    wide = models.create("resnet8", CLASSES, size=SIZE, width=2)
    labels = CropLabels(Refiner([wide], channels_last=True), view, rows, group=BATCH)
    policy = RefinedLabels(Refining(), labels)
    jitter = None if options is None else CropJitter(Jitter(**options), policy)
    batch = view.render(shuffled(rows, view.seed, 0), 0)
    natural = batch.images.contiguous(memory_format=torch.channels_last)
    net, loss = network(channels_last=True), build(Kl())
    optimizer = sgd(net)

    def way() -> int:
        for _ in range(steps):
            images, targets = natural, policy(batch)
            if jitter is not None:
                images, targets = jitter(images, targets, net)
            loss(net(images), targets).backward()
            optimizer.step()
            optimizer.zero_grad()
        return steps

    return way


def main() -> None:
    """Measure, print, keep."""
    short = quick()
    torch.set_num_threads(1)
    ways = {"refined": partial(refined, 3, None)}
    ways |= {name: partial(refined, 3, options) for name, options in OPTIONS.items()}
    taken = seconds_an_item(ways, 1 if short else 7)
    report("Jitter", compared(taken, "core-ms/step", "refined"), keep=not short)


if __name__ == "__main__":
    main()
