"""The part of `recipe check` on refiners from outside: files, and with --deep classes."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tinyrefinery.errors import RecipeError
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.runs.lineage import refiners_of, split_weights

FILE = "file:"


def check_files(recipes: Sequence[Recipe], source: str) -> None:
    """Refuse recipes whose refiners name files that are not there. No file is opened.

    Args:
        recipes: what to check.
        source: the file, which starts the error's lines.

    Raises:
        RecipeError: with a line for each missing file.
    """
    raise_all(
        f"{source}: stages.{stage.id}.labels.by: '{name}': there is no such file "
        f"({place.absolute()}). Correct the path, which starts from the folder where you run the "
        "command, or put the file there"
        for recipe in recipes
        for stage in recipe.stages
        for name in refiners_of(stage)
        if (place := _file_of(name)) is not None and not place.exists()
    )


def _file_of(refiner: str) -> Path | None:
    """The file that a refiner is read from: a network, or weights of a model of timm."""
    if refiner.startswith(FILE):
        return Path(refiner.removeprefix(FILE)).expanduser()
    return split_weights(refiner)[1]


def check_networks(recipes: Sequence[Recipe], source: str) -> str:
    """Open each refiner from outside, and compare its classes with the data's.

    Args:
        recipes: what to check; what several of them name is opened once.
        source: the file, which starts the error's lines.

    Returns:
        What a user must know of good refiners, e.g. `, net.onnx can't predict cat`.

    Raises:
        RecipeError: with a line for each mistake, or when torch is missing.
    """
    if not any(":" in name for r in recipes for stage in r.stages for name in refiners_of(stage)):
        return ""
    try:
        from tinyrefinery.execution.outside_refiners import RefinerCheck
    except ImportError as error:
        raise RecipeError(f"{source}: --deep needs torch, which is not installed") from error
    check = RefinerCheck()
    for recipe in recipes:
        check.check(recipe)
    raise_all(f"{source}: {text}" for text in check.mistakes)
    return "".join(f", {note}" for note in check.notes)


def raise_all(mistakes: Iterable[str]) -> None:
    """Raise one error with a line for each different mistake, if there is any.

    Raises:
        RecipeError: if there is one.
    """
    if lines := list(dict.fromkeys(mistakes)):
        raise RecipeError("\n".join(lines))
