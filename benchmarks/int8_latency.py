"""Latency of an int8 LiteRT artifact against PyTorch, one core, in one run.

    python benchmarks/int8_latency.py OUT.csv RUN ARTIFACT.tflite

Both take one image per pass, with one thread on one core, and take turns. A round is 20 passes of
each, and its figure the fastest pass, in CPU time of the thread: it does not count the time that
others have the core. The ratio is the median over rounds, with its range. The int8 figure includes
what Python does to hand over the image and fetch the output.
"""

import csv
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch

from tinyrefinery import open_network
from tinyrefinery.deploy.export.verification import open_artifact

ROUNDS, PASSES, WARM = 50, 20, 50
COLUMNS = ("network", "artifact", "rounds", "torch_us", "int8_us", "ratio", "low", "high")
COLUMNS += ("machine", "torch", "load")


def fastest(run: Callable[[], object]) -> float:
    """Microseconds of CPU time of the fastest of some passes."""
    times = []
    for _ in range(PASSES):
        start = time.thread_time_ns()
        run()
        times.append(time.thread_time_ns() - start)
    return min(times) / 1000


def main(out: Path, run: str, artifact: str) -> None:
    """Time both and add a row."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    network, runtime = open_network(run), open_artifact(Path(artifact), threads=1)
    module, size = network.load(), (1, *network.info.size, network.channels)
    pixels = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    images = torch.zeros(1, network.channels, *network.info.size)
    with torch.inference_mode():
        ways = (lambda: module(images), lambda: runtime.infer(pixels))
        for way in ways:
            for _ in range(WARM):
                way()
        rounds = [[fastest(way) for way in ways] for _ in range(ROUNDS)]
    ratios = sorted(theirs / ours for theirs, ours in rounds)
    times = (f"{min(column):.1f}" for column in zip(*rounds, strict=True))
    figures = (f"{value:.2f}" for value in (median(ratios), ratios[0], ratios[-1]))
    here = (platform.processor() or platform.machine(), torch.__version__)
    load = f"{os.getloadavg()[0]:.1f}"
    is_new = not out.exists()
    with out.open("a", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        if is_new:
            lines.writerow(COLUMNS)
        lines.writerow((network.name, Path(artifact).name, ROUNDS, *times, *figures, *here, load))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
