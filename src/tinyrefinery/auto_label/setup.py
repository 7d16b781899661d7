"""From the options of a command to a labeler and the images that it is audited on."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyrefinery.audit.target import open_pictures
from tinyrefinery.auto_label.endpoint import EndpointLabeler
from tinyrefinery.auto_label.labelers import Labeler
from tinyrefinery.builders import dataset as recipe_data
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.opening_checks import labels_from_networks
from tinyrefinery.errors import DataError
from tinyrefinery.networks.held_out import held_out, never_used
from tinyrefinery.prediction.outputs import read_classes
from tinyrefinery.prediction.predictor import NetworkPredictor, open_predictor

log = logging.getLogger("tinyrefinery")


@dataclass(frozen=True)
class LabelerChoice:
    """The labeler that a command names, and its options."""

    by: str
    """An HTTP address, or whatever `open_network` opens."""
    classes: Path | None = None
    size: int | None = None
    weights: Path | None = None
    stage: str | None = None
    seed: int | None = None
    row: str | None = None
    timeout: float = 30.0
    retries: int = 3


def open_labeler(choice: LabelerChoice) -> Labeler:
    """Open the labeler.

    Raises:
        RefineryError: when it can't be opened.
    """
    outputs = None if choice.classes is None else read_classes(choice.classes)
    if choice.by.startswith(("http://", "https://")):
        if outputs is None:
            raise DataError(f"{choice.by}: list its classes, one per line: --classes")
        side = 224 if choice.size is None else choice.size
        return EndpointLabeler(
            choice.by, outputs, size=(side, side), timeout=choice.timeout, retries=choice.retries
        )
    return open_predictor(
        choice.by,
        classes=outputs,
        size=choice.size,
        weights=choice.weights,
        stage=choice.stage,
        seed=choice.seed,
        row=choice.row,
    )


def audited_images(labeler: Labeler, gold: Path | None) -> tuple[Dataset, np.ndarray]:
    """Images with human labels, and the rows that the labeler was not trained on.

    Args:
        labeler: the labeler whose thresholds are chosen.
        gold: folder or Parquet files, all of which count; None: the validation split of the
            labeler's run.

    Raises:
        DataError: when there are none, or some of their labels are a network's.
    """
    channels = 1 if labeler.channels == 1 else 3
    network = labeler.network if isinstance(labeler, NetworkPredictor) else None
    if gold is not None:
        if not gold.exists():
            raise DataError(f"{gold}: no such folder or file of labeled images")
        options = {"channels": channels, "validation": 0.0, "test": 0.0, "resident": "never"}
        found = open_pictures(gold, options)
        rows = np.arange(len(found.manifest))
        if network is not None:
            fresh = never_used(found.manifest, [network])
            if not fresh.all():
                log.info(
                    f"{gold}: {int((~fresh).sum()):,} of {len(rows):,} images are left out: "
                    f"{network.name} was trained or chosen on them"
                )
            rows = rows[fresh]
    else:
        if network is None or network.recipe is None:
            raise DataError(
                f"{labeler.name}: give images with human labels that it was not trained on: "
                "--gold FOLDER"
            )
        found = recipe_data(network.recipe.data)
        rows = held_out(found.manifest, [network], own=True).manifest.rows("validation")
    if not len(rows):
        raise DataError(f"{found.name}: has no validation images; give others with --gold")
    _refuse_auto(found, rows)
    return found, rows


def _refuse_auto(found: Dataset, rows: np.ndarray) -> None:
    """Refuse labels that a network made: they can't prove that a network is right."""
    auto = int(labels_from_networks(found.manifest)[rows].sum())
    if auto:
        raise DataError(
            f"{found.name}: {auto} of {len(rows)} audited labels are a network's (label_source "
            "begins with 'auto:'); give images with human labels: --gold FOLDER"
        )
