"""Outputs of a network as class probabilities: softmax, names of outputs, equal names added up."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tinyrefinery.errors import DataError
from tinyrefinery.reading.json_text import read_text

NONE = "-"
"""In a list of classes: an output that is none of ours."""
_SUM = 1e-3  # float32 over many classes


def distinct(outputs: Sequence[str]) -> tuple[str, ...]:
    """The classes that outputs stand for, each once, in order."""
    return tuple(dict.fromkeys(name for name in outputs if name != NONE))


def pooled(probabilities: np.ndarray, outputs: Sequence[str]) -> np.ndarray:
    """Probabilities (n, K) of the classes: equal names added up, `-` left out."""
    classes = distinct(outputs)
    found = np.zeros((len(probabilities), len(classes)))
    for number, name in enumerate(outputs):
        if name != NONE:
            found[:, classes.index(name)] += probabilities[:, number]
    return found


def distribution(outputs: np.ndarray, name: str) -> np.ndarray:
    """Outputs (n, outputs) as they are where all are distributions, else their softmax.

    Raises:
        DataError: when one isn't finite.
    """
    if not np.isfinite(outputs).all():
        raise DataError(f"{name}: gives numbers that aren't finite; does it get what it expects?")
    if (outputs >= 0).all() and (np.abs(outputs.sum(axis=1) - 1) < _SUM).all():
        return outputs
    shifted = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def read_classes(path: Path) -> tuple[str, ...]:
    """Names of outputs, one a line; equal names are added up, `-` is none of ours.

    Raises:
        DataError: when it can't be read, or has fewer than two classes.
    """
    lines = read_text(path).splitlines()
    outputs = tuple(line.strip() for line in lines)
    while outputs and not outputs[-1]:
        outputs = outputs[:-1]
    if "" in outputs:
        raise DataError(f"{path}, line {outputs.index('') + 1}: is empty; write - for none of ours")
    if len(distinct(outputs)) < 2:
        raise DataError(f"{path}: names {len(distinct(outputs))} classes; it takes two")
    return outputs
