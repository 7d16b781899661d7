"""How far an artefact's predictions are from those of the torch network it was made from."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from tinyrefinery.deploy.export.real_images import LabeledPixels
from tinyrefinery.models.network_file import NetworkInfo
from tinyrefinery.statistics.proportions import newcombe_paired

TOLERANCE = 1e-4
"""Largest difference of a probability of a float artefact from torch's. Our choice."""
_CHUNK = 64


@dataclass(frozen=True)
class Parity:
    """A comparison on the same images. Shares are in 0 to 1, changes in percentage points."""

    artefact: str
    runtime: str
    images: int
    split: str
    largest_difference: float
    """Of any probability of any image."""
    agreement: float
    """Share of the images with the same most probable class."""
    accuracy_torch: float
    accuracy_artefact: float
    lost: int
    """Images that only the torch network gets right."""
    gained: int
    """Images that only the artefact gets right."""
    change: float
    """Accuracy of the artefact minus that of the torch network, in points."""
    change_low: float
    """Lower end of its 95 % interval."""
    change_high: float
    """Upper end of its 95 % interval."""
    max_drop: float | None
    """Largest allowed drop in points; None: `TOLERANCE` counts."""
    passed: bool

    @property
    def limit(self) -> str:
        """What was required, in words."""
        if self.max_drop is None:
            return f"probabilities differ by at most {TOLERANCE:g}"
        return f"accuracy drops by at most {self.max_drop:g} points"

    @property
    def is_proven(self) -> bool:
        """Whether the interval too lies within the limit; of float artefacts always."""
        return self.max_drop is None or self.change_low >= -self.max_drop

    def as_json(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self) | {"limit": self.limit}

    def lines(self) -> list[str]:
        """The report for the terminal."""
        verdict = "PASS" if self.passed else "FAIL"
        lines = [
            f"{self.artefact}: {verdict} ({self.limit}), {self.images:,} images of {self.split}, "
            f"{self.runtime}",
            f"  largest difference of a probability: {self.largest_difference:.2g}",
            f"  same prediction: {100 * self.agreement:.2f} % of images",
            f"  accuracy: torch {100 * self.accuracy_torch:.2f} %, artefact "
            f"{100 * self.accuracy_artefact:.2f} %",
            f"  change: {self.change:+.2f} points (95 % interval {self.change_low:+.2f} to "
            f"{self.change_high:+.2f}), {self.lost} images lost, {self.gained} gained",
        ]
        if self.passed and not self.is_proven:
            lines.append("  Too few images to prove that the drop is within the limit.")
        return lines


def compare_predictions(
    expected: np.ndarray,
    found: np.ndarray,
    images: LabeledPixels,
    *,
    artefact: str,
    runtime: str,
    max_drop: float | None = None,
) -> Parity:
    """Compare probabilities (N, K) of the torch network and of an artefact.

    Args:
        expected: of the torch network.
        found: of the artefact.
        images: what both predicted.
        artefact: its file name.
        runtime: what ran it.
        max_drop: largest drop of accuracy in points, of an int8 artefact; None: it is float and
            its probabilities may differ by `TOLERANCE`.
    """
    torch_says, artefact_says = expected.argmax(axis=1), found.argmax(axis=1)
    first, second = artefact_says == images.labels, torch_says == images.labels
    both, gained = int((first & second).sum()), int((first & ~second).sum())
    lost, n = int((second & ~first).sum()), len(images)
    low, high = newcombe_paired(both, gained, lost, n - both - gained - lost)
    difference, change = float(np.abs(found - expected).max()), 100 * (gained - lost) / n
    return Parity(
        artefact=artefact,
        runtime=runtime,
        images=n,
        split=images.split,
        largest_difference=difference,
        agreement=float((torch_says == artefact_says).mean()),
        accuracy_torch=(both + lost) / n,
        accuracy_artefact=(both + gained) / n,
        lost=lost,
        gained=gained,
        change=change,
        change_low=100 * low,
        change_high=100 * high,
        max_drop=max_drop,
        passed=difference <= TOLERANCE if max_drop is None else change >= -max_drop,
    )


def torch_probabilities(network: nn.Module, info: NetworkInfo, pixels: np.ndarray) -> np.ndarray:
    """Probabilities (N, K) of the torch network, as it is, for pixels (N, h, w, C) uint8."""
    mean = torch.tensor(info.mean).view(1, -1, 1, 1)
    std = torch.tensor(info.std).view(1, -1, 1, 1)
    found = []
    with torch.inference_mode():
        for start in range(0, len(pixels), _CHUNK):
            # (B, h, w, C) -> (B, C, h, w)
            part = torch.from_numpy(pixels[start : start + _CHUNK]).permute(0, 3, 1, 2)
            images = (part.float() / 255 - mean) / std
            found.append(torch.softmax(network(images), dim=1).numpy())
    return np.concatenate(found)
