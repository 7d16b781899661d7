"""`tinyrefinery bundle`: the folder that a device's builder takes."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tinyrefinery.cli import streams
from tinyrefinery.cli.options import option, output_folder


class Device(StrEnum):
    """For what a bundle is."""

    mcu = "mcu"
    c = "c"
    pi = "pi"


def bundle(
    artifact: Annotated[Path, typer.Argument(help="LiteRT file that `tinyrefinery export` wrote.")],
    device: Annotated[
        Device, option("DEVICE", "mcu (C++), c (C99) or pi (Python).", "--for")
    ] = Device.mcu,
    out: Annotated[
        Path | None, output_folder("Folder to write.", "--out", default="beside the file")
    ] = None,
    vectors: Annotated[
        int | None, option("N", "Test vectors. Default: 2 for mcu and c, all for pi.", min=1)
    ] = None,
) -> None:
    """Write a device folder with the model, a runner and a check.

    For a microcontroller: the model as a C array, a runner for LiteRT for Microcontrollers with its
    operators and arena, and test vectors. In C99: the network with a runtime of its own, for any
    processor. For a Raspberry Pi: a Python script without this package.
    """
    from tinyrefinery.deploy.bundle.bundling import write_bundle

    made = write_bundle(artifact, device.value, out, vectors=vectors)
    streams.echo(f"wrote {made.folder}: {', '.join(file.name for file in made.files)}")
    if device is Device.mcu:
        facts = made.facts
        streams.echo(
            f"model {facts['bytes']:,} bytes of flash, arena {facts['arena']:,} bytes, "
            f"operators: {', '.join(facts['operators'])}"
        )
    if device is Device.c:
        streams.echo(f"{made.facts['arena']:,} bytes of static memory")
    streams.echo(f"How to build and check it: {made.folder / 'README.md'}")
