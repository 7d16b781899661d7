"""What a network looked at, in the images that commands and data tests are about."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
from torch import Tensor

from tinyrefinery.data_tests.session import Session
from tinyrefinery.data_tests.verdicts import Result
from tinyrefinery.errors import CheckpointError
from tinyrefinery.evaluation import cost
from tinyrefinery.networks.data import NetworkData
from tinyrefinery.networks.network import Network
from tinyrefinery.networks.predictions import PerturbedView
from tinyrefinery.networks.view import opened
from tinyrefinery.options.perturbation import Perturbation
from tinyrefinery.pages.overlays import transparent
from tinyrefinery.saliency.maps import GradientMethod, corners, gradients, occlusion, patch_sizes

Method = Literal["occlusion"] | GradientMethod
METHODS = ("occlusion", *get_args(GradientMethod))
FAINT = 0.05
"""Our choice: probability that a patch must take or give to be drawn at full strength."""
PAGE_MACS = 2e12
"""Our choice: multiply-accumulates of all maps of a page; a minute or two on one core."""
ONNX_MACS = 5e7
"""Our choice: what one image is taken to cost in an ONNX file, whose work isn't counted."""


@dataclass(frozen=True)
class Way:
    """How maps are made."""

    method: Method = "occlusion"
    window: int | None = None
    """Side of the hidden patch, in pixels of the network's input; None: a quarter of it."""
    stride: int | None = None
    """From patch to patch; None: half a patch."""

    @property
    def faint(self) -> float:
        """What a map must reach to be drawn at full strength; logits have no scale of their own."""
        return FAINT if self.method == "occlusion" else 0.0


@dataclass(frozen=True)
class Looked:
    """What a network saw in some images, what it said, and what it looked at."""

    seen: np.ndarray
    """The network's input as pictures, uint8 (B, h, w, C)."""
    probabilities: np.ndarray
    """(B, K)."""
    classes: np.ndarray
    """Whose maps they are, (B,)."""
    maps: np.ndarray
    """(B, h, w): probability lost by hiding a pixel (occlusion), or logit (gradients)."""


@dataclass(frozen=True)
class Looker:
    """A network, opened with its data, that can be asked what it looks at."""

    network: Network
    data: NetworkData
    way: Way = Way()

    @cached_property
    def _opened(self) -> tuple[Any, Any]:
        net, view, _ = opened(self.network, self.data.dataset)
        return net.eval(), view

    def look(
        self,
        rows: Sequence[int] | np.ndarray,
        how: Perturbation | None = None,
        classes: Sequence[int] | np.ndarray | None = None,
    ) -> Looked:
        """Ask about some rows.

        Args:
            rows: manifest rows.
            how: what is changed in the images first.
            classes: whose maps, one a row; None: the most probable class of each.

        Raises:
            DataError: when the patches don't fit the network's input.
            RecipeError: when gradients are asked for and captum is missing.
            CheckpointError: when gradients are asked of an ONNX file.
        """
        if not self.network.is_torch and self.way.method != "occlusion":
            raise CheckpointError(
                f"{self.network.name}: an ONNX file has no gradients; leave --method at occlusion"
            )
        net, plain = self._opened
        chosen = np.asarray(rows, np.int64)
        view = plain if how is None else cast(Any, PerturbedView(plain, how))
        draws = plain.crops(chosen, 0)
        images = view.render_many(chosen, [0], [draws])[0].images
        with torch.no_grad():
            said = _probabilities(net)(images).double().cpu().numpy()
        wanted = said.argmax(axis=1) if classes is None else np.asarray(classes)
        pixels = view.pixels(chosen, draws).permute(0, 2, 3, 1).cpu().numpy()
        seen = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
        return Looked(seen, said, wanted, self._maps(net, images, wanted))

    def _maps(self, net: Any, images: Tensor, classes: np.ndarray) -> np.ndarray:
        way = self.way
        if way.method != "occlusion":
            return gradients(net, images, classes, way.method)
        predict = _probabilities(net)
        return occlusion(predict, images, classes, window=way.window, stride=way.stride)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image's map by occlusion."""
        net, view = self._opened
        size = view.crop.size
        patches = corners(size, *patch_sizes(size, self.way.window, self.way.stride))
        if not self.network.is_torch:
            return int((1 + len(patches)) * ONNX_MACS)
        return (1 + len(patches)) * cost.macs(net, self.network.channels, size)


def _probabilities(net: Any) -> Callable[[Tensor], Tensor]:
    return lambda images: net(images).float().softmax(dim=1)


def page_overlay(
    session: Session, budget: float = PAGE_MACS
) -> Callable[[Result, int], np.ndarray | None]:
    """What a page lays over the worst images of each test: maps by occlusion, RGBA.

    The surest mistakes of each test get one, and as many as the budget allows, the same number in
    each test.

    Args:
        session: what was judged.
        budget: multiply-accumulates of all maps together.
    """
    looker = Looker(session.network, session.data)
    failed = sum(bool(each.worst) for each in session.results)
    made: dict[tuple[int, str], np.ndarray] = {}

    @cache
    def most() -> int:
        """Maps a test; asked late, as a page without mistakes needs no network."""
        return int(budget / (looker.macs * failed))

    def overlay(result: Result, row: int) -> np.ndarray | None:
        """The map of a test's mistake, RGBA; None past the budget."""
        if row not in result.worst[: most()]:
            return None
        how = session.test(result).perturb
        key = (row, "" if how is None else how.named())
        if key not in made:
            made[key] = transparent(looker.look([row], how).maps[0], least=FAINT)
        return made[key]

    return overlay
