"""Core-milliseconds that training dynamics add to a step, next to a step of ResNet8."""

from functools import partial

import numpy as np
import torch
from timing import Way, compared, quick, report, seconds_an_item
from training_step import BATCH, bare

from tinyrefinery.training.dynamics import Dynamics

SAMPLES = 50_000


def recording(steps: int, classes: int, *, refined: bool) -> Way:
    """So many updates of one epoch, and what is counted at its end."""
    torch.manual_seed(0)
    logits, labels = torch.randn(steps, BATCH, classes), torch.randint(classes, (steps, BATCH))
    targets = torch.rand(steps, BATCH, classes).softmax(dim=2)
    rows = np.arange(SAMPLES)

    def way() -> int:
        dynamics = Dynamics(rows, classes, refined=refined)
        for i in range(steps):
            mine = rows[i * BATCH : (i + 1) * BATCH]
            dynamics.update(mine, logits[i], labels[i], targets[i], 0)
        dynamics.measures()
        return steps

    return way


def main() -> None:
    """Measure, print, keep."""
    short = quick()
    torch.set_num_threads(1)
    ways = {"a step of ResNet8, float32": partial(bare, 6, channels_last=True, keep=True)}
    for classes in (10, 100, 1000):
        for kind in ("given", "refined"):
            name = f"dynamics, {classes} classes, {kind} labels"
            ways[name] = partial(recording, 390, classes, refined=kind == "refined")
    taken = seconds_an_item(ways, 1 if short else 5)
    report("Dynamics", compared(taken, "core-ms/step", next(iter(ways))), keep=not short)


if __name__ == "__main__":
    main()
