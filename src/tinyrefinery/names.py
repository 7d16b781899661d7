"""Tables of names: look a name up, check the options given with it, and say what is near."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from tinyrefinery.errors import RecipeError

T = TypeVar("T")


def nearest(name: str, known: Iterable[str]) -> str:
    """' Did you mean "x"?' when a known name is near, else nothing."""
    close = get_close_matches(name, list(known), n=1)
    return f" Did you mean '{close[0]}'?" if close else ""


def look_up(kind: str, name: str, table: Mapping[str, T], also: str = "") -> T:
    """The table's entry of that name.

    Args:
        kind: what the table holds, as the error names it, e.g. "model".
        name: the name to look up.
        table: the names that are known.
        also: what the caller knows besides, for the message.

    Raises:
        RecipeError: naming the nearest name and all others.
    """
    if name in table:
        return table[name]
    known = ", ".join([*table, *([also] if also else [])])
    raise RecipeError(f"no {kind} is named '{name}'.{nearest(name, table)} Known: {known}.")


def check_options(
    kind: str,
    name: str,
    function: Callable[..., Any],
    options: Mapping[str, Any],
    given: tuple[str, ...] = (),
) -> None:
    """Refuse options that `function` doesn't take, before it is called.

    Args:
        kind: what the name stands for, e.g. "loss".
        name: the name under which the user knows `function`.
        function: what the options are for.
        options: options by name.
        given: parameters that the caller fills in, hence not the user's to set.

    Raises:
        RecipeError: naming the option, the nearest one and all others.
    """
    known = [option for option in inspect.signature(function).parameters if option not in given]
    for option in options:
        if option not in known:
            takes = f"It takes: {', '.join(known)}." if known else "It takes no options."
            raise RecipeError(
                f"{kind} '{name}' has no option '{option}'.{nearest(option, known)} {takes}"
            )
