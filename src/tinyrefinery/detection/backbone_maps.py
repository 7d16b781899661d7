"""The feature maps of a backbone that a detector uses: the last layer of each stride.

MobileNetV3's SSDLite uses the last layer of output stride 16 and of 32 (arXiv 1905.02244, section
6.3). They are found by running the backbone once and recording the output shape of every module, so
any network with `forward_features` works.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tinyrefinery.errors import RecipeError
from tinyrefinery.layers.modes import evaluation_mode

REFERENCE = 256
"""Side of the image that strides are measured with, large enough to be unambiguous."""


@dataclass(frozen=True)
class MapPlace:
    """A feature map of a backbone."""

    module: str
    """Name of the module whose output it is."""
    stride: int
    """Pixels of the image per point of the map, a power of two."""
    channels: int


def find_maps(network: nn.Module, strides: Sequence[int], channels: int = 3) -> list[MapPlace]:
    """Find the last map of each of `strides` in the network, the finest first.

    If the network has none of these strides, its coarsest map is used. Modules that run more than
    once are ignored. Layers that the maps don't depend on, such as classification layers, are
    replaced by `nn.Identity`, so that they are neither trained nor counted.

    Raises:
        RecipeError: when the network has no maps, or can't process images of `REFERENCE` pixels.
    """
    device = next(network.parameters()).device
    image = torch.zeros(1, channels, REFERENCE, REFERENCE, device=device)
    try:
        names = [name for name, _ in network.named_modules() if name]
        with evaluation_mode(network), _outputs(network, names) as outputs:
            network.forward_features(image)  # type: ignore[operator]
    except (RuntimeError, ValueError, AssertionError, IndexError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RecipeError(
            f"this backbone can't process an image of {REFERENCE} pixels ({first}): choose a "
            "convolutional network that takes any size"
        ) from error
    runs = Counter(name for name, _ in outputs)
    maps = {name: tensor for name, tensor in outputs if runs[name] == 1 and _stride(tensor)}
    if not maps:
        raise RecipeError(
            "this backbone has no feature maps (B, C, h, w): choose a convolutional network"
        )
    last = {_stride(tensor): name for name, tensor in maps.items()}  # later ones overwrite
    used = [stride for stride in strides if stride in last] or [max(last)]
    _drop_unused(network, [maps[last[stride]] for stride in used])
    return [MapPlace(last[s], s, maps[last[s]].shape[1]) for s in used]


def maps_of(network: nn.Module, places: Sequence[str], images: Tensor) -> list[Tensor]:
    """The outputs of the modules `places` for images (B, C, H, W), in the order of `places`."""
    # Hooks are registered for this pass only, because a copy of the network would lose them.
    with _outputs(network, places) as outputs:
        network.forward_features(images)  # type: ignore[operator]
    by_name = dict(outputs)
    return [by_name[place] for place in places]


@contextmanager
def _outputs(network: nn.Module, places: Sequence[str]) -> Iterator[list[tuple[str, Tensor]]]:
    """Collect (name, output) of some modules, in the order of execution."""
    collected: list[tuple[str, Tensor]] = []

    def collect_as(name: str) -> Callable[..., None]:
        """A hook that collects outputs under a name."""
        return lambda module, inputs, output: collected.append((name, output))

    modules = dict(network.named_modules())
    handles = [modules[name].register_forward_hook(collect_as(name)) for name in places]
    try:
        yield collected
    finally:
        for handle in handles:
            handle.remove()


def _stride(output: object) -> int:
    """The stride of a map of the reference image, a power of two; 0 if it is not a map."""
    if not isinstance(output, Tensor) or output.ndim != 4 or min(output.shape[2:]) < 2:
        return 0
    return 2 ** round(math.log2(REFERENCE / max(output.shape[2:])))


def _drop_unused(network: nn.Module, maps: Sequence[Tensor]) -> None:
    """Replace the modules whose weights the maps don't depend on."""
    weights = list(network.parameters())
    gradients = torch.autograd.grad(
        [feature_map.sum() for feature_map in maps],
        weights,
        allow_unused=True,
        materialize_grads=False,
    )
    unused = {id(w) for w, g in zip(weights, gradients, strict=True) if g is None}
    for name, module in list(network.named_modules()):
        parameters = list(module.parameters())
        if name and parameters and all(id(weight) in unused for weight in parameters):
            parent, _, last = name.rpartition(".")
            setattr(network.get_submodule(parent), last, nn.Identity())
