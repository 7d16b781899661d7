"""ExecuTorch in its own environment: the script that converts to it, and runs its files."""

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tinyrefinery.deploy.export import executorch_script
from tinyrefinery.deploy.export.tool_script import ToolScript
from tinyrefinery.device.tool_environment import Tools, run_logged, tool_folder, tool_python
from tinyrefinery.errors import CheckpointError

EXECUTORCH = Tools(
    name="executorch",
    title="ExecuTorch",
    packages=(
        "executorch==1.5.1",
        "flatbuffers==25.12.19",
        "numpy==2.4.6",
        "ruamel.yaml==0.19.1",
        "tabulate==0.10.0",
        "torchao==0.18.0",
    ),
    size="about 250 MB, and several GB with a torch of its own",
    otherwise="Other targets work without it, e.g. --to onnx",
    torch="2.14.1",
)
_SCRIPT = ToolScript(executorch_script)


def run_executorch(
    action: str, request: dict[str, Any], name: str, say: Callable[[str], object]
) -> str | None:
    """Run the script in the tool environment.

    Args:
        action: `convert` or `predict`.
        request: what the script reads, plain values.
        name: of the network or the file, for the log.
        say: called with a message before the environment is made.

    Returns:
        None, or if it fails the reason, with the place of the log.

    Raises:
        RefineryError: if the environment can't be made.
    """
    python = tool_python(say, EXECUTORCH)
    log = tool_folder(EXECUTORCH).parent / f"{action}-{name}.log"
    with TemporaryDirectory() as place:
        file = Path(place) / "request.json"
        file.write_text(json.dumps(request), "utf-8")
        script = _SCRIPT.write(Path(place) / "script")
        failed = run_logged([str(python), str(script), action, str(file)], log)
    if failed is not None:
        return f"{failed}. The log is in {log}"
    log.unlink(missing_ok=True)
    return None


def predict_by_executorch(
    path: Path, inputs: np.ndarray, say: Callable[[str], object] = lambda text: None
) -> np.ndarray:
    """Outputs (n, K) of an ExecuTorch file, image by image.

    Args:
        path: the file.
        inputs: (n, H, W, C), what the file takes.
        say: called with progress messages.

    Raises:
        CheckpointError: if its runtime can't run it.
        RefineryError: if the runtime can't be installed.
    """
    with TemporaryDirectory() as place:
        images, outputs = Path(place) / "images.npy", Path(place) / "outputs.npy"
        np.save(images, inputs)
        request = {"file": str(path), "images": str(images), "outputs": str(outputs)}
        failed = run_executorch("predict", request, path.stem, say)
        if failed is not None:
            raise CheckpointError(f"{path.name}: ExecuTorch can't run it: {failed}")
        return np.load(outputs)
