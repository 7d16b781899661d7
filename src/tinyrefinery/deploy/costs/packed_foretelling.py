"""What a network costs at most as a packed file, foretold without its weights.

The program of the network is made with zeros in place of its numbers. Its steps, its memory and the
bytes of its arrays do not depend on them. Only the metadata of the file is not known before the
training, and more than it needs is allowed for.
"""

import json
from collections.abc import Sequence

from torch import nn

from tinyrefinery.deploy.costs.packed_costs import packed_cost
from tinyrefinery.deploy.packing.packed_lowering import pack_network
from tinyrefinery.device.device_cost import DeviceCost
from tinyrefinery.packed.packed_format import write_packed

_METADATA = 4096
"""Bytes of the metadata beside the names of the classes. It contains the path of a refiner."""


def foretell_packed(
    network: nn.Module,
    size: tuple[int, int],
    channels: int,
    classes: Sequence[str],
    normalization: tuple[Sequence[float], Sequence[float]],
) -> DeviceCost:
    """The most that a binary network costs as a packed file that takes pixels.

    Args:
        network: in evaluation mode, on the meta device or not; without lookup layers, whose bytes
            depend on their weights.
        size: height and width of its images in pixels.
        channels: of its images.
        classes: their names, which the file contains.
        normalization: mean and standard deviation of each channel.

    Raises:
        UnpackableError: if it can't be packed.
    """
    program = pack_network(network, size, channels, normalization=normalization)
    content = len(write_packed(program)) + _METADATA + len(json.dumps(list(classes)))
    return packed_cost(program, content)
