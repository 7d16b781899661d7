"""Which networks are assessed, and on whose data."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tinyrefinery.errors import ChoiceError, RecipeError
from tinyrefinery.networks.choice import Seeds
from tinyrefinery.networks.hub import HUB
from tinyrefinery.networks.network import Network
from tinyrefinery.networks.opening import TIMM, open_networks
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.recipe.shipped import locate

_OVERRIDE = re.compile(r"[A-Za-z_][\w.-]*=")


def split_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Networks and overrides of one command line: `a.b=value` is an override unless it exists."""
    overrides = [word for word in words if _OVERRIDE.match(word) and not Path(word).exists()]
    return [word for word in words if word not in overrides], overrides


def find_student(word: str, refiners: Sequence[Network], seeds: Seeds = "lowest") -> Network:
    """The student: one of `refiners` where it is among them.

    Args:
        word: a stage of the first refiner's run, or as in `open_networks`.
        refiners: the refiners.
        seeds: of a stage, these seeds.

    Raises:
        DataError: when the word means nothing, or several networks.
    """
    runs = [network.run for network in refiners if network.run is not None]
    is_network = word.startswith((TIMM, HUB)) or Path(word.removeprefix("file:")).exists()
    if runs and not is_network:
        students = open_networks([runs[0]], stages=[word], seeds=seeds)
    else:
        students = open_networks([word])
    if len(students) != 1:
        names = ", ".join(student.name for student in students)
        raise ChoiceError(f"--student {word}: means {len(students)} networks ({names}). Name one")
    student = students[0]
    same = [network for network in refiners if network.source == student.source]
    if same:
        return same[0]
    taken = student.name in {network.name for network in refiners}
    return replace(student, name=student.source) if taken else student


def recipe_for(networks: Sequence[Network], named: str | None, overrides: Sequence[str]) -> Recipe:
    """The recipe whose data and crops networks are assessed on.

    Args:
        networks: the networks.
        named: a recipe's file or name; None: the recipe of the first network's run.
        overrides: changes to it.

    Raises:
        RecipeError: when there is none, or it is wrong.
    """
    if named is not None:
        return load_recipe(locate(named), overrides)
    files = [network.recipe_file for network in networks if network.recipe_file is not None]
    if not files:
        raise RecipeError(
            f"{networks[0].name}: on which data? Name a recipe, e.g. --recipe starter/cifar10 "
            "data.source.root=data/cifar10"
        )
    return load_recipe(files[0], overrides)
