"""`tinyrefinery export`: a network as a file that a device runs, checked against the network."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinyrefinery.cli.options import DataOverrides, Row, Seed, Stage, option, output_folder
from tinyrefinery.errors import CHECK_FAILED

if TYPE_CHECKING:
    from tinyrefinery.deploy.export.exporting import Exported


def export(
    model: Annotated[
        str, typer.Argument(help="Run folder, stage folder, network file or timm:NAME.")
    ],
    overrides: DataOverrides = None,
    to: Annotated[list[str], option("TARGET", "onnx or litert. Repeatable.", "--to")] = ["onnx"],  # noqa: B006  Typer wants a list
    int8: Annotated[
        bool, typer.Option("--int8", help="Quantize to 8 bits, calibrated on training images.")
    ] = False,
    out: Annotated[Path, output_folder("Folder for the artifacts.")] = Path("exports"),
    preprocessing: Annotated[
        str,
        option(
            "PLACE",
            "inside: pixels in, normalized by the artifact. metadata: normalized images in.",
        ),
    ] = "inside",
    max_drop: Annotated[
        float, option("POINTS", "Allowed drop of int8 accuracy, in percentage points.", min=0)
    ] = 0.5,
    calibrate: Annotated[int, option("N", "Maximum number of calibration images.", min=1)] = 256,
    stage: Stage = None,
    seed: Seed = None,
    row: Row = None,
) -> None:
    """Export a model for a device, checked against the network.

    Each artifact takes a uint8 image and gives probabilities. It is checked on the validation
    images of the run. Exits with 1 if it predicts something else.
    """
    from tinyrefinery.deploy.export.exporting import ExportOptions, export_network
    from tinyrefinery.networks.opening import open_network

    options = ExportOptions(tuple(to), int8, out, preprocessing, max_drop, calibrate)
    network = open_network(model, stage=stage, seed=seed, row=row)
    exported = export_network(
        network, options, overrides or [], say=lambda text: typer.echo(text, err=True)
    )
    for artifact in exported:
        for line in _lines(artifact):
            typer.echo(line)
    if not all(artifact.passed for artifact in exported):
        raise typer.Exit(CHECK_FAILED)


def _lines(artifact: "Exported") -> list[str]:
    """An artifact and its check, for people."""
    from tinyrefinery.deploy.export.side_files import failed_file

    parity, record = artifact.parity, artifact.record
    if artifact.passed:
        how = f", calibrated by {record['calibration']}" if record["calibration"] else ""
        lines = [f"{artifact.path}: {record['bytes']:,} bytes, {record['precision']}{how}"]
    else:
        lines = [f"{artifact.path}: not written. Its record is in {failed_file(artifact.path)}"]
    lines.append(
        f"  {parity.verdict} on {parity.images}: same class for {parity.agreement:.2%}, "
        f"probabilities differ by at most {parity.probability:.2g}, logits by at most "
        f"{parity.logit:.2g} of the largest"
    )
    if parity.drop is not None:
        drop = parity.drop
        lines.append(
            f"  accuracy {drop.network:.2%} -> {drop.artifact:.2%}: a drop of {drop.points:.2f} "
            f"points (95 % interval {drop.low:.2f} to {drop.high:.2f})"
        )
    if parity.verdict == "UNPROVEN":
        lines.append(
            f"  The drop may be above --max-drop {parity.bound:g}: more images would narrow the "
            "interval"
        )
    return lines
