"""The refiner: frozen networks that turn crops into label distributions.

Dropout is off and no gradient reaches the weights. The networks given to it are copied, so their
running statistics stay as they are.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from functools import cached_property
from hashlib import sha256
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from tinyrefinery.data.batches import Batch, Size
from tinyrefinery.data.device import constant
from tinyrefinery.labels.batch_norm import has_batch_norm, recalibrate, use_batch_statistics
from tinyrefinery.labels.class_map import ClassMap
from tinyrefinery.labels.fast_bf16 import speed_up
from tinyrefinery.layers.depthwise import DepthwiseConv2d
from tinyrefinery.options.labels import Refining
from tinyrefinery.shapes import Float, Float32

DEFAULTS = Refining()
NO_OTHER_SIZE: Mapping[Size, Tensor] = MappingProxyType({})


def renormalize(
    images: Float[Tensor, "B C h w"],
    given: tuple[Sequence[float], Sequence[float]],
    wanted: tuple[Sequence[float], Sequence[float]],
) -> Float[Tensor, "B C h w"]:
    """Images normalized with one (mean, std) as another network expects them, (B, C, h, w)."""
    if tuple(map(tuple, given)) == tuple(map(tuple, wanted)):
        return images
    columns = [
        constant(tuple(values), images.device, images.dtype)[:, None, None]
        for pair in (given, wanted)
        for values in pair
    ]
    given_mean, given_std, wanted_mean, wanted_std = columns
    return (images * given_std + (given_mean - wanted_mean)) / wanted_std


class Refiner:
    """One frozen network, or an ensemble whose distributions are averaged."""

    def __init__(
        self,
        networks: Sequence[nn.Module],
        part: Refining = DEFAULTS,
        *,
        bf16: bool = False,
        channels_last: bool = False,
        prepare: Sequence[Callable[[Tensor], Tensor] | None] | None = None,
        sizes: Sequence[Size | None] | None = None,
        maps: Sequence[ClassMap | None] | None = None,
    ) -> None:
        """Freeze copies of `networks`.

        Args:
            networks: each maps crops (B, C, h, w) to logits (B, K), all with the same K, or to
                those of other classes (B, N) that `maps` has a map for.
            part: mode of batch normalization and temperature; calibrated statistics are estimated
                by `calibrate`.
            bf16: label in bfloat16 where autocast finds it safe.
            channels_last: memory layout of weights and crops.
            prepare: for each network, what its input needs beyond the crop (see `renormalize`).
            sizes: for each network, height and width at which it takes a crop, in pixels; None:
                as the crop comes.
            maps: for each network, which of its classes stand for which of the data's; None: they
                are the same.
        """
        self.part, self.bf16 = part, bf16
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.networks = [deepcopy(network).eval().requires_grad_(False) for network in networks]
        self.prepare = prepare or [None] * len(networks)
        self._sizes = sizes or [None] * len(networks)
        self.maps = list(maps or [None] * len(networks))
        for network in self.networks:
            network.to(memory_format=self.layout)
            if part.batch_norm == "batch":
                use_batch_statistics(network)
            if bf16:
                _cast_products(network)
                speed_up(network)

    @property
    def sizes(self) -> tuple[Size, ...]:
        """Sizes at which crops must be rendered besides their own, each once."""
        return tuple(dict.fromkeys(size for size in self._sizes if size is not None))

    @property
    def needs_given_labels(self) -> bool:
        """Whether the given labels take the place of some refined ones."""
        return any(self.maps)

    @property
    def depends_on_batch(self) -> bool:
        """Whether a label depends on the other crops of its batch."""
        return self.part.batch_norm == "batch" and any(map(has_batch_norm, self.networks))

    @cached_property
    def _digests(self) -> list[str]:
        return [_digest(network) for network in self.networks]

    def facts(self) -> dict[str, Any]:
        """What its labels depend on besides the crops, as plain values."""
        inputs = [None if step is None else getattr(step, "keywords", {}) for step in self.prepare]
        facts = {
            "networks": self._digests,
            "batch_norm": self.part.batch_norm,
            "temperature": self.part.temperature,
            "precision": "bf16" if self.bf16 else "float32",
            "inputs": inputs,
            "sizes": list(self._sizes),
        }
        if self.needs_given_labels:
            facts["maps"] = [one and one.facts() for one in self.maps]
        return facts

    def calibrate(self, batches: Callable[[], Iterable[Batch]]) -> None:
        """Estimate batch normalization's statistics over crops, then freeze them.

        Args:
            batches: gives the crops afresh each time it is called, once a network.
        """
        # Digests are of the networks as given, since what is measured depends on the machine's
        # rounding. They are cached, so take them now.
        _ = self._digests
        for number, network in enumerate(self.networks):
            inputs = (self._input(number, batch.images, batch.at) for batch in batches())
            recalibrate(network, inputs, self.bf16)

    def __call__(
        self,
        images: Float[Tensor, "B C h w"],
        at: Mapping[Size, Tensor] = NO_OTHER_SIZE,
        given: Float32[Tensor, "B K"] | None = None,
    ) -> Float32[Tensor, "B K"]:
        """Label distributions of crops: (B, K) float32, rows sum to one.

        Args:
            images: normalized crops, (B, C, h, w).
            at: the same crops at each of `sizes`.
            given: labels that take the place of a network's where `ClassMap.labels` says so; None:
                no label is replaced.
        """
        with torch.inference_mode():
            labels = self.differentiable(images, at, given)
        return labels.clone()  # a tensor made in inference mode can't take part in a loss

    def differentiable(
        self,
        images: Float[Tensor, "B C h w"],
        at: Mapping[Size, Tensor] = NO_OTHER_SIZE,
        given: Float32[Tensor, "B K"] | None = None,
    ) -> Float32[Tensor, "B K"]:
        """The same, from which a gradient flows to the crops; the weights stay frozen."""
        total: Tensor | None = None  # (B, K)
        for number, class_map in enumerate(self.maps):
            labels = self.probabilities(number, images, at)
            labels = labels if class_map is None else class_map.labels(labels, given)
            total = labels if total is None else total + labels
        assert total is not None
        return total / len(self.networks)

    def with_features(
        self,
        images: Float[Tensor, "B C h w"],
        at: Mapping[Size, Tensor] = NO_OTHER_SIZE,
        given: Float32[Tensor, "B K"] | None = None,
    ) -> tuple[Float32[Tensor, "B K"], Float32[Tensor, "B C2 h2 w2"]]:
        """Label distributions of crops, and the last feature maps of the only network.

        Both come from one forward pass. The labels have the bits that a call gives.

        Args:
            images: see `__call__`.
            at: likewise.
            given: likewise.
        """
        (network,), (class_map,) = self.networks, self.maps
        with (
            torch.inference_mode(),
            torch.autocast(images.device.type, torch.bfloat16, enabled=self.bf16),
        ):
            maps = network.forward_features(self._input(0, images, at))  # type: ignore[operator]
            logits = network.forward_head(maps)  # type: ignore[operator]
            labels = self._softmax(logits)
            labels = labels if class_map is None else class_map.labels(labels, given)
        return labels.clone(), maps.float().clone()

    def probabilities(
        self,
        number: int,
        images: Float[Tensor, "B C h w"],
        at: Mapping[Size, Tensor] = NO_OTHER_SIZE,
    ) -> Float32[Tensor, "B N"]:
        """One network's distribution over its own classes, (B, N)."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.bf16):
            logits = self.networks[number](self._input(number, images, at))
        return self._softmax(logits)

    def _softmax(self, logits: Float[Tensor, "B N"]) -> Float32[Tensor, "B N"]:
        return (logits.float() / self.part.temperature).softmax(dim=1)

    def _input(self, number: int, images: Tensor, at: Mapping[Size, Tensor]) -> Tensor:
        size, prepare = self._sizes[number], self.prepare[number]
        images = images if size is None else at[size]
        images = images if prepare is None else prepare(images)
        return images.contiguous(memory_format=self.layout)


def _digest(network: nn.Module) -> str:
    """SHA-256 of a network's architecture, weights and the statistics it uses.

    A network that PyTorch doesn't run has an `identity` of its own.
    """
    if (identity := getattr(network, "identity", None)) is not None:
        return identity
    kinds = [f"{name} {type(module).__name__}" for name, module in network.named_modules()]
    state = sha256("\n".join(kinds).encode())
    for name, tensor in network.state_dict().items():
        state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        state.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return state.hexdigest()


def _cast_products(network: nn.Module) -> None:
    """Weights of convolutions and linear layers to bfloat16, once instead of at each call.

    Depthwise convolutions and normalization stay in float32, as autocast would have it.
    """
    for module in network.modules():
        plain = isinstance(module, nn.Conv2d | nn.Linear)
        if plain and not isinstance(module, DepthwiseConv2d):
            module.to(torch.bfloat16)
