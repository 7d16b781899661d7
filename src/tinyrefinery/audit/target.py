"""What a command names, opened for an audit: a folder, Parquet files, a recipe or a run.

Pictures and Parquet files are opened without torch. Recipes and runs need it, so their imports are
in the functions that open them.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyrefinery.audit.evidence import Evidence, stage_evidence
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.open import open_data
from tinyrefinery.data.sources.folder import open_unlabeled
from tinyrefinery.errors import DataError, RecipeError
from tinyrefinery.networks.choice import Choice
from tinyrefinery.recipe.document import parse
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.recipe.shipped import locate
from tinyrefinery.runs.files import RECIPE, STAGES
from tinyrefinery.runs.run_folder import open_run, stage_folder_of

if TYPE_CHECKING:
    from tinyrefinery.models.network_file import NetworkInfo
    from tinyrefinery.networks.network import Network

_STARTER = "starter/folder"  # the recipe that docs suggest for a folder of pictures


@dataclass(frozen=True)
class Target:
    """A dataset to audit, and how to leave faulty images out."""

    name: str
    dataset: Dataset = field(repr=False)
    evidence: Evidence | None = field(default=None, repr=False)
    info: "NetworkInfo | None" = None
    """Of the run's network."""
    remedy: str = "leave out the images listed in {}"
    """How to leave out the images of a list; `{}` is the list's file."""


def open_target(
    target: str,
    options: Sequence[str],
    out: Path,
    choice: Choice = Choice(),  # noqa: B008  frozen
) -> Target:
    """Open what is to be audited.

    Args:
        target: a run folder, a stage's folder, a folder of pictures or of Parquet files, a Parquet
            file, a recipe's file, or the name of a shipped one.
        options: of a recipe or run, overrides; else options of the source, such as `group=home`.
        out: folder for the lists, as remedies name it.
        choice: of a run, the stage whose predictions and dynamics count.

    Raises:
        RefineryError: when it can't be opened.
    """
    path = Path(target).expanduser()
    if (path / STAGES).is_dir() and not open_run(path).stages:
        recipe = load_recipe(path / RECIPE, options)
        remedy = _remedy(str(path / RECIPE), out, recipe)
        return Target(target, _recipe_data(recipe), remedy=remedy)
    if (path / STAGES).is_dir() or stage_folder_of(path) == path.resolve():
        from tinyrefinery.networks.opening import open_network

        return _of_stage(target, open_network(path, **vars(choice)), options, out)
    if not choice.is_empty:
        raise DataError(f"{target}: is not a run folder, so leave out --stage, --seed and --row")
    if path.is_dir() or path.suffix == ".parquet":
        usual = {"resident": "never"} | _starter_splits(path)
        dataset = open_pictures(path, usual | source_options(options))
        return Target(target, dataset, remedy=_remedy("RECIPE", out))
    recipe = load_recipe(locate(target), options)
    return Target(target, _recipe_data(recipe), remedy=_remedy(target, out, recipe))


def _starter_splits(path: Path) -> dict[str, Any]:
    """The shares that the recipe for a folder of pictures splits off.

    So the audit looks at the splits that this recipe trains on.
    """
    if _holds_parquet(path):
        return {}
    source = load_recipe(locate(_STARTER)).data.source
    return {name: getattr(source, name) for name in ("validation", "test", "seed")}


def _holds_parquet(path: Path) -> bool:
    return path.suffix == ".parquet" or (path.is_dir() and any(path.glob("*.parquet")))


def _remedy(command: str, out: Path, recipe: Recipe | None = None) -> str:
    """How to leave out the images of a list. Data from Python code has no option for it."""
    if recipe is not None and not hasattr(recipe.data.source, "exclude"):
        return f"leave out the images listed in {_literal(str(out))}/{{}}"
    file, folder = (_literal(shlex.quote(each)) for each in (command, str(out)))
    return f"tinyrefinery run {file} data.source.exclude={folder}/{{}}"


def _literal(text: str) -> str:
    """Text that `format` leaves as it is."""
    return text.replace("{", "{{").replace("}", "}}")


def open_pictures(path: Path, options: dict[str, Any]) -> Dataset:
    """A folder of pictures, or Parquet files.

    Raises:
        DataError: when it can't be opened.
    """
    return open_data(**pictures_source(path, options))


def pictures_source(path: Path, options: dict[str, Any]) -> dict[str, Any]:
    """The `data.source` of a recipe for a folder of pictures, or for Parquet files."""
    if _holds_parquet(path):
        return {"name": "parquet", "path": str(path), **options}
    return {"name": "folder", "root": str(path), **options}


def source_options(pairs: Sequence[str]) -> dict[str, Any]:
    """Options of a source from `name=value`; values are read as YAML.

    Raises:
        DataError: when one has no `=`.
    """
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise DataError(f"'{pair}' is not an option of the source; expected e.g. group=home")
        try:
            found[name.removeprefix("data.source.")] = parse(value)
        except RecipeError as error:
            raise DataError(f"'{pair}': the value can't be read ({error})") from error
    return found


def _recipe_data(recipe: Recipe) -> Dataset:
    """The recipe's dataset, read from its files instead of memory if it has any."""
    from tinyrefinery import builders

    source = recipe.data.source
    if hasattr(source, "resident"):
        source = source.model_copy(update={"resident": "never"})
    return builders.dataset(recipe.data.model_copy(update={"source": source}))


def _of_stage(target: str, network: "Network", options: Sequence[str], out: Path) -> Target:
    """The data that a stage was trained on, with what its training recorded."""
    stage = network.stage
    assert stage is not None
    recipe = load_recipe(stage.recipe, options)
    evidence = stage_evidence(stage.folder, stage.label)
    remedy = _remedy(str(stage.recipe), out, recipe)
    return Target(target, _recipe_data(recipe), evidence, network.info, remedy)


def open_reference(path: Path, channels: int) -> Dataset:
    """Images of the device: class folders or Parquet files, or any folder of unlabeled pictures.

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
        return open_unlabeled(path, 3 if channels == 3 else 1)
