"""Computing saliency maps of a network on its data, for commands and pages of data tests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor

from tinyrefinery.data_tests.session import Session
from tinyrefinery.data_tests.verdicts import Result
from tinyrefinery.errors import CheckpointError
from tinyrefinery.evaluation import cost
from tinyrefinery.networks.network import Network
from tinyrefinery.networks.network_data import NetworkData
from tinyrefinery.networks.network_view import opened
from tinyrefinery.networks.stored_predictions import PerturbedView
from tinyrefinery.options.perturbation import Perturbation
from tinyrefinery.pages.overlays import transparent
from tinyrefinery.saliency.maps import GradientMethod, corners, gradients, occlusion, patch_sizes

Method = Literal["occlusion"] | GradientMethod
FULL_STRENGTH = 0.05
"""Our choice: change of probability by one patch that is drawn at full strength."""
PAGE_MACS = 2e12
"""Our choice: multiply-accumulates for all maps of a page, a minute or two on one core."""
ONNX_MACS = 5e7
"""Our choice: estimate per image for ONNX files, whose operations are not counted."""


@dataclass(frozen=True)
class MapSettings:
    """How maps are computed."""

    method: Method = "occlusion"
    window: int | None = None
    """Side of the hidden patch in pixels of the network's input; None for a quarter of it."""
    stride: int | None = None
    """Distance between patches in pixels; None for half a patch."""

    @property
    def full_strength(self) -> float:
        """Smallest peak of a map drawn at full strength. Logits have no absolute scale: 0."""
        return FULL_STRENGTH if self.method == "occlusion" else 0.0


@dataclass(frozen=True)
class Explanation:
    """Predictions and saliency maps for B images."""

    inputs: np.ndarray
    """The network's inputs as pictures, uint8 (B, h, w, C)."""
    probabilities: np.ndarray
    """(B, K)."""
    classes: np.ndarray
    """The classes that the maps explain, (B,)."""
    maps: np.ndarray
    """(B, h, w): probability lost by hiding a pixel (occlusion), or logit (gradients)."""


@dataclass(frozen=True)
class Explainer:
    """Explains a network's predictions on its data by saliency maps."""

    network: Network
    data: NetworkData
    settings: MapSettings = MapSettings()

    @cached_property
    def _opened(self) -> tuple[Any, Any]:
        net, view, _ = opened(self.network, self.data.dataset)
        return net.eval(), view

    def explain(
        self,
        rows: Sequence[int] | np.ndarray,
        change: Perturbation | None = None,
        classes: Sequence[int] | np.ndarray | None = None,
    ) -> Explanation:
        """Compute the maps of some rows.

        Args:
            rows: manifest rows.
            change: applied to the images first.
            classes: the class to explain per row. By default, the predicted one.

        Raises:
            DataError: when the patches don't fit the network's input.
            RecipeError: when the method needs captum, which is missing.
            CheckpointError: when the method needs gradients, but the network is an ONNX or LiteRT
                file.
        """
        if not self.network.is_torch and self.settings.method != "occlusion":
            raise CheckpointError(
                f"{self.network.name}: an ONNX or LiteRT file has no gradients: use --method "
                "occlusion"
            )
        net, plain = self._opened
        rows = np.asarray(rows, np.int64)
        view = plain if change is None else cast(Any, PerturbedView(plain, change))
        draws = plain.crops(rows, 0)
        images = view.render_many(rows, [0], [draws])[0].images
        with torch.no_grad():
            probabilities = _probabilities(net)(images).double().cpu().numpy()
        targets = probabilities.argmax(axis=1) if classes is None else np.asarray(classes)
        pixels = view.pixels(rows, draws).permute(0, 2, 3, 1).cpu().numpy()  # (B, h, w, C)
        inputs = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
        return Explanation(inputs, probabilities, targets, self._maps(net, images, targets))

    def _maps(self, net: Any, images: Tensor, classes: np.ndarray) -> np.ndarray:
        settings = self.settings
        if settings.method != "occlusion":
            return gradients(net, images, classes, settings.method)
        predict = _probabilities(net)
        return occlusion(predict, images, classes, window=settings.window, stride=settings.stride)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for the occlusion map of one image."""
        net, view = self._opened
        size = view.crop.size
        patches = corners(size, *patch_sizes(size, self.settings.window, self.settings.stride))
        if not self.network.is_torch:
            return int((1 + len(patches)) * ONNX_MACS)
        return (1 + len(patches)) * cost.macs(net, self.network.channels, size)


def _probabilities(net: Any) -> Callable[[Tensor], Tensor]:
    return lambda images: net(images).float().softmax(dim=1)


def page_overlay(
    session: Session, budget: float = PAGE_MACS
) -> Callable[[Result, int], np.ndarray | None]:
    """Make the overlays for a page of data tests: occlusion maps, RGBA.

    The most confident errors get one. The budget is divided evenly among the tests.

    Args:
        session: the judged tests.
        budget: multiply-accumulates for all maps together.
    """
    explainer = Explainer(session.network, session.data)
    with_errors = sum(bool(result.worst) for result in session.results)
    overlays: dict[tuple[int, str], np.ndarray] = {}

    @cache
    def most() -> int:
        """Maps per test. Computed on demand, as a page without errors needs no network."""
        return int(budget / (explainer.macs * with_errors))

    def overlay(result: Result, row: int) -> np.ndarray | None:
        """The map of an error, RGBA; None beyond the budget."""
        if row not in result.worst[: most()]:
            return None
        change = session.test(result).perturb
        key = (row, "" if change is None else change.named())
        if key not in overlays:
            heat = explainer.explain([row], change).maps[0]
            overlays[key] = transparent(heat, least=FULL_STRENGTH)
        return overlays[key]

    return overlay
