"""The network whose labels the small one may learn from: named, pretrained, or trained here."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tinyrefinery.data.dataset import Dataset
from tinyrefinery.errors import DataError
from tinyrefinery.evaluation.calibration import negative_log_likelihood
from tinyrefinery.evaluation.predictions import predict
from tinyrefinery.fitting.fit_recipes import Plan
from tinyrefinery.fitting.look import Look
from tinyrefinery.fitting.speed import probe_seconds
from tinyrefinery.fitting.trials import train_trial
from tinyrefinery.networks.facts import Facts
from tinyrefinery.networks.held_out import never_used
from tinyrefinery.networks.network import Network
from tinyrefinery.networks.network_view import opened
from tinyrefinery.networks.opening import open_network
from tinyrefinery.runs.run_folder import open_run

TIMM = "timm:"
Decide = Callable[[str, Callable[[], Any]], Any]
"""`Diary.decide`."""
_AT_HAND = ("tf_efficientnet_lite0.in1k", "mobilenetv3_large_100.ra_in1k", "resnet18.a1_in1k")
"""Networks whose pretrained weights are used where timm has them on this machine already."""
_SIDES = (96, 128, 160, 192, 224)
_FORWARD = 3
"""A training step takes about so many times as long as labeling the same crops."""
_FINE_TUNING = (6, 30)  # fewest and most epochs
_FROM_SCRATCH = (20, 120)


@dataclass(frozen=True)
class Refiner:
    """A trained network that may label."""

    by: str
    """As recipes name it."""
    title: str
    """What it is, for people."""
    top1: float
    """Accuracy on the validation pictures."""
    nll: float
    seconds: float
    """Of its training."""
    epoch: float = 0.0
    """Seconds that it takes to label the training pictures once."""
    seen: bool = False
    """Whether it was trained or chosen on the validation pictures, so that `top1` is too high."""

    def as_dict(self) -> dict[str, Any]:
        """For a file."""
        return asdict(self)


@dataclass(frozen=True)
class _Training:
    """How a refiner is trained."""

    title: str
    model: dict[str, Any]
    sizes: Sequence[tuple[int, int]]
    """That may be chosen, smallest first."""
    epochs: tuple[int, int]
    """Fewest and most."""
    start: dict[str, Any] | None = None
    normalization: dict[str, Any] = field(default_factory=dict)


def check_refiner(word: str | None, weights: str | None, data: Dataset) -> None:
    """Refuse a refiner that can't be used, before anything is trained.

    Args:
        word: what was named, see `make_refiner`.
        weights: a file, for `timm:NAME`.
        data: all pictures.

    Raises:
        RefineryError: if it can't be opened, takes other images, has other classes and can't be
            fine-tuned, or was trained on all test pictures.
    """
    if word is None:
        return
    if weights is not None and not Path(weights).expanduser().is_file():
        raise DataError(f"--refiner-weights {weights}: no such file")
    network = open_network(word, stated=Facts(weights=weights) if weights else None)
    if word.startswith(TIMM):
        return
    if network.channels != data.images.channels:
        raise DataError(
            f"--refiner {word}: takes images of {network.channels} channels, but the pictures are "
            f"opened with {data.images.channels}. Add channels={network.channels}, or name another"
        )
    if set(network.classes) != set(data.classes) and network.kind != "file":
        missing = [name for name in data.classes if name not in network.classes]
        others = [name for name in network.classes if name not in data.classes]
        differ = [f"lacks {', '.join(missing[:4])}"] if missing else []
        differ += [f"has {', '.join(others[:4])} besides"] if others else []
        raise DataError(
            f"--refiner {word}: has other classes than the pictures ({'; '.join(differ)}), and a "
            f"network of kind {network.kind} can't be fine-tuned. Name a run, a .safetensors file "
            "or timm:NAME"
        )
    test = data.manifest.rows("test")
    if len(test) and not never_used(data.manifest, [network])[test].any():
        raise DataError(
            f"--refiner {word}: was trained or chosen on all {len(test):,} test pictures, so its "
            "student can't be measured on them. Name another refiner, or leave it out"
        )


def make_refiner(
    word: str | None,
    weights: str | None,
    *,
    plan: Plan,
    data: Dataset,
    folder: Path,
    seconds: float,
    say: Callable[[str], object],
    decide: Decide,
) -> Refiner:
    """The refiner, trained or fine-tuned if it has to be.

    In this order: what was named, pretrained weights that are on this machine, a larger network
    trained from scratch.

    Args:
        word: a run, a network file or `timm:NAME`; None: none was named.
        weights: a file, for `timm:NAME`.
        plan: what all recipes have in common.
        data: without test pictures.
        folder: for its run.
        seconds: that its training may take.
        say: called with progress messages.
        decide: keeps what is decided before a training, so that it resumes.

    Raises:
        RefineryError: if what was named can't be opened or trained.
    """
    if word is not None and not word.startswith(TIMM):
        network = open_network(word)
        if set(network.classes) == set(data.classes):
            return _as_it_is(network, data, plan.look, say)
        training = _of_network(network)
    else:
        word = word or decide("refiner at hand", at_hand)
        training = _larger(plan.look) if word is None else _of_timm(word, weights, plan.look)
    return _train(training, plan, data, folder, seconds, say, decide)


def at_hand() -> str | None:
    """A timm network whose pretrained weights were downloaded before; None without one."""
    from huggingface_hub import try_to_load_from_cache

    for name in _AT_HAND:
        if isinstance(try_to_load_from_cache(f"timm/{name}", "model.safetensors"), str):
            return f"{TIMM}{name}"
    return None


def _as_it_is(network: Network, data: Dataset, look: Look, say: Callable[[str], object]) -> Refiner:
    """A network of the same classes; it labels as it is.

    It is measured on the validation pictures that it was not trained on, if there are any.
    """
    say(f"refiner: {network.name}, as it is")
    net, view, workers = opened(network, data)
    rows = view.dataset.manifest.rows("validation")
    fresh = rows[never_used(view.dataset.manifest, [network])[rows]]
    if seen := not len(fresh):
        say(f"  {network.name}: was trained or chosen on all validation pictures")
    began = time.monotonic()
    found = predict(net, view, rows if seen else fresh, workers=workers)
    epoch = (time.monotonic() - began) / len(found) * look.train
    nll = negative_log_likelihood(found.probabilities, found.labels)
    top1 = float(found.correct.mean())
    by = network.source if network.kind == "http" else f"file:{network.file.resolve()}"
    return Refiner(by, network.name, top1, float(nll), 0.0, epoch=epoch, seen=seen)


def _of_network(network: Network) -> _Training:
    """A network of ours with other classes: fine-tuned at its own size."""
    info = network.info
    kwargs = {name: value for name, value in info.kwargs.items() if name != "pretrained"}
    return _Training(
        title=f"{network.name}, fine-tuned",
        model={"name": info.name, "kwargs": kwargs},
        sizes=[info.size],
        epochs=_FINE_TUNING,
        start={"init_from": f"file:{network.file.resolve()}", "replace_head": True},
        normalization={"mean": list(info.mean), "std": list(info.std)},
    )


def _of_timm(word: str, weights: str | None, look: Look) -> _Training:
    """A pretrained network of timm: fine-tuned at a size that the time allows."""
    info = open_network(word, stated=Facts(weights=weights)).info
    own = min(info.size)
    largest = min(own, max(look.height, look.width, _SIDES[0]))
    sides = [side for side in _SIDES if side <= largest] or [largest]
    model: dict[str, Any] = {"name": word}
    if weights is None:
        model["kwargs"] = {"pretrained": True}
    else:
        model["weights"] = str(Path(weights).expanduser().resolve())
    return _Training(
        title=f"{word.removeprefix(TIMM)} with pretrained weights, fine-tuned",
        model=model,
        sizes=[(side, side) for side in sides],
        epochs=_FINE_TUNING,
        start={"replace_head": True},
        normalization=_per_channel(info.mean, info.std, look.channels),
    )


def _per_channel(
    mean: Sequence[float], std: Sequence[float], channels: int
) -> dict[str, list[float]]:
    """Normalization of a network of color images for images of so many channels."""
    if channels == len(mean):
        return {"mean": list(mean), "std": list(std)}
    return {"mean": [sum(mean) / len(mean)], "std": [sum(std) / len(std)]}


def _larger(look: Look) -> _Training:
    """A network too large for a microcontroller, from random weights."""
    wide = {"width": 3.0, "stem": "small" if min(look.sizes[-1]) < 64 else "imagenet"}
    return _Training(
        title="ResNet8 of three times the width, trained from scratch",
        model={"name": "resnet8", "kwargs": wide},
        sizes=[size for size in look.sizes if max(size) >= 32] or look.sizes,
        epochs=_FROM_SCRATCH,
    )


def _train(
    training: _Training,
    plan: Plan,
    data: Dataset,
    folder: Path,
    seconds: float,
    say: Callable[[str], object],
    decide: Decide,
) -> Refiner:
    # Kept: another command measures another speed, and would train with other epochs.
    size, epochs = decide(
        "refiner training", lambda: _fitting(training, plan.look, len(data.classes), seconds)
    )
    say(f"refiner: {training.title}, {size[0]}x{size[1]} pixels, epochs: {epochs}")
    recipe = plan.of_refiner(
        training.model,
        (size[0], size[1]),
        epochs,
        normalization=training.normalization,
        start=training.start,
    )
    found = train_trial(recipe, folder, data, candidate=training.title)
    network = open_run(folder).stages[-1].network.resolve()
    epoch = found.seconds_per_epoch / _FORWARD
    return Refiner(
        f"file:{network}", training.title, found.top1, found.nll, found.seconds, epoch=epoch
    )


def _fitting(
    training: _Training, look: Look, classes: int, seconds: float
) -> tuple[tuple[int, int], int]:
    """The largest size at which the fewest epochs fit into the time, and as many as fit."""
    least, most = training.epochs
    kwargs: Mapping[str, Any] = training.model.get("kwargs", {})
    plain = {name: value for name, value in kwargs.items() if name != "pretrained"}
    name, largest = training.model["name"], training.sizes[-1]
    whole = probe_seconds(name, plain, largest, look, classes)
    size, fit = largest, 0
    for size in reversed(training.sizes):
        share = (size[0] * size[1]) / (largest[0] * largest[1])
        fit = int(seconds / (whole * share))
        if fit >= least:
            break
    return size, max(1, min(most, fit))
