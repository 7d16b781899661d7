"""What a network predicts for pictures: labels with probabilities, and the broken pictures."""

import html
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinyrefinery.data.dataset import Problem
from tinyrefinery.files import write_atomic, write_csv

TOP = 3
"""Classes that are listed per picture."""


@dataclass(frozen=True)
class PicturePredictions:
    """Class probabilities of N pictures."""

    network: str
    """Name of the network."""
    classes: tuple[str, ...]
    """K names."""
    paths: tuple[str, ...]
    """N files, in the order in which they were given."""
    probabilities: np.ndarray = field(repr=False)
    """(N, K) float64. A row sums to at most one: outputs named `-` belong to no class."""
    broken: tuple[Problem, ...] = ()
    """Pictures that can't be read, with the reason. They have no row."""
    ignored: tuple[Problem, ...] = ()
    """Files in folders that are not pictures, by their extension."""

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def labels(self) -> tuple[str, ...]:
        """The most probable class of each picture."""
        return tuple(self.classes[number] for number in self.probabilities.argmax(axis=1))

    def top(self, k: int = TOP) -> list[list[tuple[str, float]]]:
        """The `k` most probable classes of each picture with their probabilities, best first."""
        order = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :k]
        return [
            [(self.classes[number], float(row[number])) for number in best]
            for row, best in zip(self.probabilities, order, strict=True)
        ]

    def write_csv(self, path: Path, k: int = TOP) -> None:
        """Write one line per picture: path, label_1, probability_1, ..., problem.

        Broken pictures have the reason in `problem`, and no label.

        Raises:
            StorageError: when the file can't be written.
        """
        k = min(k, len(self.classes))
        pairs = [
            f"{name}_{place}" for place in range(1, k + 1) for name in ("label", "probability")
        ]
        rows: list[Sequence[object]] = [
            [file, *(value for pair in best for value in pair), ""]
            for file, best in zip(self.paths, self.top(k), strict=True)
        ]
        rows += [[each.where, *("" for _ in pairs), each.what] for each in self.broken]
        write_csv(path, ["path", *pairs, "problem"], rows)

    def write_json(self, path: Path, k: int = TOP) -> None:
        """Write `content` as JSON.

        Raises:
            StorageError: when the file can't be written.
        """
        write_atomic(path, json.dumps(self.content(k), indent=1, ensure_ascii=False) + "\n")

    def content(self, k: int = TOP) -> dict[str, Any]:
        """Network, classes, and per picture its path and its `k` most probable classes."""
        pictures = [
            {"path": path, "top": [{"label": name, "probability": p} for name, p in best]}
            for path, best in zip(self.paths, self.top(k), strict=True)
        ]
        broken = [{"path": each.where, "problem": each.what} for each in self.broken]
        return {
            "network": self.network,
            "classes": list(self.classes),
            "pictures": pictures,
            "broken": broken,
        }

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        head = "<tr><th>picture</th><th>label</th><th>probability</th></tr>"
        rows = [(path, label, f"{probability:.3f}") for path, label, probability in self]
        rows += [(each.where, each.what, "") for each in self.broken]
        lines = ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows]
        return f"<table>{head}{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"

    def __iter__(self) -> Iterator[tuple[str, str, float]]:
        """Path, most probable class and its probability, per picture."""
        for path, ((name, probability),) in zip(self.paths, self.top(1), strict=True):
            yield path, name, probability


def joined(
    network: str, classes: tuple[str, ...], parts: Sequence[tuple[tuple[str, ...], np.ndarray]]
) -> PicturePredictions:
    """Predictions of several batches, each paths and probabilities (n, K)."""
    paths = tuple(path for names, _ in parts for path in names)
    none = np.empty((0, len(classes)))
    return PicturePredictions(
        network, classes, paths, np.concatenate([none, *(found for _, found in parts)])
    )
