"""ONNX graphs: exported from a network, and changed afterwards.

Batch normalization is folded into the convolutions before it by the exporter.
"""

import warnings
from collections.abc import Mapping
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch

from tinyrefinery.deploy.export.exportable import Exportable
from tinyrefinery.errors import RefineryError

INPUT, OUTPUT = "image", "probabilities"
"""Names of the tensors of every artifact."""
_OPSET = 18
"""Of ONNX. Every operator of ours is in it, and ONNX Runtime 1.20 runs it."""
NEEDS = "export needs {}: pip install 'tinyrefinery[onnx]'"


def export_graph(
    module: Exportable, size: tuple[int, int], channels: int, name: str, path: Path
) -> None:
    """Write the float graph of a network for one image per call: (1, H, W, C) -> (1, K).

    Args:
        module: the network.
        size: height and width of its images in pixels.
        channels: of its images.
        name: of the network, for errors.
        path: file to write; it is not the artifact.

    Raises:
        RefineryError: if a package is missing, or a layer of the network has no counterpart.
    """
    image = torch.zeros(1, *size, channels)
    options: dict[str, Any] = {"dynamo": True, "verbose": False, "external_data": False}
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), torch.no_grad():
            warnings.simplefilter("ignore")  # of the exporter
            torch.onnx.export(
                module,
                (image,),
                str(path),
                opset_version=_OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                **options,
            )
    except ImportError as error:
        raise RefineryError(NEEDS.format(error.name or error)) from error
    except Exception as error:  # the exporter raises anything
        raise RefineryError(
            f"{name}: can't be exported to ONNX: {_reason(error)}. Nothing was written"
        ) from error


def _reason(error: BaseException) -> str:
    """The first line of the innermost error, which names the layer."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def take_pixels(model: Any) -> None:
    """Change the float input of a model to uint8, with a cast behind it."""
    import onnx

    graph = model.graph
    cast = f"{INPUT}_float"
    for node in graph.node:
        node.input[:] = [cast if name == INPUT else name for name in node.input]
    graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    node = onnx.helper.make_node("Cast", [INPUT], [cast], "cast_pixels", to=onnx.TensorProto.FLOAT)
    graph.node.insert(0, node)


def rewrite_hard_sigmoid(model: Any) -> None:
    """Replace each HardSigmoid by relu6(x + 3) / 6, which is the same.

    LiteRT for microcontrollers has no operator for it.
    """
    import onnx

    graph = model.graph
    nodes = [node for node in graph.node if node.op_type == "HardSigmoid"]
    if not nodes:
        return
    names = {"three": 3.0, "zero": 0.0, "six": 6.0, "sixth": 1 / 6}
    for name, value in names.items():
        graph.initializer.append(
            onnx.helper.make_tensor(f"hard_{name}", onnx.TensorProto.FLOAT, [], [value])
        )
    for node in nodes:
        place = list(graph.node).index(node)
        source, target = node.input[0], node.output[0]
        make = onnx.helper.make_node
        steps = [
            make("Add", [source, "hard_three"], [f"{target}_add"], f"{node.name}_add"),
            make(
                "Clip",
                [f"{target}_add", "hard_zero", "hard_six"],
                [f"{target}_clip"],
                f"{node.name}_clip",
            ),
            make("Mul", [f"{target}_clip", "hard_sixth"], [target], f"{node.name}_mul"),
        ]
        graph.node.remove(node)
        for offset, step in enumerate(steps):
            graph.node.insert(place + offset, step)


def put_metadata(model: Any, entries: Mapping[str, str]) -> None:
    """Write entries into the metadata of a model."""
    for key, value in sorted(entries.items()):
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
