"""`tinyrefinery share`: a network with all that belongs to it, in a folder or on the Hub."""

from pathlib import Path
from typing import Annotated

import typer

from tinyrefinery.cli import streams
from tinyrefinery.cli.options import (
    DataLicense,
    Exports,
    ModelLicense,
    Row,
    Seed,
    Stage,
    option,
)


def share(
    model: Annotated[str, typer.Argument(help="Run folder, stage folder or network file.")],
    target: Annotated[
        str, typer.Argument(help="New folder, or hf:USER/NAME on the Hugging Face Hub.")
    ],
    title: Annotated[
        str | None, option("TEXT", "Title of the card.", default="the target's name")
    ] = None,
    license: ModelLicense = None,
    data_license: DataLicense = None,
    exports: Exports = Path("exports"),
    private: Annotated[
        bool, typer.Option("--private", help="Make a new repository private.")
    ] = False,
    stage: Stage = None,
    seed: Seed = None,
    row: Row = None,
) -> None:
    """Publish a model with its card, artifacts and recipe.

    All of it is written or pushed at once, or nothing. Open it anywhere: hf:USER/NAME is a model
    for every command.
    """
    from tinyrefinery.networks.hub import is_on_hub, parse_hub_name
    from tinyrefinery.networks.opening import open_network
    from tinyrefinery.sharing.card_facts import card_facts
    from tinyrefinery.sharing.hub_upload import share_on_hub
    from tinyrefinery.sharing.shared_folder import share_folder

    on_hub = is_on_hub(target)
    name = parse_hub_name(target)[0].partition("/")[2] if on_hub else Path(target).resolve().name
    facts = card_facts(
        open_network(model, stage=stage, seed=seed, row=row),
        title=title or name,
        license=license,
        data_license=data_license,
        exports=[exports],
        address=target if on_hub else "",
    )
    if on_hub:
        shared = share_on_hub(facts, target, private=private)
    else:
        shared = share_folder(facts, Path(target).expanduser())
    streams.echo(f"{shared.place}: {', '.join(shared.files)}")
    for note in shared.notes:
        streams.echo(f"Note: {note}", err=True)
