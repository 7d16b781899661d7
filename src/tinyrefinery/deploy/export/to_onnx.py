"""Write a network as an ONNX file. The exporter folds batch normalization into convolutions."""

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tinyrefinery.errors import DataError
from tinyrefinery.models.onnx_file import ENTRY

INPUT, OUTPUT = "image", "probabilities"
"""Names in the graph."""
_NEEDED = "exporting needs {}: pip install 'tinyrefinery[onnx]'"


def write_onnx(
    network: nn.Module, example: Tensor, path: Path, *, name: str, any_batch: bool = True
) -> None:
    """Write a network for images of one size.

    Args:
        network: in evaluation mode.
        example: a batch of two images, as the network takes them.
        path: the file to write.
        name: of the network, for errors.
        any_batch: whether the file takes any number of images at once; else one.

    Raises:
        DataError: if the exporter is missing, or can't export the network.
    """
    check_exporter()
    images = example if any_batch else example[:1]
    shapes = ({0: torch.export.Dim("batch")},) if any_batch else None
    try:
        with quiet(), torch.no_grad():
            torch.onnx.export(
                network,
                (images,),
                str(path),
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamo=True,
                verbose=False,
                external_data=False,
                dynamic_shapes=shapes,
            )
    except Exception as error:  # the exporter raises anything
        raise DataError(f"{name}: can't be exported to ONNX: {_cause(error)}") from error


def check_exporter() -> None:
    """Check that the packages that write ONNX files are installed.

    Raises:
        DataError: if one is missing.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise DataError(_NEEDED.format(error.name or "onnx")) from error


def _cause(error: BaseException) -> str:
    """The first line of the error behind an error: the exporter wraps it several times."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextmanager
def quiet() -> Iterator[None]:
    """Without the prints, warnings and log lines of exporters and quantizers."""
    before = logging.root.manager.disable
    with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)


def describe_onnx(path: Path, facts: Mapping[str, Any]) -> None:
    """Write facts into the metadata of an ONNX file, in place of former ones."""
    import onnx

    model = onnx.load(str(path))
    kept = [(entry.key, entry.value) for entry in model.metadata_props if entry.key != ENTRY]
    del model.metadata_props[:]
    for key, value in [*kept, (ENTRY, json.dumps(facts, sort_keys=True))]:
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.save(model, str(path))
