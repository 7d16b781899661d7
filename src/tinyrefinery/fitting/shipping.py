"""From the trained network to what ships: int8 or packed artifact, its proof, its card."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from tinyrefinery.data.dataset import Dataset
from tinyrefinery.deploy.bundle.bundling import write_bundle
from tinyrefinery.deploy.export.export_options import ExportOptions
from tinyrefinery.deploy.export.exported import Exported
from tinyrefinery.deploy.export.exporting import export_network
from tinyrefinery.deploy.export.parity import Drop, Parity
from tinyrefinery.deploy.export.side_files import read_record
from tinyrefinery.deploy.export.verification import verify
from tinyrefinery.deploy.packing.packed_gain import packed_gain
from tinyrefinery.device.tool_environment import SET_UP, is_ready, tool_python
from tinyrefinery.errors import DataError, RefineryError
from tinyrefinery.evaluation.prediction_table import Predictions
from tinyrefinery.evaluation.predictions import predict
from tinyrefinery.fitting.fit_options import LITERT, PACKED
from tinyrefinery.networks.held_out import held_out
from tinyrefinery.networks.network import Network
from tinyrefinery.networks.network_view import opened
from tinyrefinery.networks.opening import open_network
from tinyrefinery.options.budget import Budget
from tinyrefinery.sharing.card_facts import card_facts
from tinyrefinery.sharing.model_card import write_card

ONNX = "onnx"
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
    gain: str = ""
    """What packing gains on this machine, of a packed file."""

    @property
    def is_packed(self) -> bool:
        """Whether it is a binary network, else it is an int8 one."""
        return self.exported.record["target"] == PACKED


def usable_target(say: Callable[[str], object], *, install: bool = True) -> tuple[str, str]:
    """The format of int8 that can be written here, and why it is not LiteRT; empty if it is.

    The converter's environment is made now, so that a search does not end in its absence. What
    converts is loaded now, so that an upgrade during the search does not change it.

    Args:
        say: called with progress messages.
        install: whether to make the environment if it is missing, which takes a download.

    Raises:
        RefineryError: if neither format can be written.
    """
    try:
        import onnx  # noqa: F401

        from tinyrefinery.deploy.export import artifact_files  # noqa: F401
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
    """Quantize or pack a network, prove the artifact, and measure it on the test pictures.

    Args:
        network: from a run.
        data: all pictures, in the splits of the run.
        target: `LITERT` or `ONNX`, both int8, or `PACKED`, of a binary network.
        limits: the budget, which a LiteRT or packed file must keep.
        folder: where to write it.
        say: called with progress messages.
        tune: epochs of fine-tuning, if int8 is not proven to keep the accuracy.

    Raises:
        RefineryError: if it can't be exported, or the artifact predicts something else or costs
            more than the budget.
    """
    budget = Budget() if target == ONNX else limits
    int8 = target != PACKED
    options = ExportOptions(
        (target,), int8=int8, out=folder, budget=budget, fine_tune=tune if int8 else 0
    )
    (exported,) = export_network(network, options, say=lambda text: say(_plainly(text, network)))
    if not exported.written:
        raise RefineryError(
            f"the {'int8' if int8 else 'packed'} artifact of the network was not written: "
            f"{'; '.join(exported.excess) or 'it predicts something else'}. The network itself is "
            f"kept: {network.file}"
        )
    say("replaying the test vectors")
    replayed = verify(exported.path)
    predictions, notes = _on_test_pictures(exported.path, network, data)
    bundle = None
    if target == LITERT:
        place = folder / f"{exported.path.stem}-mcu"
        bundle = place if place.exists() else write_bundle(exported.path, "mcu", place).folder
    write_card(card_facts(network, exports=[folder]), folder / "card")
    return Shipped(exported, predictions, bundle, replayed.n, notes, _gain(network, target, say))


def _gain(network: Network, target: str, say: Callable[[str], object]) -> str:
    """What packing gains; empty for another format."""
    if target != PACKED:
        return ""
    say("timing the packed network against float")
    return str(packed_gain(network.load(), network.info.size, network.info.channels))


def shipped_before(
    kept: Mapping[str, Any], network: Network, data: Dataset, folder: Path
) -> Shipped | None:
    """What a finished search shipped, without making it again; None if a file is not as it was.

    Args:
        kept: from `measured`.
        network: what it was made from.
        data: all pictures.
        folder: where it was written.
    """
    path = folder / Path(kept["artifact"]).name
    try:
        record = read_record(path)
        parity, digest = record["parity"], sha256(path.read_bytes()).hexdigest()
        drop = None if parity["drop"] is None else Drop(**parity["drop"])
        exported = Exported(path, record, Parity(**{**parity, "drop": drop}))
    except (RefineryError, OSError, KeyError, TypeError):
        return None
    bundle = folder / f"{path.stem}-mcu"
    is_whole = (folder / "card").is_dir() and (record["target"] != LITERT or bundle.is_dir())
    if digest != record["sha256"] or parity != kept["parity"] or not is_whole:
        return None
    predictions, notes = _on_test_pictures(path, network, data)
    vectors = kept.get("vectors") or verify(path).n
    made, gain = bundle if bundle.is_dir() else None, kept.get("gain", "")
    return Shipped(exported, predictions, made, vectors, notes, gain)


def _plainly(text: str, network: Network) -> str:
    """A text without the name of the run and the stage, which the user did not choose."""
    return text.replace(network.name, "the network")


def _on_test_pictures(
    path: Path, network: Network, data: Dataset
) -> tuple[Predictions, tuple[str, ...]]:
    """What an artifact predicts for the test pictures, and what a reader must know of it."""
    net, view, workers = opened(open_network(path), data)
    # A refiner or initial network from elsewhere may have been trained on some test pictures.
    held = held_out(data.manifest, [network], own=False, fixed=True)
    rows = held.manifest.rows("test")
    if not len(rows):
        raise DataError(
            "no test picture is left that no network behind the chosen one was trained on. "
            "Name another --refiner, or leave it out"
        )
    notes = tuple(_plainly(note, network) for note in held.notes)
    return predict(net, view, rows, workers=workers), notes


def measured(shipped: Shipped) -> dict[str, Any]:
    """What an artifact costs and how exact it is, for a file."""
    record, parity = shipped.exported.record, shipped.exported.parity
    return {
        "artifact": str(shipped.exported.path),
        "bytes": record["bytes"],
        "cost": record.get("cost"),
        "parity": parity.as_dict(),
        "vectors": shipped.vectors,
        "gain": shipped.gain,
        "test": {"n": len(shipped.predictions), "top1": float(shipped.predictions.correct.mean())},
    }
