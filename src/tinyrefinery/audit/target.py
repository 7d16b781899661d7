"""What a command names, opened for an audit: a folder, Parquet files, a recipe or a run."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import nn

from tinyrefinery import builders
from tinyrefinery.audit.evidence import Evidence, stage_evidence
from tinyrefinery.audit.unrecognizable import Hardness, hardness
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.open import open_data
from tinyrefinery.data.sources.folder import open_unlabeled
from tinyrefinery.data.splits import SPLIT_WORDS
from tinyrefinery.errors import CheckpointError, DataError
from tinyrefinery.evaluation.predictions import predict
from tinyrefinery.labels.refiner import Refiner
from tinyrefinery.models.network_file import NetworkInfo, load_network, read_info
from tinyrefinery.networks.view import measuring_view
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.recipe.shipped import locate
from tinyrefinery.runs.folder import TrainedStage, open_run
from tinyrefinery.runs.places import RECIPE, stages_called


@dataclass(frozen=True)
class Target:
    """A data set to audit, and how what is wrong with it is left out."""

    name: str
    dataset: Dataset = field(repr=False)
    evidence: Evidence | None = field(default=None, repr=False)
    info: NetworkInfo | None = None
    """Of the run's network."""
    mend: str = "leave out what stands in {}"


def open_target(target: str, options: Sequence[str], out: Path, stage: str | None = None) -> Target:
    """Open what is to be audited.

    Args:
        target: a run folder, a folder of pictures or of Parquet files, a Parquet file, a recipe's
            file, or the name of a shipped one.
        options: of a recipe or run, overrides; else options of the source, such as `group=home`.
        out: folder for the lists, as remedies name it.
        stage: of a run, whose predictions and dynamics count; the last finished one by default.

    Raises:
        RefineryError: when it can't be opened.
    """
    path = Path(target).expanduser()
    if (path / "stages").is_dir():
        return _open_run(path, options, out, stage)
    if stage is not None:
        raise DataError(f"{target}: --stage names a stage of a run folder; this is none")
    if path.is_dir() or path.suffix == ".parquet":
        dataset = open_pictures(path, {"resident": "never"} | source_options(options))
        return Target(target, dataset, mend=_mend("RECIPE", out))
    recipe = load_recipe(locate(target), options)
    return Target(target, _recipe_data(recipe), mend=_mend(target, out, recipe))


def _mend(command: str, out: Path, recipe: Recipe | None = None) -> str:
    """How a list of images is left out; data handed over by Python code can't leave any out."""
    if recipe is not None and not hasattr(recipe.data.source, "exclude"):
        return f"leave out what stands in {_literal(str(out))}/{{}}"
    recipe_word, place = (_literal(shlex.quote(each)) for each in (command, str(out)))
    return f"tinyrefinery run {recipe_word} data.source.exclude={place}/{{}}"


def _literal(text: str) -> str:
    """Text that `format` leaves as it is."""
    return text.replace("{", "{{").replace("}", "}}")


def open_pictures(path: Path, options: dict[str, Any]) -> Dataset:
    """A folder of pictures, or Parquet files.

    Raises:
        DataError: when it can't be opened.
    """
    if path.suffix == ".parquet" or (path.is_dir() and any(path.glob("*.parquet"))):
        return open_data("parquet", path=_split_files(path), **options)
    return open_data("folder", root=str(path), **options)


def _split_files(path: Path) -> str | dict[str, str]:
    """Files called after splits, as mapping; else all of the folder."""
    if path.is_file():
        return str(path)
    named: dict[str, str] = {}
    for file in sorted(path.glob("*.parquet")):
        word = file.stem.split("-")[0].lower()
        if word not in SPLIT_WORDS:
            return str(path)
        named[SPLIT_WORDS[word]] = str(path / f"{file.stem.split('-')[0]}*.parquet")
    return named if "train" in named else str(path)


def source_options(pairs: Sequence[str]) -> dict[str, Any]:
    """Options of a source from `name=value`; values are read as YAML.

    Raises:
        DataError: when one has no `=`.
    """
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise DataError(f"'{pair}' is no option of the source; expected e.g. group=home")
        try:
            found[name.removeprefix("data.source.")] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise DataError(f"'{pair}': the value can't be read ({error})") from error
    return found


def _recipe_data(recipe: Recipe) -> Dataset:
    """The recipe's data set with its files at hand, where it has any."""
    source = recipe.data.source
    if hasattr(source, "resident"):
        source = source.model_copy(update={"resident": "never"})
    return builders.dataset(recipe.data.model_copy(update={"source": source}))


def _open_run(path: Path, options: Sequence[str], out: Path, stage: str | None) -> Target:
    finished = open_run(path).stages
    recipe = load_recipe(path / RECIPE, options)
    dataset, mend = _recipe_data(recipe), _mend(str(path / RECIPE), out, recipe)
    if not finished:
        return Target(str(path), dataset, mend=mend)
    chosen = _stage(path, finished, stage)
    title = f"{chosen.stage} (seed {chosen.seed})"
    info = read_info(chosen.file)
    return Target(str(path), dataset, stage_evidence(chosen.folder, title), info, mend)


def _stage(path: Path, finished: Sequence[TrainedStage], wanted: str | None) -> TrainedStage:
    if wanted is None:
        seed = min(each.seed for each in finished)
        return [each for each in finished if each.seed == seed][-1]
    return stages_called(path, finished, [wanted])[0]


def open_reference(path: Path, channels: int) -> Dataset:
    """Images of the device: class folders or Parquet files, or any folder of unlabelled pictures.

    Raises:
        DataError: when there is no image.
    """
    options: dict[str, Any] = {"resident": "never", "validation": 0.0, "channels": channels}
    if not path.exists():
        raise DataError(f"{path}: no such folder or file of reference images")
    try:
        return open_pictures(path, options)
    except DataError:
        if not path.is_dir():
            raise
        return open_unlabeled(path, resident="never", channels=3 if channels == 3 else 1)


def answers_of(
    name: str, network: nn.Module, info: NetworkInfo, dataset: Dataset, recipe: Recipe | None = None
) -> Evidence:
    """What a network says of the test images, else of validation or training.

    Args:
        name: of the network, for people.
        network: normalized images -> logits, on the CPU.
        info: what is known of it.
        dataset: the images.
        recipe: says how evaluation crops are made; None: the whole image at the network's size.

    Raises:
        CheckpointError: when it takes images of other channels, or knows other classes.
    """
    view = measuring_view(info, dataset, recipe, torch.device("cpu"), name)
    splits = [s for s in ("test", "validation", "train") if len(dataset.manifest.rows(s))]
    rows = dataset.manifest.rows(splits[0])
    predictions = predict(network, view, rows)
    return Evidence(f"{name} on {splits[0]}", predictions)


def hardness_of(file: Path, dataset: Dataset, size: tuple[int, int]) -> Hardness:
    """What a refiner file says of all images, at its own size and reduced to `size`.

    Raises:
        CheckpointError: when it can't be read, sees images no larger than `size`, or knows other
            classes.
    """
    network, info = load_network(file)
    view = measuring_view(info, dataset, None, torch.device("cpu"), str(file))
    if info.classes != dataset.classes:
        raise CheckpointError(
            f"{file}: knows {list(info.classes)[:5]}, but the data has {list(dataset.classes)[:5]}"
        )
    if min(info.size) <= min(size):
        raise CheckpointError(
            f"{file}: sees images of {info.size[0]}x{info.size[1]}, which is no more than the "
            f"input size {size[0]}x{size[1]}; give a refiner that sees them larger"
        )
    refiner = Refiner([network], batch_norm="running")
    rows = np.arange(len(dataset.manifest))
    return hardness(refiner, view, rows, size)
