"""`tinyrefinery saliency`: what a network looked at, as pictures."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinyrefinery.cli.options import Like, Row, Seed, Stage, a_file, a_folder

if TYPE_CHECKING:
    from tinyrefinery.networks.data import NetworkData
    from tinyrefinery.networks.network import Network
    from tinyrefinery.saliency.look import Looker
    from tinyrefinery.saliency.picking import Picked
    from tinyrefinery.saliency.sheet import Shown


class Method(StrEnum):
    """How maps are made."""

    occlusion = "occlusion"
    integrated_gradients = "integrated_gradients"
    input_x_gradient = "input_x_gradient"
    gradient = "gradient"


class Of(StrEnum):
    """Whose maps they are."""

    said = "said"
    given = "given"


Out = Annotated[Path, typer.Option(help="PNG file to write.", callback=a_file)]


def saliency(
    run: Annotated[
        Path, typer.Argument(help="A run folder, a stage's folder, a network or ONNX file.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Other data, e.g. data.source.root=photos-of-this-week/."),
    ] = None,
    manifest_row: Annotated[
        list[int] | None,
        typer.Option(help="Show this image: its row in the data's manifest. Repeatable."),
    ] = None,
    test: Annotated[
        str | None, typer.Option(help="Images that speak against the network in this data test.")
    ] = None,
    tests: Annotated[Path, typer.Option(help="The file of data tests.")] = Path("data_tests.yaml"),
    split: Annotated[
        str, typer.Option(help="Whose surest mistakes: train, validation, test or any.")
    ] = "test",
    images: Annotated[int, typer.Option(min=1, max=500, help="Images at most.")] = 16,
    of: Annotated[Of, typer.Option(help="What speaks for what it said, or the given label.")] = (
        Of.said
    ),
    method: Annotated[
        Method, typer.Option(help="Occlusion works for every network; gradients need captum.")
    ] = Method.occlusion,
    window: Annotated[
        int | None, typer.Option(min=1, help="Side of a hidden patch; else a quarter of the input.")
    ] = None,
    stride: Annotated[
        int | None, typer.Option(min=1, help="From patch to patch; else half a patch.")
    ] = None,
    stage: Stage = None,
    seed: Seed = None,
    row: Row = None,
    like: Like = None,
    out: Out = Path("saliency.png"),
    overlays: Annotated[
        Path | None,
        typer.Option(help="Folder for each overlay as a PNG of its own.", callback=a_folder),
    ] = None,
) -> None:
    """Show what a network looked at: its surest mistakes, the failures of a test, or rows."""
    from tinyrefinery.cli.outcome import log_progress

    log_progress()
    from tinyrefinery.networks.opening import open_network
    from tinyrefinery.saliency.look import Looker, Way
    from tinyrefinery.saliency.sheet import write_overlays, write_sheet

    way = Way(method.value, window, stride)
    network = open_network(run, stage=stage, seed=seed, row=row, like=like)
    data, picked = _pick(network, overrides or [], manifest_row or [], test, tests, split, images)
    shown = _look(Looker(network, data, way), picked, of)
    unit = "probability" if method is Method.occlusion else "logit"
    head = _head(network.name, picked, of, method)
    write_sheet(out, shown, head, unit=unit, least=way.faint)
    for line in [*head, *([f"Overlays: {overlays}"] if overlays else []), f"Sheet: {out}"]:
        typer.echo(line)
    if overlays is not None:
        write_overlays(overlays, shown, least=way.faint)


def _head(name: str, picked: "Picked", of: Of, method: Method) -> list[str]:
    """What stands above a sheet: whose images, chosen how, and how to read them."""
    words = "what it said" if of is Of.said else "the given label"
    changed = "" if picked.how is None else f", with {picked.how.named()}"
    return [
        f"{name}: {picked.why}{changed}",
        f"source | network's input | {method.value.replace('_', ' ')}: orange speaks for {words}, "
        "purple against",
    ]


def _pick(
    network: "Network",
    overrides: list[str],
    rows: list[int],
    test: str | None,
    tests: Path,
    split: str,
    images: int,
) -> "tuple[NetworkData, Picked]":
    """The data, and the images of it that are shown."""
    from tinyrefinery.data_tests.session import run_tests
    from tinyrefinery.errors import DataError
    from tinyrefinery.saliency import picking

    if test is not None:
        if rows or overrides:
            raise DataError(
                "--test takes images and data from the file of tests; leave out rows and overrides"
            )
        session = run_tests(tests, network)
        return session.data, picking.failures_of(session, test, images)
    data = picking.data_to_show(network, overrides)
    if rows:
        return data, picking.given_rows(data, rows)
    return data, picking.surest_mistakes(network, data, split, images)


def _look(looker: "Looker", picked: "Picked", of: Of) -> "list[Shown]":
    """Ask the network about each image."""
    from tqdm import tqdm

    from tinyrefinery.saliency.sheet import Shown

    manifest, pixels = looker.data.manifest, looker.data.dataset.images.pixels
    names, paths = manifest.classes, manifest.column("path")
    shown = []
    for row in tqdm(picked.rows.tolist(), desc="saliency", disable=None, leave=False):
        label = int(manifest.labels[row])
        found = looker.look([row], picked.how, [label] if of is Of.given else None)
        said = int(found.probabilities[0].argmax())
        facts = (names[label], names[said], float(found.probabilities[0, said]))
        asked = names[int(found.classes[0])]
        pictures = (pixels(row), found.seen[0], found.maps[0])
        shown.append(Shown(row, str(paths[row]), *facts, asked, *pictures))
    return shown
