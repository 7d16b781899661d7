"""What `engine.compile` costs and gives: the first step of ResNet8, and the steps after it."""

import time
from functools import partial

import torch
from timing import Figure, Way, compared, quick, report, seconds_an_item
from torch.nn import functional as F
from training_step import BATCH, CLASSES, SIZE, network, sgd

from tinyrefinery.training.memory import keep_freed_memory


def steps(count: int, *, compiled: bool, bf16: bool) -> Way:
    """Forward, backward and optimizer on a ready batch; the first call compiles."""
    keep_freed_memory()
    net = network(channels_last=True)
    optimizer, step = sgd(net), torch.compile(net) if compiled else net
    images = torch.randn(BATCH, 3, SIZE, SIZE).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(BATCH) % CLASSES

    def way() -> int:
        for _ in range(count):
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss = F.cross_entropy(step(images), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        return count

    return way


def first(*, bf16: bool) -> list[float]:
    """Seconds on the wall of a first step, with nothing kept from earlier ones."""
    torch.compiler.reset()
    with torch._inductor.utils.fresh_inductor_cache():
        began = time.perf_counter()
        steps(1, compiled=True, bf16=bf16)()
        return [time.perf_counter() - began]


def main() -> None:
    """Measure, print, keep."""
    short = quick()
    torch.set_num_threads(1)
    for bf16 in (False, True):
        name = "bf16" if bf16 else "float32"
        ways = {
            f"{name}: as it is": partial(steps, 10, compiled=False, bf16=bf16),
            f"{name}: compiled": partial(steps, 10, compiled=True, bf16=bf16),
        }
        taken = seconds_an_item(ways, 1 if short else 5)
        report(
            f"ResNet8, {name}", compared(taken, "core-ms/step", next(iter(ways))), keep=not short
        )
    # Last, since no process can be forked any more once this one has computed a gradient.
    kinds = {"float32": False, "bf16": True}
    unit = "s on the wall"
    figures = [Figure(f"{k}: first compiled step", unit, first(bf16=v)) for k, v in kinds.items()]
    report("Compiling", figures, keep=not short)


if __name__ == "__main__":
    main()
