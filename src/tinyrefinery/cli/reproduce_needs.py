"""What a table needs, in words: data, disk and hours, before `reproduce` starts."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tinyrefinery.recipe.detection import DetectionRecipe
from tinyrefinery.recipe.schema import Recipe

if TYPE_CHECKING:
    from tinyrefinery.execution.needs import NetworkNeeds

_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def needs_lines(recipes: Sequence[Recipe | DetectionRecipe], processes: int = 1) -> list[str]:
    """Lines about data, disk and hours. A few training steps of each network are timed.

    Args:
        recipes: of the rows and seeds that run; nothing of them is trained yet.
        processes: seeds that are trained at the same time.
    """
    import torch

    from tinyrefinery import builders

    networks = _networks(recipes)
    engine = recipes[0].engine
    cpu = builders.fabric(engine).device.type == "cpu"
    threads = (engine.threads or torch.get_num_threads()) if cpu else 1
    return [
        *_data_lines(networks),
        f"disk: {_size(sum(each.bytes for each in networks))} of weights, and predictions",
        _time_line(networks, min(threads * processes, os.cpu_count() or 1) if cpu else processes),
    ]


def _networks(recipes: Sequence[Recipe | DetectionRecipe]) -> "list[NetworkNeeds]":
    detectors = [each for each in recipes if isinstance(each, DetectionRecipe)]
    if detectors:
        from tinyrefinery.detection.detector_needs import detector_needs

        return detector_needs(detectors, {})
    from tinyrefinery.execution.needs import network_needs

    return network_needs([each for each in recipes if isinstance(each, Recipe)], {})


def _data_lines(networks: "Sequence[NetworkNeeds]") -> list[str]:
    lines = []
    for source in dict.fromkeys(each.source for each in networks):
        images = "" if source.images is None else f", {source.images:,} training images"
        size = "" if not source.bytes else f", {_size(source.bytes)}"
        missing = "" if source.is_there else ". It is not there yet"
        lines.append(f"data: {source.name}{images}{size}{missing}")
    return lines


def _time_line(networks: "Sequence[NetworkNeeds]", cores: int) -> str:
    """Time to train all networks, by measured steps.

    Args:
        networks: what is trained.
        cores: how many work at the same time, as if they shared the work evenly.
    """
    known = [each.seconds for each in networks if each.seconds is not None]
    count = f"{len(networks)} network" + ("s" if len(networks) > 1 else "")
    if len(known) < len(networks):
        each = sum(n.epochs * n.seconds_per_image for n in networks if n.seconds is None)
        per = f"{_duration(1000 * each / cores)} per 1,000 training images of data not counted yet"
        rest = f", and {_duration(sum(known) / cores)} for the others" if known else ""
        return f"time: {count}, about {per}{rest}, by steps timed on this machine"
    return (
        f"time: {count}, about {_duration(sum(known) / cores)} of training and labels by steps "
        "timed on this machine; decoding and evaluating come on top"
    )


def _duration(seconds: float) -> str:
    """E.g. 40 seconds, 12 minutes, 3.5 hours, 21 days."""
    for unit, name in ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * unit:
            return (
                f"{seconds / unit:,.2g} {name}"
                if seconds < 100 * unit
                else (f"{seconds / unit:,.0f} {name}")
            )
    return f"{seconds:.0f} seconds"


def _size(count: float) -> str:
    """Bytes in the largest unit that leaves a number of 1 or more."""
    for unit, name in _UNITS:
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count:.0f} bytes"
