"""`tinyrefinery export`: a network as a file that a device runs, checked against the network."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinyrefinery.cli import streams
from tinyrefinery.cli.options import (
    Cycles,
    DataOverrides,
    Flash,
    Macs,
    Ram,
    Row,
    Seed,
    Stage,
    option,
    output_folder,
)
from tinyrefinery.errors import CHECK_FAILED
from tinyrefinery.pages.cell_text import escape
from tinyrefinery.pages.narrow_tables import FittedTable

if TYPE_CHECKING:
    from tinyrefinery.deploy.export.exported import Exported

LAYERS = 15
"""Layers in the printed table."""
Preprocessing = Annotated[
    str,
    option(
        "PLACE", "inside: pixels in, normalized by the artifact. metadata: normalized images in."
    ),
]
MaxDrop = Annotated[
    float, option("POINTS", "Allowed drop of int8 accuracy, in percentage points.", min=0)
]
FineTune = Annotated[
    int,
    option(
        "EPOCHS",
        "Epochs of fine-tuning in 8 bits where int8 isn't proven to keep its accuracy.",
        min=0,
    ),
]
KeepFloat = Annotated[
    int,
    option("N", "Layers that stay in float where int8 isn't proven to keep its accuracy.", min=0),
]
Keep16Bit = Annotated[
    int,
    option(
        "N",
        "LiteRT layers with 16-bit activations where int8 isn't proven to keep its accuracy.",
        "--keep-16bit",
        min=0,
    ),
]


def export(
    model: Annotated[
        str, typer.Argument(help="Run folder, stage folder, network file or timm:NAME.")
    ],
    overrides: DataOverrides = None,
    to: Annotated[
        list[str],
        option("TARGET", "onnx, litert, executorch, c (int8) or packed. Repeatable.", "--to"),
    ] = ["onnx"],  # noqa: B006  Typer wants a list
    int8: Annotated[
        bool, typer.Option("--int8", help="Quantize to 8 bits, calibrated on training images.")
    ] = False,
    out: Annotated[Path, output_folder("Folder for the artifacts.", shared=True)] = Path("exports"),
    preprocessing: Preprocessing = "inside",
    max_drop: MaxDrop = 0.5,
    calibrate: Annotated[int, option("N", "Maximum number of calibration images.", min=1)] = 256,
    flash: Flash = None,
    ram: Ram = None,
    macs: Macs = None,
    cycles: Cycles = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="List what int8 costs each layer, why, what helps.")
    ] = False,
    fine_tune: FineTune = 0,
    keep_float: KeepFloat = 0,
    keep_16bit: Keep16Bit = 0,
    classes: Annotated[
        Path | None, option("FILE", "Class names of a timm model's outputs, one per line.")
    ] = None,
    weights: Annotated[Path | None, option("FILE", "Weights of a timm model.")] = None,
    stage: Stage = None,
    seed: Seed = None,
    row: Row = None,
) -> None:
    """Export a model for a device, checked against the network.

    Each artifact takes a uint8 image and gives probabilities. It is checked on the validation
    images of the run. Exits with 1 if it predicts something else, or if an int8 artifact is not
    proven to keep its accuracy.
    """
    from tinyrefinery.deploy.export.export_options import ExportOptions
    from tinyrefinery.deploy.export.exporting import export_network
    from tinyrefinery.networks.facts import Facts
    from tinyrefinery.networks.opening import open_network
    from tinyrefinery.options.budget import read_budget
    from tinyrefinery.prediction.outputs import read_classes

    budget, places = read_budget(flash, ram, macs, cycles), (tuple(to), int8, out, preprocessing)
    kept = (keep_float, keep_16bit)
    options = ExportOptions(*places, max_drop, calibrate, budget, explain, *kept, fine_tune)
    stated = Facts(
        classes=None if classes is None else read_classes(classes),
        weights=None if weights is None else str(weights),
    )
    network = open_network(model, stage=stage, seed=seed, row=row, stated=stated)
    exported = export_network(network, options, overrides or [], say=_say)
    for artifact in exported:
        _show(artifact)
    if not all(artifact.passed for artifact in exported):
        raise typer.Exit(CHECK_FAILED)


def _say(text: str) -> None:
    streams.echo(text, err=True)


def _show(artifact: "Exported") -> None:
    for line in _lines(artifact):
        streams.echo(line)
    if artifact.layers:
        _show_layers(artifact)


def _lines(artifact: "Exported") -> list[str]:
    """An artifact and its check, for people."""
    from tinyrefinery.deploy.export.side_files import failed_file

    parity, record = artifact.parity, artifact.record
    if artifact.written:
        how = f", calibrated by {record['calibration']}" if record["calibration"] else ""
        lines = [f"{artifact.path}: {record['bytes']:,} bytes, {record['precision']}{how}"]
    else:
        lines = [f"{artifact.path}: not written. Its record is in {failed_file(artifact.path)}"]
    if tuned := record.get("fine_tuned"):
        lines.append(
            f"  fine-tuned for int8. In float it is {artifact.path.parent / tuned['network']}"
        )
    if floats := record.get("float_layers"):
        lines.append(f"  in float, with what reads them: {', '.join(floats)}")
    if wide := record.get("int16_layers"):
        lines.append(f"  16-bit activations, with what reads them: {', '.join(wide)}")
    lines.append(
        f"  {parity.verdict} on {parity.images}: same class for {parity.agreement:.2%}, "
        f"probabilities differ by at most {parity.probability:.2g}, logits by at most "
        f"{parity.logit:.2g} of the largest"
    )
    if artifact.rejected:
        options = " and ".join(artifact.rejected)
        lines.append(f"  tried, but no better on these images, and left out: {options}")
    if parity.rounding is not None:
        lines.append(
            "  The network amplifies rounding: in 32 bits its logits differ by "
            f"{parity.rounding:.2g} of the largest from those in 64 bits. The bound is "
            f"{parity.bound:.2g}"
        )
    lines += _cost_lines(record)
    lines += [f"  FAIL: {text}" for text in artifact.excess]
    if parity.drop is not None:
        drop = parity.drop
        lines.append(
            f"  accuracy {drop.network:.2%} -> {drop.artifact:.2%}: a drop of {drop.points:.2f} "
            f"points (95 % interval {drop.low:.2f} to {drop.high:.2f})"
        )
    return [*lines, *_remedies(artifact)]


def _cost_lines(record: dict[str, Any]) -> list[str]:
    """What an artifact costs, as far as it was measured."""
    lines = []
    if "cost" in record:
        cost = record["cost"]
        arena = cost["arena"]["head"] + cost["arena"]["tail"]
        is_packed = record["target"] == "packed"
        where = "In its runtime" if is_packed else "On a microcontroller"
        lines.append(
            f"  {where}: {cost['flash']:,} bytes of flash, {'' if is_packed else 'at most '}"
            f"{arena:,} bytes of arena, {cost['macs']:,} multiply-accumulates"
        )
    if ethos := record.get("ethos"):
        lines.append(
            f"  On {ethos['accelerator']}: {ethos['cycles']:,} cycles, an estimate of Vela "
            f"{ethos['vela']}. {ethos['processor_operators']} operators run on the processor and "
            "are not counted"
        )
    if "latency" in record:
        lines.append(f"  On this machine: {record['latency']['median']:.3g} ms, one thread")
    if "arena" in record:
        lines.append(_size_line(record))
    return lines


def _size_line(record: dict[str, Any]) -> str:
    """Flash and RAM of C sources."""
    size = record.get("size")
    if size is None:
        return (
            f"  {record['arena']:,} bytes of RAM. Flash was not measured: no C compiler was found"
        )
    return (
        f"  On {size['processor']} (-Os): {size['code']:,} bytes of code, "
        f"{size['constants'] + size['data']:,} bytes of constants, "
        f"{size['zeroed'] + size['data']:,} bytes of RAM"
    )


def _remedies(artifact: "Exported") -> list[str]:
    """What to do about an int8 artifact that isn't proven to keep its accuracy."""
    parity = artifact.parity
    if parity.drop is None or parity.verdict == "PASS":
        return []
    highest = math.ceil(parity.drop.high * 10) / 10
    accept = f"Accept it with --max-drop {highest:g}, or list the layers that lose most: --explain"
    record, tried = artifact.record, artifact.rejected
    kinds = {"--keep-float": "float_layers", "--keep-16bit": "int16_layers"}
    kinds["--fine-tune"] = "fine_tuned"
    left = [option for option, key in kinds.items() if key not in record and option not in tried]
    if record["target"] != "executorch" and "--keep-float" in left:
        accept = f"Keep the layers that lose most in float: --keep-float 3. {accept}"
    if record["target"] == "litert" and "--keep-16bit" in left:
        accept = f"Give the layers that lose most 16 bits: --keep-16bit 3. {accept}"
    if record["stage"] is not None and "--fine-tune" in left:
        accept = f"Fit the weights to int8: --fine-tune 2. {accept}"
    if parity.images_needed is None:
        return [f"  The drop is above --max-drop {parity.bound:g}. {accept}"]
    return [
        f"  The drop may be above --max-drop {parity.bound:g}. About {parity.images_needed:,} "
        f"validation images would show whether it is. {accept}"
    ]


def _show_layers(artifact: "Exported") -> None:
    """The layers that change the predictions most, as a table."""
    console = streams.console()
    table = FittedTable()
    table.add_text("layer")
    table.add_numbers("signal to\nnoise (dB)", "same\nclass", "accuracy")
    table.add_text("why, and what helps")
    for effect in artifact.layers[:LAYERS]:
        table.add_row(
            escape(effect.layer),
            f"{effect.snr:.1f}",
            f"{effect.agreement:.1%}",
            "" if effect.accuracy is None else f"{effect.accuracy:.1%}",
            escape(f"{effect.cause.reason}. {effect.cause.remedy.capitalize()}"),
        )
    console.print(table)
    streams.print_lines(
        console,
        f"Only this layer in 8 bits, the rest in float. {len(artifact.layers)} layers are in "
        f"{artifact.path}.layers.csv",
    )
