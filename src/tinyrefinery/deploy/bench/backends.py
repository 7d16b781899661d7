"""Backends: PyTorch, PyTorch with channels last, ONNX Runtime."""

import copy
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tinyrefinery.device.timing import Pass
from tinyrefinery.errors import DataError, look_up

TOLERANCE = 1e-3
"""Largest allowed difference of outputs from PyTorch's, relative to the largest output."""


def available() -> list[str]:
    """The backends that are installed."""
    return [name for name in BACKENDS if name != "onnxruntime" or _has_onnx()]


def _has_onnx() -> bool:
    return all(find_spec(name) for name in ("onnxruntime", "onnx", "onnxscript"))


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Set the number of PyTorch's threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def prepare(backend: str, name: str, network: nn.Module, images: Tensor, threads: int) -> Pass:
    """Prepare a function that runs one forward pass and returns the logits as an array.

    Args:
        backend: one of `BACKENDS`.
        name: of the network, for errors.
        network: in evaluation mode; it is not changed.
        images: (B, C, H, W) float32.
        threads: of ONNX Runtime; `torch_threads` sets those of PyTorch.

    Raises:
        DataError: if the backend is missing, can't run the network, or has other outputs.
    """
    build = look_up("backend", backend, BACKENDS)
    try:
        run = build(network, images, threads)
        outputs = np.asarray(run())
    except ImportError as error:
        raise DataError(
            f"backend '{backend}' needs {error.name or error}: pip install 'tinyrefinery[onnx]'"
        ) from error
    except Exception as error:  # exporters and runtimes raise anything
        first = (str(error).splitlines() or [type(error).__name__])[0]
        shape = tuple(images.shape)
        raise DataError(f"{name}: {backend} can't run it on images {shape}: {first}") from error
    with torch.inference_mode():
        expected = network(images).numpy()
    largest = max(float(np.abs(expected).max()), 1e-30)
    difference = float(np.abs(outputs - expected).max()) / largest
    if not difference <= TOLERANCE:
        raise DataError(
            f"{name}: outputs of {backend} differ from PyTorch's by {difference:.2g} of the "
            f"largest output (tolerance {TOLERANCE:g}), so its time can't be compared"
        )
    return run


def _eager(network: nn.Module, images: Tensor, threads: int) -> Pass:
    @torch.inference_mode()
    def run() -> Any:
        """PyTorch's eager mode."""
        return network(images)

    return run


def _channels_last(network: nn.Module, images: Tensor, threads: int) -> Pass:
    layout = torch.channels_last
    return _eager(
        copy.deepcopy(network).to(memory_format=layout), images.to(memory_format=layout), 1
    )


def _onnxruntime(network: nn.Module, images: Tensor, threads: int) -> Pass:
    import onnxruntime
    import onnxscript  # noqa: F401  (needed by the exporter; here the error names it if missing)

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    # Threads that wait by spinning would use CPU time.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        _export(network, images, path)
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    inputs = {session.get_inputs()[0].name: images.numpy()}
    return lambda: session.run(None, inputs)[0]


def _export(network: nn.Module, images: Tensor, path: Path) -> None:
    """Write the network for images of this shape. The runtime folds batch normalization."""
    with warnings.catch_warnings(), redirect_stdout(StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter
        torch.onnx.export(network, (images,), path, dynamo=True, verbose=False, external_data=False)


BACKENDS: dict[str, Callable[[nn.Module, Tensor, int], Pass]] = {
    "torch": _eager,
    "channels_last": _channels_last,
    "onnxruntime": _onnxruntime,
}
"""Name -> function that prepares a forward pass. `torch` is eager float32."""
