"""From the trained network to what ships: int8 artifact, its proof, its card."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinyrefinery.data.dataset import Dataset
from tinyrefinery.deploy.bundle.bundling import write_bundle
from tinyrefinery.deploy.export.export_options import ExportOptions
from tinyrefinery.deploy.export.exported import Exported
from tinyrefinery.deploy.export.exporting import export_network
from tinyrefinery.deploy.export.verification import verify
from tinyrefinery.device.tool_environment import SET_UP, is_ready, tool_python
from tinyrefinery.errors import DataError, RefineryError
from tinyrefinery.evaluation.prediction_table import Predictions
from tinyrefinery.evaluation.predictions import predict
from tinyrefinery.networks.held_out import held_out
from tinyrefinery.networks.network import Network
from tinyrefinery.networks.network_view import opened
from tinyrefinery.networks.opening import open_network
from tinyrefinery.options.budget import Budget
from tinyrefinery.sharing.card_facts import card_facts
from tinyrefinery.sharing.model_card import write_card

LITERT, ONNX = "litert", "onnx"
TUNE = 5  # epochs of fine-tuning, if int8 is not proven to keep the accuracy


@dataclass(frozen=True)
class Shipped:
    """An artifact, and how good it is on the test pictures."""

    exported: Exported
    predictions: Predictions = field(repr=False)
    """Of the artifact in its own runtime, for the test pictures."""
    bundle: Path | None
    """Folder for a microcontroller's firmware; None for a format without one."""
    vectors: int
    """Test vectors that were replayed."""
    notes: tuple[str, ...] = ()
    """What a reader of the predictions must know."""


def usable_target(say: Callable[[str], object], *, install: bool = True) -> tuple[str, str]:
    """The format that can be written here, and why it is not LiteRT; empty if it is.

    The converter's environment is made now, so that a search does not end in its absence.

    Args:
        say: called with progress messages.
        install: whether to make the environment if it is missing, which takes a download.

    Raises:
        RefineryError: if neither format can be written.
    """
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise RefineryError(
            "an artifact for the device needs two extras. Install them: pip "
            "install 'tinyrefinery[onnx,litert]'"
        ) from error
    try:
        import ai_edge_litert  # noqa: F401

        if not install and not is_ready():
            return ONNX, f"the LiteRT converter is not set up ({SET_UP})"
        tool_python(say)
    except ImportError:
        return ONNX, "ai-edge-litert is not installed (pip install 'tinyrefinery[litert]')"
    except RefineryError as error:
        return ONNX, str(error)
    return LITERT, ""


def ship(
    network: Network,
    data: Dataset,
    target: str,
    limits: Budget,
    folder: Path,
    say: Callable[[str], object],
    *,
    tune: int = TUNE,
) -> Shipped:
    """Quantize a network, prove the artifact, and measure it on the test pictures.

    Args:
        network: from a run.
        data: all pictures, in the splits of the run.
        target: `LITERT` or `ONNX`.
        limits: the budget, which a LiteRT file must keep.
        folder: where to write it.
        say: called with progress messages.
        tune: epochs of fine-tuning, if int8 is not proven to keep the accuracy.

    Raises:
        RefineryError: if it can't be exported, or the artifact predicts something else or costs
            more than the budget.
    """
    budget = limits if target == LITERT else Budget()
    options = ExportOptions((target,), int8=True, out=folder, budget=budget, fine_tune=tune)
    (exported,) = export_network(network, options, say=say)
    if not exported.written:
        raise RefineryError(
            f"{network.name}: its int8 artifact was not written: "
            f"{'; '.join(exported.excess) or 'it predicts something else'}. The network itself is "
            f"kept: {network.file}"
        )
    say("replaying the test vectors")
    replayed = verify(exported.path)
    artifact = open_network(exported.path)
    net, view, workers = opened(artifact, data)
    # A refiner or initial network from elsewhere may have been trained on some test pictures.
    held = held_out(data.manifest, [network], own=False, fixed=True)
    rows = held.manifest.rows("test")
    if not len(rows):
        raise DataError(
            f"{network.name}: no test picture is left that no network behind it was trained on. "
            "Name another --refiner, or leave it out"
        )
    predictions = predict(net, view, rows, workers=workers)
    bundle = None
    if target == LITERT:
        place = folder / f"{exported.path.stem}-mcu"
        bundle = place if place.exists() else write_bundle(exported.path, "mcu", place).folder
    write_card(card_facts(network, exports=[folder]), folder / "card")
    return Shipped(exported, predictions, bundle, replayed.n, held.notes)


def measured(shipped: Shipped) -> dict[str, Any]:
    """What an artifact costs and how exact it is, for a file."""
    record, parity = shipped.exported.record, shipped.exported.parity
    return {
        "artifact": str(shipped.exported.path),
        "bytes": record["bytes"],
        "cost": record.get("cost"),
        "parity": parity.as_dict(),
        "test": {"n": len(shipped.predictions), "top1": float(shipped.predictions.correct.mean())},
    }
