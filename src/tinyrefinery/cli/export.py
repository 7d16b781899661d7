"""`tinyrefinery export` and `tinyrefinery verify`: artefacts for devices, and their checks."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tinyrefinery.cli.options import DataOverrides, Row, Seed, Stage, option, output_folder
from tinyrefinery.cli.progress import log_progress
from tinyrefinery.errors import CHECK_FAILED


class To(StrEnum):
    """Formats."""

    onnx = "onnx"
    litert = "litert"


class Preprocessing(StrEnum):
    """Where pixels are normalized."""

    inside = "inside"
    metadata = "metadata"


def export(
    model: Annotated[
        str, typer.Argument(help="Run folder, stage folder, network file or timm:NAME.")
    ],
    overrides: DataOverrides = None,
    to: Annotated[list[To] | None, option("FORMAT", "onnx or litert. Repeatable.")] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Also write int8 artefacts, calibrated on real images.")
    ] = False,
    out: Annotated[Path, output_folder("Folder for the artefacts.")] = Path("exported"),
    preprocessing: Annotated[
        Preprocessing,
        option("WHERE", "Where pixels are normalized: inside the artefact, or by its caller."),
    ] = Preprocessing.inside,
    images: Annotated[int, option("N", "Maximum number of images to measure on.", min=1)] = 2000,
    calibration: Annotated[
        int, option("N", "Maximum number of training images to calibrate int8 on.", min=1)
    ] = 256,
    max_drop: Annotated[
        float, option("POINTS", "Largest accuracy drop of an int8 artefact.", min=0)
    ] = 0.5,
    stage: Stage = None,
    seed: Seed = None,
    row: Row = None,
) -> None:
    """Write a model for devices and compare it with torch.

    Exits with 1 if they differ. Each artefact runs in its own runtime on real images of the run's
    validation split. An artefact that differs too much is not written, but its report is.
    """
    log_progress()
    from tinyrefinery.deploy.export.exporting import Export, exit_code_of, export_network
    from tinyrefinery.networks.opening import open_network
    from tinyrefinery.networks.recipe_data import changed_source

    network = open_network(model, stage=stage, seed=seed, row=row)
    settings = Export(
        to=tuple(target.value for target in to or [To.onnx]),
        int8=int8,
        preprocessing=preprocessing.value,
        images=images,
        calibration=calibration,
        max_drop=max_drop,
    )
    source = changed_source(network, overrides) if overrides else None
    exported = export_network(network, settings, out, source)
    for one in exported:
        for line in one.parity.lines():
            typer.echo(line)
        kept = f"{one.file} ({one.bytes:,} bytes)" if one.passed else "not written"
        typer.echo(f"  artefact: {kept}\n  report: {one.report}")
    raise typer.Exit(exit_code_of(exported))


def verify(
    artefact: Annotated[
        Path, typer.Argument(help="ONNX or LiteRT file that `tinyrefinery export` wrote.")
    ],
) -> None:
    """Check an exported artefact: bytes and test vectors.

    Exits with 1 if it fails.
    """
    from tinyrefinery.deploy.export.verify import verify as run_checks

    checks = run_checks(artefact)
    for check in checks:
        typer.echo(f"{'PASS' if check.passed else 'FAIL'} {check.name}: {check.detail}")
    raise typer.Exit(0 if all(check.passed for check in checks) else CHECK_FAILED)
