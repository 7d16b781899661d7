"""Check that an artifact is the one that was exported, and replay its test vectors."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from tinyrefinery.deploy.export.executorch_runtime import predict_by_executorch
from tinyrefinery.deploy.export.side_files import read_record, read_vectors, record_file
from tinyrefinery.deploy.packing.packed_artifact import softmax
from tinyrefinery.errors import CheckpointError, DataError
from tinyrefinery.models.runtime_network import RuntimeNetwork
from tinyrefinery.networks.opening import EXECUTORCH, LITERT, ONNX, PACKED


@dataclass(frozen=True)
class Verified:
    """The result of replaying an artifact's vectors on this machine."""

    n: int
    difference: float
    """Largest difference of a probability."""
    tolerance: float
    same_class: int
    """Vectors with the predicted class of the export."""
    record: dict[str, Any]

    @property
    def passed(self) -> bool:
        """Whether every probability is within the tolerance."""
        return self.difference <= self.tolerance


def open_artifact(path: Path, threads: int | None = None) -> RuntimeNetwork:
    """An ONNX, LiteRT or packed artifact in its own runtime.

    Args:
        path: the file.
        threads: of the runtime; None: as for torch.

    Raises:
        CheckpointError: if it can't be opened.
        DataError: if its name ends like that of no such artifact.
    """
    if path.suffix.lower() == ONNX:
        from tinyrefinery.models.onnx_file import OnnxNetwork

        return OnnxNetwork(path, threads=threads)
    if path.suffix.lower() == LITERT:
        from tinyrefinery.models.litert_file import LiteRtNetwork

        return LiteRtNetwork(path, threads=threads)
    if path.suffix.lower() == PACKED:
        from tinyrefinery.models.packed_file import PackedNetwork

        return PackedNetwork(path)
    raise DataError(
        f"{path}: is not an artifact. Name a file that ends in {ONNX}, {LITERT}, {EXECUTORCH} or "
        f"{PACKED}"
    )


def predict_artifact(
    path: Path, inputs: np.ndarray, say: Callable[[str], object] = lambda text: None
) -> np.ndarray:
    """Probabilities (n, K) of an artifact in its own runtime for what it takes, image by image.

    Args:
        path: the file.
        inputs: (n, H, W, C).
        say: called with a message before the runtime's environment is made, if it needs one.

    Raises:
        CheckpointError: if it can't be opened, or its runtime can't run it.
        DataError: if its name ends like that of no artifact.
    """
    if path.suffix.lower() == EXECUTORCH:
        return predict_by_executorch(path, inputs, say)
    outputs = predict_one_by_one(open_artifact(path), inputs)
    # A packed network gives logits, so that they can be compared with those of the network.
    return softmax(outputs) if path.suffix.lower() == PACKED else outputs


def predict_one_by_one(network: RuntimeNetwork, inputs: np.ndarray) -> np.ndarray:
    """Outputs (n, K) for what the artifact takes, as a device computes them: image by image.

    Raises:
        CheckpointError: if its runtime can't run it.
    """
    try:
        return np.concatenate([network.infer(inputs[i : i + 1]) for i in range(len(inputs))])
    except Exception as error:  # the runtimes' exceptions have no common public base
        raise CheckpointError(
            f"{network.path.name}: its runtime can't run it ({error}). Install another version of "
            "the runtime, or export the network again"
        ) from error


def checked_record(path: Path) -> tuple[bytes, dict[str, Any]]:
    """Bytes and record of an artifact, which belong together.

    Raises:
        CheckpointError: if the artifact or its record is missing, damaged, or they don't belong
            together.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file")
    record = read_record(path)
    content = path.read_bytes()
    if len(content) != record["bytes"]:
        raise CheckpointError(
            f"{path}: has {len(content):,} bytes, but {record_file(path).name} names "
            f"{record['bytes']:,}. It was cut short or replaced. Export it again or restore a copy"
        )
    if sha256(content).hexdigest() != record["sha256"]:
        raise CheckpointError(
            f"{path}: its bytes differ from the exported ones (SHA-256). Export it again or "
            "restore a copy"
        )
    return content, record


def verify(artifact: str | Path, say: Callable[[str], object] = lambda text: None) -> Verified:
    """Check size and digest of an artifact, then replay its test vectors.

    Args:
        artifact: the file.
        say: called with progress messages.

    Raises:
        CheckpointError: if the artifact, its record or its vectors are missing, damaged, or don't
            belong together.
    """
    path = Path(artifact)
    _, record = checked_record(path)
    vectors = read_vectors(path, record)
    outputs = predict_artifact(path, vectors.inputs, say)
    return Verified(
        n=len(outputs),
        difference=float(np.abs(outputs - vectors.outputs).max()),
        tolerance=vectors.tolerance,
        same_class=int((outputs.argmax(1) == vectors.outputs.argmax(1)).sum()),
        record=record,
    )
