"""`tinyrefinery saliency`: pictures of the pixels that drive a network's predictions."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tqdm import tqdm

from tinyrefinery.cli import streams
from tinyrefinery.cli.options import (
    DATA_TESTS,
    DataOverrides,
    Like,
    NetworkPath,
    Row,
    Seed,
    Stage,
    Tests,
    option,
    output_file,
    output_folder,
)
from tinyrefinery.cli.progress import log_progress
from tinyrefinery.errors import DataError
from tinyrefinery.saliency.sheet import ExplainedImage, write_overlays, write_sheet

if TYPE_CHECKING:
    from tinyrefinery.networks.network import Network
    from tinyrefinery.networks.network_data import NetworkData
    from tinyrefinery.saliency.explainer import Explainer
    from tinyrefinery.saliency.picking import Picked


class Method(StrEnum):
    """How maps are computed."""

    occlusion = "occlusion"
    integrated_gradients = "integrated_gradients"
    input_x_gradient = "input_x_gradient"
    gradient = "gradient"


class Of(StrEnum):
    """Which class maps explain."""

    predicted = "predicted"
    given = "given"


def saliency(
    run: NetworkPath,
    overrides: DataOverrides = None,
    manifest_row: Annotated[
        list[int] | None, option("N", "Row of the data's manifest to show, from 0. Repeatable.")
    ] = None,
    test: Annotated[str | None, option("NAME", "Show the errors of this data test.")] = None,
    tests: Tests = DATA_TESTS,
    split: Annotated[
        str, option("SPLIT", "Split of the errors: train, validation, test or any.")
    ] = "test",
    images: Annotated[
        int, option("N", "Maximum number of images, up to 500.", min=1, max=500)
    ] = 16,
    of: Annotated[
        Of, option("CLASS", "Class to explain: the predicted one, or the label (given).")
    ] = Of.predicted,
    method: Annotated[
        Method,
        option("METHOD", "occlusion, integrated_gradients, input_x_gradient or gradient."),
    ] = Method.occlusion,
    window: Annotated[
        int | None,
        option("PIXELS", "Side of a hidden patch.", default="a quarter of the input", min=1),
    ] = None,
    stride: Annotated[
        int | None, option("PIXELS", "Distance between patches.", default="half a patch", min=1)
    ] = None,
    stage: Stage = None,
    seed: Seed = None,
    row: Row = None,
    like: Like = None,
    out: Annotated[Path, output_file("PNG file to write.")] = Path("saliency.png"),
    overlays: Annotated[
        Path | None, output_folder("Folder for one PNG file per image.", shared=True)
    ] = None,
) -> None:
    """Show which pixels drive a model's predictions.

    The images are the most confident errors, or those of --test or --manifest-row. Occlusion
    works for every network. The other methods need gradients and captum.
    """
    log_progress()
    from tinyrefinery.networks.opening import open_network
    from tinyrefinery.saliency.explainer import Explainer, MapSettings

    settings = MapSettings(method.value, window, stride)
    network = open_network(run, stage=stage, seed=seed, row=row, like=like)
    data, picked = _pick(network, overrides or [], manifest_row or [], test, tests, split, images)
    explained = _explain(Explainer(network, data, settings), picked, of)
    unit = "probability" if method is Method.occlusion else "logit"
    head = _head(network.name, picked, of, method)
    write_sheet(out, explained, head, unit=unit, least=settings.full_strength)
    for line in [*head, *([f"Overlays: {overlays}"] if overlays else []), f"Sheet: {out}"]:
        streams.echo(line)
    if overlays is not None:
        write_overlays(overlays, explained, least=settings.full_strength)


def _head(name: str, picked: "Picked", of: Of, method: Method) -> list[str]:
    """The head of a sheet: the network, the choice of images, and how to read the overlays."""
    explained = "the prediction" if of is Of.predicted else "the label"
    changed = "" if picked.how is None else f", with {picked.how.named()}"
    return [
        f"{name}: {picked.why}{changed}",
        f"source | network's input | {method.value.replace('_', ' ')}: orange supports "
        f"{explained}, purple contradicts it",
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
    return data, picking.most_confident_errors(network, data, split, images)


def _explain(explainer: "Explainer", picked: "Picked", of: Of) -> list[ExplainedImage]:
    """Compute the map of each image."""
    manifest, pixels = explainer.data.manifest, explainer.data.dataset.images.pixels
    names, paths = manifest.classes, manifest.column("path")
    images = []
    for row in tqdm(picked.rows.tolist(), desc="saliency", disable=None, leave=False):
        label = int(manifest.labels[row])
        result = explainer.explain([row], picked.how, [label] if of is Of.given else None)
        predicted = int(result.probabilities[0].argmax())
        facts = (names[label], names[predicted], float(result.probabilities[0, predicted]))
        explained = names[int(result.classes[0])]
        pictures = (pixels(row), result.inputs[0], result.maps[0])
        images.append(ExplainedImage(row, str(paths[row]), *facts, explained, *pictures))
    return images
