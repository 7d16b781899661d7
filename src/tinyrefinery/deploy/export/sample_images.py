"""Real images for an export: those that calibrate int8, and those that the artifact is checked on.

Test images are never used. The artifact is checked on the validation split of the network's run,
and calibrated on its training images. It is compared with its own network, so it does not matter
whether a refiner from elsewhere was trained on them. Both are evaluation crops, rounded to uint8 as
a device gets them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from tinyrefinery.data.batches import View, evenly_spaced
from tinyrefinery.errors import DataError
from tinyrefinery.networks.held_out import with_own_splits
from tinyrefinery.networks.network import Network
from tinyrefinery.networks.network_data import NetworkData, open_network_data
from tinyrefinery.networks.network_view import network_view
from tinyrefinery.networks.source_overrides import changed_source

CALIBRATE, CHECK, NOISE = 256, 2000, 64
"""Most images for calibration, for the check, and number of noise images where there are none."""
_AT_ONCE = 64


@dataclass(frozen=True)
class Sample:
    """Images as a device gets them."""

    pixels: np.ndarray = field(repr=False)
    """(n, H, W, C) uint8."""
    labels: np.ndarray | None = field(repr=False)
    """(n,) int64 given classes; None: noise, without labels."""
    where: str
    """Which images they are, for people."""


@dataclass(frozen=True)
class Samples:
    """All images of one export."""

    check: Sample
    calibration: Sample | None
    """None where there is no data."""


def draw_samples(
    network: Network,
    overrides: Sequence[str] = (),
    *,
    calibrate: int = CALIBRATE,
    check: int = CHECK,
) -> Samples:
    """Choose and render the images of an export.

    Args:
        network: whose run names the images.
        overrides: other images, e.g. `data.source.root=photos/`. Without splits of their own, some
            calibrate, at most half of them, and the others are for the check.
        calibrate: most images for calibration.
        check: most images for the check.

    Raises:
        DataError: if the data can't be opened, or has no image outside its test split.
        CheckpointError: if the data has other classes than the network.
    """
    if not overrides and network.recipe is None:
        return Samples(_noise(network), None)
    source = changed_source(network, overrides) if overrides else None
    data = open_network_data([network], source)
    rows = _rows(network, data, calibrate, own=source is None)
    view = network_view(network, data.dataset, torch.device("cpu"))
    chosen = [
        _render(view, evenly_spaced(of_split, most), name)
        for (name, of_split), most in zip(rows.items(), (calibrate, check), strict=True)
    ]
    return Samples(chosen[1], chosen[0])


def _rows(
    network: Network, data: NetworkData, calibrate: int, *, own: bool
) -> dict[str, np.ndarray]:
    """Manifest rows for calibration and for the check, by the name of what they are."""
    manifest = with_own_splits(data.manifest, network) if own else data.manifest
    train, validation = manifest.rows("train"), manifest.rows("validation")
    if len(train) and len(validation):
        return {"training": train, "validation": validation}
    rest = np.flatnonzero(manifest.column("split") != "test") if own else np.arange(len(manifest))
    if len(rest) < 2:
        raise DataError(
            f"{data.source.name}: has no images outside its test split, which an export doesn't "
            "use. Name others, e.g. data.source.root=photos/"
        )
    first = evenly_spaced(rest, min(calibrate, len(rest) // 2))
    return {"named (some)": first, "named (the others)": np.setdiff1d(rest, first)}


def _render(view: View, rows: np.ndarray, name: str) -> Sample:
    parts = [rows[start : start + _AT_ONCE] for start in range(0, len(rows), _AT_ONCE)]
    # A generator: floating-point pixels of all images would take gigabytes.
    pixels = (view.pixels(part, view.crops(part, 0)).permute(0, 2, 3, 1) for part in parts)
    rounded = np.concatenate([np.clip(np.rint(p.numpy()), 0, 255).astype(np.uint8) for p in pixels])
    return Sample(rounded, view.dataset.manifest.labels[rows], f"{len(rows):,} {name} images")


def _noise(network: Network) -> Sample:
    """Random pixels, for a network without a run."""
    shape = (NOISE, *network.info.size, network.channels)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return Sample(pixels, None, f"{NOISE} noise images: no run or data is named")
