"""Facts that travel with an artefact: in its metadata, and in its side file."""

from typing import Any

from tinyrefinery.networks.network import Network
from tinyrefinery.networks.network_data import tool_version
from tinyrefinery.recipe.load import part_hash

INSIDE, METADATA = "inside", "metadata"
"""Where pixels are normalized: in the artefact, or by its caller."""


def artefact_facts(network: Network, *, preprocessing: str) -> dict[str, Any]:
    """What the metadata of an artefact states, as JSON values.

    `mean` and `std` are what the caller still has to do to images in 0 to 1 before they are the
    artefact's input: with pre-processing inside, turn them into pixels in 0 to 255.
    """
    info = network.info
    inside = preprocessing == INSIDE
    return {
        "classes": list(info.classes),
        "size": list(info.size),
        "channels": info.channels,
        "mean": [0.0] * info.channels if inside else list(info.mean),
        "std": [1 / 255] * info.channels if inside else list(info.std),
        "normalization": {
            "mean": list(info.mean),
            "std": list(info.std),
            "where": preprocessing,
        },
        "output": "probabilities",
        "network": network.name,
        "architecture": info.name,
        "weights_digest": network.digest,
        "recipe_digest": None if network.recipe is None else part_hash(network.recipe),
        "stage": None if network.trained is None else network.trained.stage,
        "tinyrefinery": tool_version(),
    }
