"""The recipes that come with the package, installed or in a source tree."""

from difflib import get_close_matches
from pathlib import Path

from tinyrefinery.errors import RecipeError

_PACKAGE = Path(__file__).parents[1]


def shipped_folder() -> Path:
    """The folder of shipped recipes: `_recipes` of the installed package, else the source tree's.

    Raises:
        RecipeError: when neither is there.
    """
    for folder in (_PACKAGE / "_recipes", _PACKAGE.parents[1] / "recipes"):
        if folder.is_dir():
            return folder
    raise RecipeError(f"no shipped recipes beside {_PACKAGE}; install the package again")


def recipes_in(folder: Path) -> list[Path]:
    """Every YAML file in a folder and its subfolders, sorted; none where there is no folder.

    Files of data tests, whose names end in `data_tests`, may be beside recipes.
    """
    files = [*folder.rglob("*.yaml"), *folder.rglob("*.yml")]
    recipes = (path for path in files if not path.stem.endswith("data_tests"))
    return sorted(path for path in recipes if path.is_file())


def locate(name: str | Path) -> Path:
    """The file that a user means by a path or by a shipped recipe's name.

    `recipes/starter/folder.yaml`, `starter/folder.yaml` and `starter/folder` all mean the shipped
    recipe, unless the path as it stands exists.

    Raises:
        RecipeError: when there is none, naming the nearest shipped ones.
    """
    path = Path(name)
    if path.exists():
        return path
    folder = shipped_folder()
    parts = path.parts[1:] if path.parts[:1] == ("recipes",) else path.parts
    inside = Path(*parts).with_suffix(".yaml") if parts and not path.is_absolute() else None
    if inside is not None and ".." not in parts and (folder / inside).is_file():
        return folder / inside
    known = [file.relative_to(folder).with_suffix("").as_posix() for file in recipes_in(folder)]
    wanted = Path(*parts).with_suffix("").as_posix() if parts else ""
    near = get_close_matches(wanted, known, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "`tinyrefinery recipe list` lists them"
    raise RecipeError(f"{name}: no such file, and no shipped recipe of that name ({hint})")
