"""Predictions of networks: read where they are kept, else computed once and kept."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa

from tinyrefinery.data.arrow import pc
from tinyrefinery.data.perturb import perturb
from tinyrefinery.errors import CheckpointError, DataError
from tinyrefinery.evaluation.prediction_table import ModelPredictions
from tinyrefinery.evaluation.predictions import Predictions
from tinyrefinery.networks.network import Network
from tinyrefinery.networks.network_data import NetworkData, check_kept
from tinyrefinery.options.perturbation import Perturbation
from tinyrefinery.recipe.load import canonical

log = logging.getLogger("tinyrefinery")


@dataclass(frozen=True)
class Wanted:
    """Which predictions tests need."""

    rows: Mapping[str, np.ndarray]
    """Manifest rows by split."""
    perturbed: Mapping[str, tuple[Perturbation, Sequence[str]]]
    """By the perturbation's name: what it is, and on which splits."""


def predictions_of(network: Network, data: NetworkData, wanted: Wanted) -> ModelPredictions:
    """Predictions of a network for rows of the data, in the data's classes.

    Raises:
        CheckpointError: when the network has other classes than the data.
    """
    clean = _filled(network, data, wanted.rows, None)
    perturbed = {}
    for name, (how, splits) in wanted.perturbed.items():
        rows = {split: wanted.rows[split] for split in splits if split in wanted.rows}
        perturbed[name] = _filled(network, data, rows, how)
    return ModelPredictions(network.name, clean, perturbed)


def _filled(
    network: Network, data: NetworkData, rows: Mapping[str, np.ndarray], how: Perturbation | None
) -> np.ndarray:
    """Probabilities (N, K) of all rows, NaN where none are wanted."""
    filled = np.full((len(data.manifest), len(data.manifest.classes)), np.nan, np.float32)
    for split, places in rows.items():
        filled[places] = _of_split(network, data, split, places, how)
    return filled


def _of_split(
    network: Network, data: NetworkData, split: str, rows: np.ndarray, how: Perturbation | None
) -> np.ndarray:
    """Probabilities (n, K) of the rows of a split."""
    change = "" if how is None else f"-{sha256(canonical(how).encode()).hexdigest()[:8]}"
    kept = network.home / f"predictions-{network.slug}-{split}-{data.key}{change}.parquet"
    for path in (_of_training(network, split) if how is None else None, kept):
        if path is not None and path.exists() and (stored := _read(path)) is not None:
            probabilities = _by_id(stored, network, data, rows)
            if probabilities is not None:
                return probabilities
    check_kept(kept, network)
    predicted = _predicted(network, data, rows, how)
    predicted.save(kept)
    probabilities = _by_id(predicted, network, data, rows)
    assert probabilities is not None
    return probabilities


def _of_training(network: Network, split: str) -> Path | None:
    """The predictions that training left; None where there are none, or damaged ones."""
    try:
        return network.stage.predictions(split) if network.stage else None
    except DataError as error:
        log.info(f"{error} Until then, predicted here")
        return None


def _read(path: Path) -> Predictions | None:
    """Kept predictions; None when the file is damaged, since they can be made again."""
    try:
        return Predictions.load(path)
    except DataError as error:
        log.info(f"{error} Predicting again")
        return None


def _by_id(
    stored: Predictions, network: Network, data: NetworkData, rows: np.ndarray
) -> np.ndarray | None:
    """Stored probabilities of these rows by image id; None when an image is missing."""
    classes = data.manifest.classes
    if set(stored.classes) != set(classes):
        raise CheckpointError(
            f"{network.name}: has the classes {list(stored.classes)[:8]}, but the first network "
            f"has {list(classes)[:8]}. They can't be compared"
        )
    wanted = data.manifest.table.column("id").take(pa.array(rows))
    places = pc.index_in(wanted, value_set=pa.array(stored.ids.tolist(), pa.string()))
    if places.null_count:
        return None
    found = stored.probabilities[places.to_numpy(zero_copy_only=False)]
    if stored.classes == classes:
        return found
    return found[:, [stored.classes.index(name) for name in classes]]


def _predicted(
    network: Network, data: NetworkData, rows: np.ndarray, how: Perturbation | None
) -> Predictions:
    """Run the network."""
    from tinyrefinery.evaluation.predictions import predict
    from tinyrefinery.networks.network_view import opened

    changed = f" with {how.named()}" if how else ""
    log.info(f"{network.name}: predicting {len(rows):,} images{changed}")
    net, view, workers = opened(network, data.dataset)
    seen = view if how is None else cast(Any, PerturbedView(view, how))
    return predict(net, seen, rows, workers=workers)


@dataclass(frozen=True)
class PerturbedView:
    """A view whose images are changed after they were cropped; it replaces a `View`."""

    view: Any
    how: Perturbation

    @property
    def dataset(self) -> Any:
        """The dataset."""
        return self.view.dataset

    def crops(self, rows: np.ndarray, epoch: int) -> Any:
        """The crops, which are those of the view."""
        return self.view.crops(rows, epoch)

    def pixels(self, rows: np.ndarray, crops: Any) -> Any:
        """Changed images, float (B, C, h, w) in 0-255."""
        import torch

        pixels = self.view.pixels(rows, crops)
        ids = self.dataset.manifest.column("id")[rows]
        changed = perturb(pixels.cpu().numpy(), ids, self.how)
        return torch.from_numpy(np.ascontiguousarray(changed)).to(pixels.device)

    def render_many(self, rows: np.ndarray, epochs: Sequence[int], draws: Sequence[Any]) -> list:
        """Batches as `View.render_many` gives them."""
        import torch

        from tinyrefinery.data.batches import Batch
        from tinyrefinery.data.transforms import normalize_

        labels = torch.from_numpy(self.dataset.manifest.labels[rows]).to(self.view.device)
        made = []
        for epoch, crops in zip(epochs, draws, strict=True):
            images = normalize_(self.pixels(rows, crops), self.view.mean, self.view.std)
            made.append(Batch(images, labels, rows, epoch, crops))
        return made


def pictures(
    network: Network, data: NetworkData
) -> Callable[[int, Perturbation | None], tuple[np.ndarray, np.ndarray]]:
    """A function of manifest row and perturbation: the source's pixels and the network's input.

    Both are uint8 (H, W, C); the second has the size of the network's input.
    """
    import torch

    from tinyrefinery.networks.network_view import network_view

    view = network_view(network, data.dataset, torch.device("cpu"))

    def look(row: int, how: Perturbation | None) -> tuple[np.ndarray, np.ndarray]:
        """The source's pixels of a manifest row, and the network's input."""
        rows = np.array([row])
        seen = cast(Any, view if how is None else PerturbedView(view, how))
        pixels = seen.pixels(rows, view.crops(rows, 0))[0].permute(1, 2, 0).cpu().numpy()
        source = view.dataset.images.pixels(row)
        return source, np.clip(np.rint(pixels), 0, 255).astype(np.uint8)

    return look
