"""Outputs of a network as class probabilities: softmax, names of outputs, equal names added up."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.special import softmax

from tinyrefinery.errors import DataError
from tinyrefinery.reading.json_text import read_text

NONE = "-"
"""In a list of classes: an output that is none of ours."""


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


def probabilities_of(logits: np.ndarray, name: str) -> np.ndarray:
    """The softmax of logits (n, outputs).

    Raises:
        DataError: when one isn't finite.
    """
    if not np.isfinite(logits).all():
        raise DataError(f"{name}: gives numbers that aren't finite; does it get what it expects?")
    return softmax(logits, axis=1)


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
