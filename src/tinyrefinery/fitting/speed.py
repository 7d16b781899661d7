"""How long an epoch takes on this machine, before any was trained."""

import time
from collections.abc import Sequence

import torch

from tinyrefinery.fitting.look import Look
from tinyrefinery.fitting.search_space import Candidate
from tinyrefinery.models import create
from tinyrefinery.training.precision_probe import FULL, seconds_per_crop, training_steps

_OVERHEAD = 1.4
"""Our guess of what crops, evaluation and files add; later rounds are planned by real times."""


def probe_seconds(
    model: str, kwargs: dict, size: tuple[int, int], look: Look, classes: int
) -> float:
    """Seconds per epoch of a network, by a few training steps on noise."""
    with torch.random.fork_rng(devices=[]):
        network = create(model, classes, size=size, channels=look.channels, **kwargs)
    network = network.to(memory_format=torch.channels_last)
    device, shape = torch.device("cpu"), (look.channels, *size)
    step = {FULL: training_steps(network, device)[FULL]}
    threads, began, worked = torch.get_num_threads(), time.perf_counter(), time.process_time()
    found = seconds_per_crop(step, shape, look.batch, device, channels_last=True)[FULL]
    assert found is not None
    # Core-seconds, by the share of the cores that this process gets beside other work.
    share = (time.process_time() - worked) / (time.perf_counter() - began)
    return _OVERHEAD * found * look.train / min(threads, max(share, 0.1))


def epoch_seconds(candidates: Sequence[Candidate], look: Look, classes: int) -> dict[str, float]:
    """Seconds per epoch of each candidate, by name.

    One of each family is measured. The others are in proportion to their multiply-accumulates.
    """
    rate: dict[str, float] = {}
    found: dict[str, float] = {}
    for each in candidates:
        if each.family not in rate:
            seconds = probe_seconds(each.model, each.kwargs, each.size, look, classes)
            rate[each.family] = seconds / each.cost.macs
        found[each.name] = rate[each.family] * each.cost.macs
    return found
