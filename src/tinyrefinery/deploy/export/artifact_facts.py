"""What an artifact states of itself: in its metadata and in its record."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinyrefinery.layers.binary import has_binary_layers
from tinyrefinery.models.runtime_network import INSIDE
from tinyrefinery.networks.network import Network
from tinyrefinery.networks.network_data import tool_version
from tinyrefinery.recipe.load import part_hash

METADATA = "metadata"
"""Where pixels are normalized: outside the artifact, by what its metadata states, not `INSIDE`."""


@dataclass(frozen=True)
class KeptLayers:
    """Layers of an int8 artifact that do not compute in 8 bits, nor does what reads them."""

    floats: tuple[str, ...] = ()
    """In float."""
    int16: tuple[str, ...] = ()
    """With 16-bit activations and 8-bit weights."""

    @property
    def facts(self) -> dict[str, list[str]]:
        """What the record states of them."""
        named = {"float_layers": self.floats, "int16_layers": self.int16}
        return {name: list(layers) for name, layers in named.items() if layers}


def artifact_facts(
    network: Network, *, target: str, preprocessing: str, int8: bool, method: str | None
) -> dict[str, Any]:
    """Facts that a reader of the file needs, plain values.

    Args:
        network: what is exported.
        target: `onnx`, `litert`, `executorch` or `packed`.
        preprocessing: `INSIDE` or `METADATA`.
        int8: whether weights and activations are 8-bit integers.
        method: how int8 was calibrated; None for float.
    """
    info, stage = network.info, network.trained
    crop = network.recipe.data.eval_crop if network.recipe else None
    facts: dict[str, Any] = {
        "size": list(info.size),
        "channels": info.channels,
        "mean": list(info.mean),
        "std": list(info.std),
        # Of a picture's shorter side, before the middle is cut out; None: just enough to cover it.
        "resize": crop.resize if crop is not None and tuple(crop.size) == info.size else None,
        "layout": "NHWC",
        "input": _input(preprocessing),
        "output": "logits" if target == "packed" else "probabilities",
        "preprocessing": preprocessing,
        "model": info.name,
        "network": network.name,
        "digest": network.digest,
        "stage": None if stage is None else stage.stage,
        "seed": None if stage is None else stage.seed,
        "refiners": [] if stage is None else list(stage.refiners),
        "recipe": None if network.recipe is None else part_hash(network.recipe),
        "target": target,
        "precision": _precision(network, target, int8=int8),
        "calibration": method,
        "version": tool_version(),
    }
    # A pretrained network without class names leaves them out: state them when you open the file.
    return {"classes": list(info.classes), **facts} if info.classes else facts


def has_signs(network: Network, target: str) -> bool:
    """Whether the artifact of a network computes on the signs of numbers."""
    return target == "packed" and has_binary_layers(network.load())


def _precision(network: Network, target: str, *, int8: bool) -> str:
    if int8:
        return "int8"
    return "binary" if has_signs(network, target) else "float32"


def _input(preprocessing: str) -> str:
    if preprocessing == INSIDE:
        return "uint8 RGB or gray pixels, 0 to 255"
    return "(pixels / 255 - mean) / std"


def picture_text(record: Mapping[str, Any]) -> str:
    """How a picture becomes an image, in words."""
    height, width = record["size"]
    if resize := record.get("resize"):
        return (
            f"resize its shorter side to {resize} pixels, then cut out the middle {width}x{height}"
        )
    return f"resize it to just cover {width}x{height} pixels, then cut out the middle"


def parity_text(parity: Mapping[str, Any] | None) -> str:
    """How an artifact was checked, in words; empty without a check."""
    if not parity:
        return ""
    drop = parity.get("drop")
    text = f"{parity['verdict']} on {parity['images']}"
    if drop:
        text += f": accuracy drops by {drop['points']:.2f} [{drop['low']:.2f}, {drop['high']:.2f}]"
    return f"{text}; {parity['agreement']:.1%} have the same class as before export"
