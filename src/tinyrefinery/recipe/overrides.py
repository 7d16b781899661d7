"""Overrides `a.b=value`: changes to a recipe's plain data before it is checked."""

from copy import deepcopy
from typing import Any

from tinyrefinery.errors import RecipeError
from tinyrefinery.options.messages import hint
from tinyrefinery.recipe.document import parse


def apply(raw: dict[str, Any], overrides: tuple[str, ...] | list[str]) -> dict[str, Any]:
    """A copy of `raw` with each `path=value` set, in order.

    Elements of a list are addressed by their `id` (`stages.small.epochs=3`) and taken out by null
    (`stages.small=null`); the value is YAML; a mapping on the way that isn't there, or is null, is
    made. Checking keys is left to the schema.

    Raises:
        RecipeError: when an override has no `=`, its value is not YAML, or its path leads nowhere.
    """
    changed = deepcopy(raw)
    for override in overrides:
        path, equals, text = override.partition("=")
        steps = path.strip().split(".")
        if not equals or not all(steps):
            raise RecipeError(f"override '{override}': write path=value, e.g. seed=1")
        try:
            value = parse(text)
        except RecipeError as error:
            raise RecipeError(f"override '{override}': {error}") from error
        _set(changed, steps, value, override)
    return changed


def _set(raw: dict[str, Any], steps: list[str], value: Any, override: str) -> None:
    here: Any = raw
    for number, step in enumerate(steps[:-1]):
        if isinstance(here, list):
            here = here[_place(here, step, steps[:number], override)]
        elif isinstance(here, dict):
            if here.get(step) is None:
                here[step] = {}
            here = here[step]
        else:
            _dead_end(here, steps[:number], override)
    if isinstance(here, list):
        place = _place(here, steps[-1], steps[:-1], override)
        here[place : place + 1] = [] if value is None else [value]
    elif isinstance(here, dict):
        here[steps[-1]] = value
    else:
        _dead_end(here, steps[:-1], override)


def _place(elements: list[Any], name: str, path: list[str], override: str) -> int:
    """Position of the element with this id."""
    ids = [str(item["id"]) for item in elements if isinstance(item, dict) and "id" in item]
    for number, item in enumerate(elements):
        if isinstance(item, dict) and str(item.get("id")) == name:
            return number
    raise RecipeError(
        f"override '{override}': no element '{name}' in {'.'.join(path)} ({hint(name, ids)})"
    )


def _dead_end(value: Any, path: list[str], override: str) -> None:
    raise RecipeError(
        f"override '{override}': {'.'.join(path)} is {value!r}, which has no keys; "
        f"write {path[-1]} as a whole, e.g. {'.'.join(path)}={{...}}"
    )
