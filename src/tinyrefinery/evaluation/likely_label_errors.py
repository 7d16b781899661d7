"""Rank likely label errors for human review.

The ranking uses the training dynamics only (`dynamics.parquet`). Hard samples with correct labels
look much like easy ones with wrong labels. So the top of the list is the most reliable.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from tinyrefinery.data.manifest import Manifest
from tinyrefinery.evaluation.dynamics_table import class_names_of
from tinyrefinery.evaluation.expected_precision import count_worth_checking, error_probabilities
from tinyrefinery.files import write_csv
from tinyrefinery.statistics.ranks import midranks

CONTRADICTED = 0.5  # our choice: most crops contradict the given label
MOST = 10_000  # our choice: rows, more than anybody reviews
_LAST = ("aum", "expected_precision")
_REFINED = ("refined_class", "disagreement", "given_probability")


def find_suspects(dynamics: pa.Table) -> np.ndarray:
    """Row numbers of likely label errors in the table, most likely first; at most `MOST`.

    A label is a likely error if its area under the margin (AUM) is below 0: on average over
    training, another class had a higher logit. If labels were refined, the refiner must also
    contradict the given label: on more than half of the crops, and with a higher mean probability
    for another class. Rows are ranked by `suspicion`. Samples that were never trained on are left
    out.

    Args:
        dynamics: the table from `dynamics_table`.
    """
    suspect = _column(dynamics, "aum") < 0  # NaN, hence false, for samples never trained on
    if "disagreement" in dynamics.column_names:
        suspect &= _column(dynamics, "disagreement") > CONTRADICTED
        suspect &= _column(dynamics, "refined_class") != _column(dynamics, "label")
    suspect &= ~_is_threshold_sample(dynamics)
    ranked = np.argsort(-suspicion(dynamics), kind="stable")
    return ranked[suspect[ranked]][:MOST]


def expected_precisions(dynamics: pa.Table) -> np.ndarray:
    """Expected precision of the list from its top to each row, (N,) in the order of the list.

    The expected share of wrong labels among the first n, by `error_probabilities`. NaN without
    threshold samples.

    Args:
        dynamics: the table from `dynamics_table`.
    """
    places, planted = find_suspects(dynamics), _is_threshold_sample(dynamics)
    aum = _column(dynamics, "aum").astype(np.float64)
    known = ~planted & ~np.isnan(aum)
    probabilities = np.full(len(aum), np.nan)
    probabilities[known] = error_probabilities(aum[known], aum[planted & ~np.isnan(aum)])
    return np.cumsum(probabilities[places]) / np.arange(1, len(places) + 1)


def worth_checking(dynamics: pa.Table) -> str:
    """How many of the list to check, in one line; empty without threshold samples."""
    if not _is_threshold_sample(dynamics).any():
        return ""
    expected = expected_precisions(dynamics)
    count = count_worth_checking(expected)
    if not count:
        return "likely label errors: no part of the list is expected to be half wrong or more"
    return (
        f"likely label errors: check the first {count:,} of {len(expected):,}, "
        f"{expected[count - 1]:.0%} of them are expected to be wrong"
    )


def _is_threshold_sample(dynamics: pa.Table) -> np.ndarray:
    """Which rows were trained with a wrong label on purpose, (N,)."""
    if "threshold_sample" not in dynamics.column_names:
        return np.zeros(len(dynamics), bool)
    return dynamics.column("threshold_sample").to_numpy()


def suspicion(dynamics: pa.Table) -> np.ndarray:
    """Score of each label, (N,) float64, from 0 (never trained on) to 1 (most likely an error).

    The score is the relative rank by area under the margin (AUM). If labels were refined, it is the
    mean of that rank and the rank by the mean refined probability of the given class. AUM covers
    the student's whole training, the refined probability many crops. Their mean ranks better than
    either: chosen on street numbers and Imagenette with synthetic noise (docs/audit.md).

    Args:
        dynamics: the table from `dynamics_table`.
    """
    ranks = [_relative_ranks(_column(dynamics, "aum"))]
    if "given_probability" in dynamics.column_names:
        ranks.append(_relative_ranks(_column(dynamics, "given_probability")))
    return np.mean(ranks, axis=0)


def _relative_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks in [0, 1]: 1 for the smallest value, 0 for NaN, the mean among ties."""
    valid = ~np.isnan(values)
    ranks = np.zeros(len(values))
    ranks[valid] = midranks(-values[valid].astype(np.float64)) / max(1, valid.sum())
    return ranks


def save_suspects(path: Path, dynamics: pa.Table, manifest: Manifest) -> None:
    """Write the likely label errors as CSV, atomically.

    Columns: `rank` from 1, `id`, `path`, `given_class` and `refined_class` by name, `disagreement`,
    `given_probability`, `aum`, `expected_precision`. The columns on refined labels are empty if
    labels were not refined, the last one without threshold samples.
    Images that are no longer in the data are left out.

    Args:
        path: the file.
        dynamics: the table from `dynamics_table`.
        manifest: of the current data, for the paths; row numbers may have changed since training.
    """
    expected = expected_precisions(dynamics)
    suspects = dynamics.take(pa.array(find_suspects(dynamics)))
    ids = np.array(suspects.column("id").to_pylist(), object)
    rows = manifest.current_rows(ids, suspects.column("row").to_numpy())
    suspects, expected = suspects.filter(pa.array(rows >= 0)), expected[rows >= 0]
    rows = rows[rows >= 0]
    classes = class_names_of(dynamics)
    paths = manifest.column("path")
    lines = []
    for rank, (row, suspect) in enumerate(zip(rows, suspects.to_pylist(), strict=True), 1):
        refined = [""] * len(_REFINED)
        if "disagreement" in suspect:
            refined = [
                classes[suspect["refined_class"]],
                suspect["disagreement"],
                suspect["given_probability"],
            ]
        given, share = classes[suspect["label"]], expected[rank - 1]
        share = "" if np.isnan(share) else round(float(share), 3)
        lines.append([rank, suspect["id"], paths[row], given, *refined, suspect["aum"], share])
    write_csv(path, ["rank", "id", "path", "given_class", *_REFINED, *_LAST], lines)


def _column(dynamics: pa.Table, name: str) -> np.ndarray:
    """Values of a column; null becomes NaN."""
    return dynamics.column(name).to_numpy()
