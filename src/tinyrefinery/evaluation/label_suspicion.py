"""Samples whose given label looks wrong, for a person to look at: a ranking, not a verdict.

Made of what training recorded anyway (`dynamics.parquet`). A hard sample with a right label looks
much the same as an easy one with a wrong label, so the first lines are worth most.
"""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy.stats import rankdata

from tinyrefinery.data.manifest import Manifest
from tinyrefinery.files import write_csv

CONTRADICTED = 0.5  # our choice: more crops speak against the given label than for it
MOST = 10_000  # our choice: lines, more than anybody reviews
_REFINED = ("refined_class", "disagreement", "given_probability")


def find_suspects(dynamics: pa.Table) -> np.ndarray:
    """Row numbers of the table whose label is suspect, the most suspect first; at most `MOST`.

    Suspect is what training never came to terms with: an area under the margin below 0, so that on
    average over training another class was ahead of the given one. Where labels were refined, the
    refiner must contradict the given label too: on more than half of the crops, and with a larger
    mean probability for one other class. They are ranked as `suspicion` says. Samples without a
    visit are left out.

    Args:
        dynamics: as `dynamics_table` makes it.
    """
    suspect = _column(dynamics, "aum") < 0  # false for what was never visited, which has no area
    if "disagreement" in dynamics.column_names:
        suspect &= _column(dynamics, "disagreement") > CONTRADICTED
        suspect &= _column(dynamics, "refined_class") != _column(dynamics, "label")
    ranked = np.argsort(-suspicion(dynamics), kind="stable")
    return ranked[suspect[ranked]][:MOST]


def suspicion(dynamics: pa.Table) -> np.ndarray:
    """How suspect each sample's label is, (N,) float64 from 0, without a visit, to 1, the worst.

    Its place, as a share, in the order by area under the margin. Where labels were refined, the
    mean of that and of its place in the order by the mean refined probability of the given class:
    the one tells what the network came to terms with over a whole training, the other what its
    refiner saw in many crops. The mean of both ranks better than either; it was chosen on street
    numbers and Imagenette with synthetic noise (docs/audit.md).

    Args:
        dynamics: as `dynamics_table` makes it.
    """
    places = [_place(_column(dynamics, "aum"))]
    if "given_probability" in dynamics.column_names:
        places.append(_place(_column(dynamics, "given_probability")))
    return np.mean(places, axis=0)


def _place(values: np.ndarray) -> np.ndarray:
    """Places as shares: 1 for the least value, 0 where there is none, the mean among equals."""
    known = ~np.isnan(values)
    places = np.zeros(len(values))
    places[known] = rankdata(-values[known].astype(np.float64)) / max(1, known.sum())
    return places


def save_suspects(path: Path, dynamics: pa.Table, manifest: Manifest) -> None:
    """Write the suspects as CSV, in one step.

    Columns: `rank` from 1, `id`, `path`, `given_class` and `refined_class` by name, `disagreement`,
    `given_probability`, `aum`. Those about refined labels are empty where there are none. Images
    that the data has no more are left out.

    Args:
        path: the file.
        dynamics: as `dynamics_table` makes it.
        manifest: of the data as it is now, for the paths; rows may have moved since.
    """
    some = dynamics.take(pa.array(find_suspects(dynamics)))
    ids = np.array(some.column("id").to_pylist(), object)
    at = manifest.places(ids, some.column("row").to_numpy())
    some, at = some.filter(pa.array(at >= 0)), at[at >= 0]
    classes = json.loads(dynamics.schema.metadata[b"classes"])
    paths = manifest.column("path")
    rows = []
    for rank, (row, one) in enumerate(zip(at, some.to_pylist(), strict=True), 1):
        refined = [""] * len(_REFINED)
        if "disagreement" in one:
            refined = [classes[one["refined_class"]], one["disagreement"], one["given_probability"]]
        given = classes[one["label"]]
        rows.append([rank, one["id"], paths[row], given, *refined, one["aum"]])
    write_csv(path, ["rank", "id", "path", "given_class", *_REFINED, "aum"], rows)


def _column(dynamics: pa.Table, name: str) -> np.ndarray:
    """Values of a column, null as NaN."""
    return dynamics.column(name).to_numpy()
