"""Registries of names: look up an entry, check its options, suggest the nearest name."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from tinyrefinery.errors import RecipeError

T = TypeVar("T")


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """' Did you mean "x"?' if one of `names` is similar to `name`, else an empty text."""
    matches = get_close_matches(name, list(names), n=1)
    return f" Did you mean '{matches[0]}'?" if matches else ""


def look_up(kind: str, name: str, table: Mapping[str, T], more: str = "") -> T:
    """Return the entry of `table` under `name`.

    Args:
        kind: what the table holds, for the error message, e.g. "model".
        name: the name to look up.
        table: the entries by name.
        more: further valid names that the error message lists, as text.

    Raises:
        RecipeError: if there is no such name. Lists the nearest name and all valid ones.
    """
    if name in table:
        return table[name]
    choices = ", ".join([*table, *([more] if more else [])])
    raise RecipeError(f"no {kind} is named '{name}'.{did_you_mean(name, table)} Known: {choices}.")


def check_options(
    kind: str,
    name: str,
    function: Callable[..., Any],
    options: Mapping[str, Any],
    reserved: tuple[str, ...] = (),
) -> None:
    """Check that `function` accepts the user's options, before it is called.

    Args:
        kind: what the function makes, e.g. "loss".
        name: the user's name for `function`.
        function: the function that takes the options.
        options: options by name.
        reserved: parameters that the caller fills in. Users can't set them.

    Raises:
        RecipeError: if an option is unknown. Lists the nearest option and all valid ones.
    """
    parameters = inspect.signature(function).parameters
    allowed = [option for option in parameters if option not in reserved]
    for option in options:
        if option not in allowed:
            choices = f"Options: {', '.join(allowed)}." if allowed else "It has no options."
            hint = did_you_mean(option, allowed)
            raise RecipeError(f"{kind} '{name}' has no option '{option}'.{hint} {choices}")
