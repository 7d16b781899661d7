"""On which classes a network is wrong: recall per class, confusions, most confident errors."""

from dataclasses import dataclass

import numpy as np

from tinyrefinery.data.blobs import read_file
from tinyrefinery.data.decode import decode
from tinyrefinery.errors import DataError
from tinyrefinery.evaluation.prediction_table import Predictions
from tinyrefinery.pages.inline import thumbnail
from tinyrefinery.runs.run_folder import TrainedStage
from tinyrefinery.statistics.proportions import wilson

MOST_CLASSES = 20
"""Classes up to which the whole confusion matrix is shown, and lines of each table."""
MOST_ERRORS = 12


@dataclass(frozen=True)
class ClassLine:
    """One class of the table."""

    name: str
    n: int
    """Held-out images of the class."""
    right: int
    low: float
    """Lower end of recall's 95 % interval, in [0, 1]."""
    high: float
    taken_for: str
    """The class that its errors are most often predicted as; empty without errors."""
    taken: int
    """How many of its images are predicted as that class."""


@dataclass(frozen=True)
class ErrorPicture:
    """One error."""

    path: str
    label: str
    predicted: str
    probability: float
    """Of `predicted`."""
    picture: str
    """Thumbnail as a data: URI; empty where the image has no readable file."""


def confusion(predictions: Predictions) -> np.ndarray:
    """Counts (K, K) int64: rows are labels, columns are predicted classes."""
    k = len(predictions.classes)
    cells = predictions.labels * k + predictions.predicted
    return np.bincount(cells, minlength=k * k).reshape(k, k)


def class_lines(predictions: Predictions) -> list[ClassLine]:
    """The classes that have images, lowest recall first, at most `MOST_CLASSES`."""
    counts = confusion(predictions)
    lines = []
    for number, name in enumerate(predictions.classes):
        n, right = int(counts[number].sum()), int(counts[number, number])
        if not n:
            continue
        wrong = counts[number].copy()
        wrong[number] = 0
        worst = int(wrong.argmax())
        taken_for = predictions.classes[worst] if wrong[worst] else ""
        lines.append(ClassLine(name, n, right, *wilson(right, n), taken_for, int(wrong[worst])))
    return sorted(lines, key=lambda line: (line.right / line.n, -line.n))[:MOST_CLASSES]


def worst_pairs(predictions: Predictions) -> list[tuple[str, str, int]]:
    """Label, predicted class and count of the most frequent confusions, at most `MOST_CLASSES`."""
    counts = confusion(predictions)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:MOST_CLASSES]
    k, names = len(predictions.classes), predictions.classes
    pairs = [(names[cell // k], names[cell % k], int(counts.flat[cell])) for cell in order]
    return [pair for pair in pairs if pair[2]]


def surest_errors(predictions: Predictions) -> np.ndarray:
    """Rows (n,) of the errors with the highest probability, at most `MOST_ERRORS`."""
    wrong = np.flatnonzero(~predictions.correct)
    certainty = predictions.probabilities[wrong, predictions.predicted[wrong]]
    return wrong[np.argsort(-certainty, kind="stable")[:MOST_ERRORS]]


def error_picture(predictions: Predictions, row: int, path: str, picture: str) -> ErrorPicture:
    """One error, with its path and its thumbnail as a data: URI."""
    names, predicted = predictions.classes, predictions.predicted[row]
    return ErrorPicture(
        path=path,
        label=names[predictions.labels[row]],
        predicted=names[predicted],
        probability=float(predictions.probabilities[row, predicted]),
        picture=picture,
    )


def confident_errors(stage: TrainedStage, predictions: Predictions) -> list[ErrorPicture]:
    """The errors with the highest probability, at most `MOST_ERRORS`, with their pictures."""
    chosen = surest_errors(predictions)
    paths = _paths(stage, predictions.ids[chosen].tolist())
    return [
        error_picture(predictions, row, path, _picture(path))
        for row, path in zip(chosen, paths, strict=True)
    ]


def _paths(stage: TrainedStage, ids: list[str]) -> list[str]:
    """Where images are; their ids where the run did not keep the paths."""
    try:
        images = stage.images()
    except DataError:  # of a report's details only
        return ids
    known = dict(zip(images["id"].to_pylist(), images["path"].to_pylist(), strict=True))
    return [known.get(each, each) for each in ids]


def _picture(path: str) -> str:
    """A thumbnail; images of archives and of the embedded data have no file of their own."""
    try:
        return thumbnail(decode(read_file(path), 3), 160)
    except (OSError, DataError):
        return ""
