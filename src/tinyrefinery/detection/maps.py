"""The maps of a backbone that a detector looks at: the last layer of each stride.

As MobileNetV3's SSDLite takes them (arXiv 1905.02244, section 6.3): the last layer of output stride
16 and the last of 32. Which these are is found by running the backbone once and looking at the
shape of what every module gives out, so any network with `forward_features` will do.
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
"""Side of the image at which strides are found: so large that they can't be mistaken."""


@dataclass(frozen=True)
class MapPlace:
    """A map of a backbone."""

    module: str
    """Name of the module that gives it out."""
    stride: int
    """Pixels of the image that a point of the map stands for, a power of two."""
    channels: int


def find_maps(network: nn.Module, strides: Sequence[int], channels: int = 3) -> list[MapPlace]:
    """The last map of each of `strides` that the network has, finest first.

    A network that ends at a finer stride than all of them gives its last map. Modules that are
    used more than once are passed over. Layers that the maps don't depend on, e.g. those that
    classify, are replaced by `nn.Identity`, so that they are neither trained nor counted.

    Raises:
        RecipeError: when the network gives no maps, or can't take images of `REFERENCE` pixels.
    """
    device = next(network.parameters()).device
    image = torch.zeros(1, channels, REFERENCE, REFERENCE, device=device)
    try:
        with (
            evaluation_mode(network),
            _outputs(network, [n for n, _ in network.named_modules() if n]) as out,
        ):
            network.forward_features(image)  # type: ignore[operator]
    except (RuntimeError, ValueError, AssertionError, IndexError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RecipeError(
            f"this backbone can't look at an image of {REFERENCE} pixels ({first}); a detector "
            "needs a convolutional network that takes any size"
        ) from error
    times = Counter(name for name, _ in out)
    once = {name: tensor for name, tensor in out if times[name] == 1 and _stride(tensor)}
    if not once:
        raise RecipeError("this backbone gives no maps (B, C, h, w); a detector needs them")
    last = {_stride(tensor): name for name, tensor in once.items()}  # the last of each stays
    chosen = [stride for stride in strides if stride in last] or [max(last)]
    _drop_unused(network, [once[last[stride]] for stride in chosen])
    return [MapPlace(last[s], s, once[last[s]].shape[1]) for s in chosen]


def maps_of(network: nn.Module, places: Sequence[str], images: Tensor) -> list[Tensor]:
    """The outputs of the modules `places` for images (B, C, H, W), in the order of `places`."""
    # Hooks for the time of the pass only: they would not outlive a copy of the network.
    with _outputs(network, places) as out:
        network.forward_features(images)  # type: ignore[operator]
    found = dict(out)
    return [found[place] for place in places]


@contextmanager
def _outputs(network: nn.Module, places: Sequence[str]) -> Iterator[list[tuple[str, Tensor]]]:
    """Collects (name, output) of some modules, in the order in which they end."""
    collected: list[tuple[str, Tensor]] = []

    def collects(name: str) -> Callable[..., None]:
        """A hook that knows the module's name."""
        return lambda module, inputs, output: collected.append((name, output))

    modules = dict(network.named_modules())
    handles = [modules[name].register_forward_hook(collects(name)) for name in places]
    try:
        yield collected
    finally:
        for handle in handles:
            handle.remove()


def _stride(output: object) -> int:
    """The stride of a map of the reference image, a power of two; 0 for what is no map."""
    if not isinstance(output, Tensor) or output.ndim != 4 or min(output.shape[2:]) < 2:
        return 0
    return 2 ** round(math.log2(REFERENCE / max(output.shape[2:])))


def _drop_unused(network: nn.Module, maps: Sequence[Tensor]) -> None:
    """Replace the modules whose weights the maps don't depend on."""
    weights = list(network.parameters())
    gradients = torch.autograd.grad(
        [each.sum() for each in maps], weights, allow_unused=True, materialize_grads=False
    )
    unused = {id(w) for w, g in zip(weights, gradients, strict=True) if g is None}
    for name, module in list(network.named_modules()):
        own = list(module.parameters())
        if name and own and all(id(weight) in unused for weight in own):
            parent, _, last = name.rpartition(".")
            setattr(network.get_submodule(parent), last, nn.Identity())
