"""Core-milliseconds of a loss, forward and backward: sparse targets, dense ones, expanded ones."""

from functools import partial

import torch
from timing import Way, compared, quick, report, seconds_an_item
from torch import Tensor

from tinyrefinery import losses
from tinyrefinery.losses.targets import SparseTargets, Targets
from tinyrefinery.options.losses import L2, CrossEntropy, Focal, Kl
from tinyrefinery.training.memory import keep_freed_memory

BATCH, NAMED = 512, 10
NUMBERS = 16_000_000
"""Logits a way takes in each round, over all its calls."""
WAYS = ("dense", "sparse", "expanded")
LOSSES = {
    "cross_entropy": CrossEntropy(),
    "focal": Focal(),
    "kl": Kl(),
    "kl, output to label": Kl(direction="output_to_label"),
    "l2": L2(),
}


def draw(classes: int) -> tuple[Tensor, SparseTargets]:
    """Logits and targets that name ten classes a crop, with 0.9 of the mass."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(BATCH, classes, generator=generator)
    named = torch.rand(BATCH, NAMED, generator=generator)
    index = torch.rand(BATCH, classes, generator=generator).topk(NAMED, dim=1).indices
    return logits, SparseTargets(index, 0.9 * named / named.sum(1, keepdim=True), classes)


def learn(loss: str, classes: int, form: str, calls: int) -> Way:
    """So many calls of the loss, and back to the logits, with targets in the form given."""
    keep_freed_memory()
    function, (logits, sparse) = losses.build(LOSSES[loss]), draw(classes)
    logits.requires_grad_()
    ready: Targets = sparse.dense() if form == "dense" else sparse

    def way() -> int:
        for _ in range(calls):
            targets = sparse.dense() if form == "expanded" else ready
            torch.autograd.grad(function(logits, targets), logits)
        return calls

    return way


def main() -> None:
    """Measure, print, keep."""
    short = quick()
    torch.set_num_threads(1)
    # All losses where it matters most; elsewhere the one that refined labels have by default.
    cases = [(1000, loss) for loss in LOSSES] + [(100, "kl"), (10_000, "kl")]
    for classes, loss in cases:
        calls = max(1, NUMBERS // (BATCH * classes))
        ways = {
            f"{loss}, {classes} classes, {form}": partial(learn, loss, classes, form, calls)
            for form in WAYS
        }
        taken = seconds_an_item(ways, rounds=3 if short else 9)
        figures = compared(taken, "core-ms/batch", next(iter(ways)))
        title = f"Loss and its gradient, batch {BATCH}, {NAMED} classes named of {classes}"
        report(title, figures, keep=not short)


if __name__ == "__main__":
    main()
