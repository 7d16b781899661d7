"""What `engine.compile` costs and gives: the first step of ResNet8, and the steps after it."""

import time
from functools import partial

import torch
from timing import Figure, compared, quick, report, seconds_an_item
from torch._inductor.utils import fresh_inductor_cache
from training_step import bare

KINDS = {"float32": False, "bf16": True}


def first(*, bf16: bool) -> list[float]:
    """Seconds on the wall of a first step, with nothing kept from earlier ones."""
    torch.compiler.reset()
    with fresh_inductor_cache():
        began = time.perf_counter()
        bare(1, channels_last=True, keep=True, bf16=bf16, compiled=True)()
        return [time.perf_counter() - began]


def main() -> None:
    """Measure, print, keep."""
    short = quick()
    torch.set_num_threads(1)
    for kind, bf16 in KINDS.items():
        step = partial(bare, 10, channels_last=True, keep=True, bf16=bf16)
        ways = {f"{kind}: as it is": step, f"{kind}: compiled": partial(step, compiled=True)}
        taken = seconds_an_item(ways, 1 if short else 5)
        figures = compared(taken, "core-ms/step", next(iter(ways)))
        report(f"ResNet8, {kind}", figures, keep=not short)
    # Last, since no process can be forked any more once this one has computed a gradient.
    unit = "s on the wall"
    figures = [Figure(f"{k}: first compiled step", unit, first(bf16=v)) for k, v in KINDS.items()]
    report("Compiling", figures, keep=not short)


if __name__ == "__main__":
    main()
