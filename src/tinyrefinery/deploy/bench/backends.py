"""Ways to run a network: PyTorch as it is, PyTorch with channels last, ONNX Runtime."""

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

from tinyrefinery.deploy.bench.timing import Pass
from tinyrefinery.errors import DataError
from tinyrefinery.names import look_up

TOLERANCE = 1e-3
"""Most that outputs of two backends may differ by, over the largest of them."""


def available() -> list[str]:
    """The backends that can be used here."""
    return [name for name in BACKENDS if name != "onnxruntime" or _has_onnx()]


def _has_onnx() -> bool:
    return all(find_spec(name) for name in ("onnxruntime", "onnx", "onnxscript"))


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """So many threads in PyTorch's operations."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def prepare(backend: str, name: str, network: nn.Module, images: Tensor, threads: int) -> Pass:
    """One forward pass of a network in evaluation mode, which returns its logits as an array.

    Args:
        backend: one of `BACKENDS`.
        name: of the network, for errors.
        network: it is left as it was.
        images: (B, C, H, W) float32.
        threads: ONNX Runtime's; those of PyTorch are set by `torch_threads`.

    Raises:
        DataError: when the backend isn't there, or can't run the network, or gives other outputs.
    """
    make = look_up("backend", backend, BACKENDS)
    try:
        made = make(network, images, threads)
        got = np.asarray(made())
    except ImportError as error:
        raise DataError(
            f"backend '{backend}' needs {error.name or error}: pip install 'tinyrefinery[onnx]'"
        ) from error
    except Exception as error:  # exporters and runtimes raise what they like
        first = (str(error).splitlines() or [type(error).__name__])[0]
        shape = tuple(images.shape)
        raise DataError(f"{name}: {backend} can't run it on images {shape}: {first}") from error
    with torch.inference_mode():
        expected = network(images).numpy()
    apart = float(np.abs(got - expected).max()) / max(float(np.abs(expected).max()), 1e-30)
    if not apart <= TOLERANCE:
        raise DataError(
            f"{name}: outputs by {backend} differ from PyTorch's by {apart:.2g} of the largest "
            "one; a network that computes something else can't be compared"
        )
    return made


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
    import onnxscript  # noqa: F401  (the exporter's; so that its absence is told by name)

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # would be CPU time
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        _export(network, images, path)
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    given = {session.get_inputs()[0].name: images.numpy()}
    return lambda: session.run(None, given)[0]


def _export(network: nn.Module, images: Tensor, path: Path) -> None:
    """Write the network for images of this shape; batch normalization is folded by the runtime."""
    with warnings.catch_warnings(), redirect_stdout(StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's own
        torch.onnx.export(network, (images,), path, dynamo=True, verbose=False, external_data=False)


BACKENDS: dict[str, Callable[[nn.Module, Tensor, int], Pass]] = {
    "torch": _eager,
    "channels_last": _channels_last,
    "onnxruntime": _onnxruntime,
}
"""`torch`: eager float32."""
