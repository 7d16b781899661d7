"""Which images a command shows: given rows, failures of a data test, or confident errors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinyrefinery.data_tests.session import Session
from tinyrefinery.errors import DataError, DataTestError, did_you_mean
from tinyrefinery.networks.network import Network
from tinyrefinery.networks.network_data import NetworkData, open_network_data, rows_in
from tinyrefinery.networks.source_overrides import changed_source
from tinyrefinery.networks.stored_predictions import Wanted, predictions_of
from tinyrefinery.options.perturbation import Perturbation


@dataclass(frozen=True)
class Picked:
    """Images to show."""

    rows: np.ndarray
    """Manifest rows, (n,), in the order they are shown."""
    why: str
    """The rule they were chosen by, as text."""
    how: Perturbation | None = None
    """How they are changed first."""


def data_to_show(network: Network, changes: Sequence[str] = ()) -> NetworkData:
    """The data of a network's run, or what overrides name.

    Args:
        network: the network to explain; the data needs its classes and channels.
        changes: `data.source.NAME=VALUE`; of a network file they start from a folder of pictures.

    Raises:
        DataError: when there is no data to look at, or an override isn't about the data's source.
        RecipeError: when an override is wrong.
    """
    source = changed_source(network, changes) if changes else None
    return open_network_data([network], source)


def given_rows(data: NetworkData, rows: Sequence[int]) -> Picked:
    """Rows that the user named.

    Raises:
        DataError: when there is no such row.
    """
    n = len(data.manifest)
    if wrong := [row for row in rows if not 0 <= row < n]:
        raise DataError(f"no row {wrong[0]}; the data has rows 0 to {n - 1}")
    return Picked(np.asarray(rows, np.int64), "rows that were named")


def most_confident_errors(network: Network, data: NetworkData, split: str, count: int) -> Picked:
    """The errors whose probability is furthest above that of the given class.

    Raises:
        DataError: when the split is empty or there is no error in it.
    """
    found = rows_in(data.manifest, [split])
    if not found:
        there = ", ".join(rows_in(data.manifest, ["any"])) or "none"
        raise DataError(f"{data.source.name}: no image in split '{split}'; splits: {there}")
    rows = np.concatenate([*found.values()])
    labels = data.manifest.labels[rows]
    probabilities = predictions_of(network, data, Wanted(found, {})).probabilities[rows]  # (n, K)
    margins = probabilities.max(axis=1) - probabilities[np.arange(len(rows)), labels]
    wrong = probabilities.argmax(axis=1) != labels
    if not wrong.any():
        raise DataError(
            f"{network.name}: makes no error in split '{split}' ({len(rows):,} images); choose "
            "images with --manifest-row"
        )
    order = np.argsort(-margins[wrong], kind="stable")
    why = (
        f"the most confident of {wrong.sum():,} errors among {len(rows):,} images, split '{split}'"
    )
    return Picked(rows[wrong][order][:count], why)


def failures_of(session: Session, name: str, count: int) -> Picked:
    """The errors of a network in a data test, the most confident first.

    Raises:
        DataTestError: when there is no such test, or no such image.
    """
    results = {each.name: each for each in session.results}
    if name not in results:
        raise DataTestError(
            f"{session.path}: no test '{name}'.{did_you_mean(name, results)} "
            f"Tests: {', '.join(results)}"
        )
    result = results[name]
    if not result.worst:
        reason = f": {result.remark}" if result.remark else ""
        raise DataTestError(f"{name}: {result.verdict}, it has no error{reason}")
    why = f"the most confident of {result.bad:,} errors in test {name} ({result.verdict})"
    return Picked(np.asarray(result.worst[:count]), why, session.test(result).perturb)
