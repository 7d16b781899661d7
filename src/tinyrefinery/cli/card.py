"""`tinyrefinery card`: a model card and a bill of materials, from the records of a network."""

from pathlib import Path
from typing import Annotated

import typer

from tinyrefinery.cli import streams
from tinyrefinery.cli.options import (
    DataLicense,
    Exports,
    Like,
    ModelLicense,
    Row,
    Seed,
    Stage,
    check_default,
    option,
    output_folder,
)


def card(
    model: Annotated[
        str,
        typer.Argument(help="Run, stage folder, network, ONNX or LiteRT file, timm:NAME, hf:NAME."),
    ],
    out: Annotated[
        Path | None, output_folder("Folder for both files.", default="card beside the network")
    ] = None,
    title: Annotated[str | None, option("TEXT", "Title.", default="the network's name")] = None,
    license: ModelLicense = None,
    data_license: DataLicense = None,
    exports: Exports = Path("exports"),
    stage: Stage = None,
    seed: Seed = None,
    row: Row = None,
    like: Like = None,
) -> None:
    """Write a model card and a bill of materials.

    README.md is for the Hugging Face Hub. bom.json is CycloneDX 1.6. All numbers come from the
    records of the run, and what they lack is listed.
    """
    from tinyrefinery.networks.opening import open_network
    from tinyrefinery.sharing.card_facts import card_facts
    from tinyrefinery.sharing.model_card import default_folder, write_card

    network = open_network(model, stage=stage, seed=seed, row=row, like=like)
    facts = card_facts(
        network, title=title, license=license, data_license=data_license, exports=[exports]
    )
    if out is None:
        check_default(default_folder(facts) / "README.md", other="--out FOLDER")
    for path in write_card(facts, out):
        streams.echo(str(path))
