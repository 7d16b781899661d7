"""Sample crops with their labels, generation by generation, from samples.npz."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyrefinery.errors import DataError
from tinyrefinery.evaluation.label_quality import label_quality
from tinyrefinery.pages.inline import data_uri
from tinyrefinery.reading.arrays import read_arrays

MOST = 12
TOP = 5
_REMEDY = "Delete it to make the report without samples."


@dataclass(frozen=True)
class Bar:
    """One class of a label."""

    category: str
    probability: float
    right: bool
    """Whether it is the image's given class."""


@dataclass(frozen=True)
class Label:
    """The most probable classes of a label, most probable first."""

    title: str
    bars: tuple[Bar, ...]
    rest: float
    """Probability of all the classes that are not shown."""
    kl: float | None
    """KL(true label || label) in nats as in `label_quality`; None where it isn't known."""


@dataclass(frozen=True)
class Sample:
    """One crop: where it lies, what it shows and what it was labeled."""

    category: str
    source: str
    """Source image as a data: address."""
    crop: str
    size: tuple[int, int]
    """Height and width of the source in pixels."""
    box: tuple[float, float, float, float]
    """Top, left, height, width in source pixels; may stick out."""
    labels: tuple[Label, ...]


def read_samples(path: Path, most: int = MOST) -> list[Sample]:
    """The first samples of samples.npz; none when there is no such file.

    The file holds `source` uint8 (n, H, W, C), `crop` uint8 (n, h, w, C), `boxes` (n, 4), `label`
    (n,), `classes` (K,), maybe `truth` (n, K), and for each stage that labels `labels_ID` (n, K)
    and maybe `title_ID`. Those after the first dozen are for `reports.prediction_figures`, as are
    `row` (n,), `candidates` (among how many they were chosen), `line_keys` and `line_labels` (the
    generations: stage keys, and the IDs under which they label), `validation_row` (m,) and
    `validation_source` uint8 (m, H, W, C).

    Raises:
        DataError: when the file is truncated or lacks an array.
    """
    arrays = read_arrays(path, _REMEDY)
    if not arrays:
        return []
    try:
        return [_sample(arrays, i) for i in range(min(most, len(arrays["label"])))]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise DataError(f"{path}: no readable samples ({error}). {_REMEDY}") from error


def _sample(arrays: dict[str, np.ndarray], i: int) -> Sample:
    """Sample number i."""
    own, classes = int(arrays["label"][i]), arrays["classes"]
    truth = arrays["truth"][i] if "truth" in arrays else None
    labels = [_label("ground truth", np.eye(len(classes))[own], own, classes, truth)]
    if truth is not None:
        labels.append(_label("true label", truth, own, classes, None))
    for name in arrays:
        if name.startswith("labels_"):
            stage = name.removeprefix("labels_")
            title = str(arrays.get(f"title_{stage}", stage))
            labels.append(_label(title, arrays[name][i], own, classes, truth))
    height, width = arrays["source"].shape[1:3]
    top, left, tall, wide = map(float, arrays["boxes"][i])
    return Sample(
        category=str(classes[own]),
        source=data_uri(arrays["source"][i]),
        crop=data_uri(arrays["crop"][i]),
        size=(height, width),
        box=(top, left, tall, wide),
        labels=tuple(labels),
    )


def _label(
    title: str, label: np.ndarray, own: int, classes: np.ndarray, truth: np.ndarray | None
) -> Label:
    """The top classes of one distribution (K,); those below half a percent are not shown."""
    order = np.argsort(-label, kind="stable")[:TOP]
    shown = [j for j in order if label[j] >= 0.005] or [order[0]]
    bars = tuple(Bar(str(classes[j]), float(label[j]), bool(j == own)) for j in shown)
    kl = None if truth is None else label_quality(label[None], truth[None])["kl"]
    return Label(title, bars, max(0.0, 1 - sum(bar.probability for bar in bars)), kl)
