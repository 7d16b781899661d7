"""What `engine.precision: auto` stands for in a run: the precision that is faster on this machine.

All recipes of a run that leave the choice have the same precision, so that their networks can be
compared. It is chosen before anything is trained, and kept in the run folder: a run that resumes,
also on another machine, keeps it.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from tinyrefinery import builders, models
from tinyrefinery.errors import DataError, RefineryError, StorageError
from tinyrefinery.files import cache_folder, write_atomic
from tinyrefinery.networks.opening import FILE, open_network
from tinyrefinery.options.labels import Refined
from tinyrefinery.reading.digests import is_intact, sealed
from tinyrefinery.reading.json_text import read_json_object
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.recipe.stage import Model, Stage
from tinyrefinery.runs import files
from tinyrefinery.runs.environment import environment
from tinyrefinery.runs.plan import Job
from tinyrefinery.training import precision_probe
from tinyrefinery.training.precision_probe import FULL, HALF

log = logging.getLogger("tinyrefinery")

GAIN = 1.02
"""How many times as fast bf16 must be. Below that, its coarser rounding buys nothing."""
_CLASSES = 10  # of the networks that are timed; the last layer is a small part of the work
_FORMAT = 1  # of what is kept in the cache


@dataclass(frozen=True)
class Work:
    """What a run does many times with one network."""

    does: Literal["train", "label"]
    network: str
    """Name of an architecture, or a network from outside, `file:PATH`."""
    kwargs: str
    """Options of the architecture as JSON."""
    size: tuple[int, int]
    """Height and width of the crops in pixels."""
    batch: int
    """Crops per step."""
    channels: int
    channels_last: bool


def with_chosen_precision(jobs: Sequence[Job], folder: Path) -> list[Job]:
    """The jobs, with the run's precision in place of `auto`.

    Args:
        jobs: of one run.
        folder: of the run, locked.

    Raises:
        RefineryError: when the device or a network from outside is not available.
    """
    left_open = [job for job in jobs if job.recipe.engine.precision == "auto"]
    if not left_open:
        return list(jobs)
    fabric = builders.fabric(left_open[0].recipe.engine)
    fabric.launch()
    chosen = _choose(left_open, folder, fabric.device) if fabric.is_global_zero else ""
    chosen = fabric.broadcast(chosen)  # one process chooses for all
    return [_with_precision(job, chosen) for job in jobs]


def _with_precision(job: Job, chosen: str) -> Job:
    if job.recipe.engine.precision != "auto":
        return job
    engine = job.recipe.engine.model_copy(update={"precision": chosen})
    return replace(job, recipe=job.recipe.model_copy(update={"engine": engine}))


def _choose(jobs: Sequence[Job], folder: Path, device: torch.device) -> str:
    path = folder / files.PRECISION
    if (before := _read(path)) is not None:
        log.info(f"precision: {before}, as this run began")
        return before
    ratio = None
    if (chosen := _of_finished(folder, [job.row for job in jobs])) is not None:
        log.info(f"precision: {chosen}, as this run began")
    else:
        ratio = speed_ratio([job.recipe for job in jobs], device)
        chosen = HALF if ratio is not None and ratio >= GAIN else FULL
        reason = "not available on this device" if ratio is None else f"{ratio:.2f}x as fast here"
        log.info(f"precision: {chosen}, bf16 is {reason}")
    facts = {"precision": chosen, "bf16_speed": ratio, "machine": environment()}
    write_atomic(path, json.dumps(sealed(facts), indent=1))
    return chosen


def _read(path: Path) -> str | None:
    """What the run began with; None where it hasn't begun, or the file is damaged."""
    if not path.exists():
        return None
    with suppress(DataError):
        content = read_json_object(path)
        if is_intact(content) and content.get("precision") in (FULL, HALF):
            return content["precision"]
    log.warning(f"{path}: is damaged, so it is written again")
    return None


def _of_finished(folder: Path, rows: Sequence[str]) -> str | None:
    """The precision of networks that the run has already, e.g. from before it was left open."""
    if not any((folder / files.STAGES).glob(f"*/{files.DONE}")):
        return None
    for row in rows:
        recipe = folder / files.RECIPES / f"{row}.yaml" if row else folder / files.RECIPE
        with suppress(RefineryError):  # a row that is new here
            if (precision := load_recipe(recipe).engine.precision) != "auto":
                return precision
    return None


def speed_ratio(recipes: Sequence[Recipe], device: torch.device) -> float | None:
    """How many times as fast as in 32 bits the work of recipes is in bf16.

    Returns:
        None where the device has no bfloat16.
    """
    totals = dict.fromkeys((FULL, HALF), 0.0)
    known: dict[Work, dict[str, float | None]] = {}
    with _threads(recipes[0].engine.threads):
        for work, epochs in (each for recipe in recipes for each in _works(recipe)):
            if work not in known:
                known[work] = _kept_seconds(work, device)
            for name in totals:
                seconds = known[work][name]
                if seconds is None:
                    return None
                totals[name] += epochs * seconds
    return totals[FULL] / totals[HALF]


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Compute with as many CPU threads as the recipe asks for."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _works(recipe: Recipe) -> Iterator[tuple[Work, float]]:
    """What a recipe does, and for how many epochs."""
    stages = {stage.id: stage for stage in recipe.generations}
    shared = {
        "channels": recipe.data.source.channels,
        "channels_last": recipe.engine.channels_last,
    }
    size = recipe.data.train_crop.size
    for stage in stages.values():
        batch = max(1, stage.batch_size // recipe.engine.processes)
        yield Work("train", *_architecture(stage.model), size, batch, **shared), stage.epochs
        part = stage.labels
        if not isinstance(part, Refined) or part.level != "crop":
            continue  # labels of whole images are made once
        epochs = min(stage.epochs, stage.crop_pool or stage.epochs) if part.store else stage.epochs
        for name in part.by:
            of = _refiner(name, stages, size, own=part.refiner_size == "own")
            if of is not None:
                yield Work("label", *of, batch, **shared), epochs


def _architecture(model: Model) -> tuple[str, str]:
    """Name and options, without those that only say where weights come from."""
    kwargs = {key: value for key, value in model.kwargs.items() if key != "pretrained"}
    return model.name, json.dumps(kwargs, sort_keys=True)


def _refiner(
    name: str, stages: dict[str, Stage], size: tuple[int, int], *, own: bool
) -> tuple[str, str, tuple[int, int]] | None:
    """A refiner, its options, and the size of its crops; None: the precision doesn't matter."""
    if name in stages:
        return *_architecture(stages[name].model), size
    network = open_network(name)
    if not network.is_torch:
        return None
    return (
        network.info.name if network.kind == "timm" else network.source,
        "{}",
        network.info.size if own else size,
    )


def _kept_seconds(work: Work, device: torch.device) -> dict[str, float | None]:
    """Seconds per crop in each precision: from the cache, else measured now."""
    facts = _facts(work, device)
    key = sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    path = cache_folder() / "precision" / f"{key[:32]}.json"
    with suppress(DataError):
        content = read_json_object(path)
        if is_intact(content) and content.get("seconds", {}).keys() == {FULL, HALF}:
            return content["seconds"]
    seconds = _measure(work, device)
    with suppress(StorageError):  # then it is measured again next time
        write_atomic(path, json.dumps(sealed({"of": facts, "seconds": seconds})))
    return seconds


def _facts(work: Work, device: torch.device) -> dict[str, Any]:
    """All that the speed depends on."""
    machine = environment()
    facts = vars(work) | {"format": _FORMAT, "device": device.type}
    if work.network.startswith(FILE):
        facts["network"] = open_network(work.network).digest
    for name in ("processor", "accelerator", "threads"):
        facts[name] = machine[name]
    for name in ("tinyrefinery", "torch", "timm"):
        facts[name] = machine["versions"][name]
    return facts


def _measure(work: Work, device: torch.device) -> dict[str, float | None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = _network(work)
        if work.channels_last:
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if work.does == "train":
            steps = precision_probe.training_steps(network, device)
        else:
            steps = precision_probe.labeling_steps(
                network, device, channels_last=work.channels_last
            )
        return precision_probe.seconds_per_crop(
            steps,
            (work.channels, *work.size),
            work.batch,
            device,
            channels_last=work.channels_last,
        )


def _network(work: Work) -> nn.Module:
    """The network with random weights, or from its file."""
    if work.network.startswith(FILE):
        return open_network(work.network).load()
    kwargs = json.loads(work.kwargs)
    return models.create(work.network, _CLASSES, size=work.size, channels=work.channels, **kwargs)
