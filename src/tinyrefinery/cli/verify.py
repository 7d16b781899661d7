"""`tinyrefinery verify`: an artifact is unchanged, and predicts here what it predicted before."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinyrefinery.cli import streams
from tinyrefinery.cli.options import Tflm, option, tflm_tree
from tinyrefinery.errors import CHECK_FAILED

if TYPE_CHECKING:
    from tinyrefinery.deploy.emulation.replaying import Replayed


def verify(
    artifact: Annotated[
        Path, typer.Argument(help="File, or folder of C sources, that `export` wrote.")
    ],
    on: Annotated[
        list[str] | None,
        option(
            "PROCESSOR",
            "Emulate it too: aarch64, arm, cortex-m3, cortex-m4, cortex-m7 or host. Repeatable.",
        ),
    ] = None,
    tflm: Tflm = None,
) -> None:
    """Check an exported artifact and replay its test vectors.

    With --on, a program of the artifact and LiteRT for Microcontrollers is built for each
    processor, and run in an emulator. A folder of C sources needs a compiler only. Exits with 1 if
    the predictions differ.
    """
    if artifact.is_dir():
        passed = [_check(artifact, processor) for processor in on or ["host"]]
        if not all(passed):
            raise typer.Exit(CHECK_FAILED)
        return
    from tinyrefinery.deploy.export import verification

    tree = tflm_tree(on, tflm) or Path()
    found = verification.verify(artifact, lambda text: streams.echo(text, err=True))
    streams.echo(
        f"{artifact}: {'PASS' if found.passed else 'FAIL'}. {found.record['bytes']:,} bytes with "
        f"the recorded SHA-256. {found.n} test vectors: probabilities differ by at most "
        f"{found.difference:.2g} (tolerance {found.tolerance:.2g}), same class for "
        f"{found.same_class}"
    )
    passed = found.passed
    for processor in on or []:
        passed &= _replay(artifact, processor, tree)
    if not passed:
        raise typer.Exit(CHECK_FAILED)


def _check(folder: Path, processor: str) -> bool:
    """Build and replay C sources."""
    from tinyrefinery.deploy.c_source.source_check import check_sources

    found = check_sources(folder, processor)
    counted = (
        "" if found.instructions is None else f", {found.instructions:,} instructions per image"
    )
    streams.echo(
        f"{processor}: {'PASS' if found.passed else 'FAIL'}. {found.different} of {found.outputs} "
        f"outputs of {found.vectors} test vectors differ. {found.size.code:,} bytes of code, "
        f"{found.size.constants:,} bytes of constants, {found.size.ram:,} bytes of RAM{counted}"
    )
    return found.passed


def _replay(artifact: Path, processor: str, tree: Path) -> bool:
    from tinyrefinery.deploy.emulation.replaying import replay

    found = replay(artifact, processor, tree, lambda text: streams.echo(text, err=True))
    streams.echo(_line(found))
    return found.passed


def _line(found: "Replayed") -> str:
    counted = ""
    if found.instructions is not None:
        counted = f", {found.instructions:,} instructions per image"
    return (
        f"{found.processor}: {'PASS' if found.passed else 'FAIL'}. {found.n} test vectors: "
        f"probabilities differ by at most {found.difference:.2g} (tolerance "
        f"{found.tolerance:.2g}). {found.arena_used:,} bytes of arena{counted}"
    )
