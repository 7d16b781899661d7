"""The network whose labels the small one may learn from: named, pretrained, or trained here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tinyrefinery.data.dataset import Dataset
from tinyrefinery.errors import RefineryError
from tinyrefinery.evaluation.calibration import negative_log_likelihood
from tinyrefinery.evaluation.predictions import predict
from tinyrefinery.fitting.fit_recipes import Plan
from tinyrefinery.fitting.look import Look
from tinyrefinery.fitting.speed import probe_seconds
from tinyrefinery.fitting.trials import train_trial
from tinyrefinery.networks.facts import Facts
from tinyrefinery.networks.network import Network
from tinyrefinery.networks.network_view import opened
from tinyrefinery.networks.opening import open_network
from tinyrefinery.runs.run_folder import open_run

TIMM = "timm:"
_AT_HAND = ("tf_efficientnet_lite0.in1k", "mobilenetv3_large_100.ra_in1k", "resnet18.a1_in1k")
"""Networks whose pretrained weights are used where timm has them on this machine already."""
_SIDES = (96, 128, 160, 192, 224)
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
    epochs: int = 1
    """Of its training."""

    @property
    def seconds_per_epoch(self) -> float:
        """Of its training; 0 if it was trained elsewhere."""
        return self.seconds / self.epochs

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


def make_refiner(
    word: str | None,
    weights: str | None,
    *,
    plan: Plan,
    data: Dataset,
    folder: Path,
    seconds: float,
    say: Callable[[str], object],
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

    Raises:
        RefineryError: if what was named can't be opened or trained.
    """
    if word is not None and not word.startswith(TIMM):
        network = open_network(word)
        if set(network.classes) == set(data.classes):
            return _as_it_is(network, data, say)
        training = _of_network(network)
    else:
        word = word or at_hand()
        training = _larger(plan.look) if word is None else _of_timm(word, weights, plan.look)
    return _train(training, plan, data, folder, seconds, say)


def at_hand() -> str | None:
    """A timm network whose pretrained weights were downloaded before; None without one."""
    from huggingface_hub import try_to_load_from_cache

    for name in _AT_HAND:
        if isinstance(try_to_load_from_cache(f"timm/{name}", "model.safetensors"), str):
            return f"{TIMM}{name}"
    return None


def _as_it_is(network: Network, data: Dataset, say: Callable[[str], object]) -> Refiner:
    """A network of the same classes; it labels as it is."""
    say(f"refiner: {network.name}, as it is")
    net, view, workers = opened(network, data)
    rows = view.dataset.manifest.rows("validation")
    found = predict(net, view, rows, workers=workers)
    nll = negative_log_likelihood(found.probabilities, found.labels)
    top1 = float(found.correct.mean())
    return Refiner(f"file:{network.file.resolve()}", network.name, top1, float(nll), 0.0)


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
) -> Refiner:
    size, epochs = _fitting(training, plan.look, len(data.classes), seconds)
    say(f"refiner: {training.title}, {size[0]}x{size[1]} pixels, epochs: {epochs}")
    recipe = plan.of_refiner(
        training.model,
        size,
        epochs,
        normalization=training.normalization,
        start=training.start,
    )
    found = train_trial(recipe, folder, data, candidate=training.title)
    network = open_run(folder).stages[-1].network.resolve()
    return Refiner(
        f"file:{network}", training.title, found.top1, found.nll, found.seconds, found.epochs
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
    for size in reversed(training.sizes):
        share = (size[0] * size[1]) / (largest[0] * largest[1])
        fit = int(seconds / (whole * share))
        if fit >= least or size == training.sizes[0]:
            return size, max(1, min(most, fit))
    raise RefineryError("no size")  # not reached: the smallest is always taken
