r"""Errors that a user can fix: each message names the thing, the place and the remedy.

Exit codes of `tinyrefinery`:

| code | meaning |
| --- | --- |
| 0 | success |
| 1 | a check failed: `test`, `audit`, `export`, `verify`, `bench`, `label`, a budget |
| 2 | bad input: command line, recipe, data, pictures, weights, label store or data-test file |
| 3 | training stopped: a network collapsed or its refiner is missing |
| 4 | a file or folder is not writable |
| 70 | a bug in Tiny Refinery: the traceback is printed |
| 130 | interrupted by Ctrl-C |
| 141 | the reader of the output went away, e.g. `\| head` |
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

CHECK_FAILED = 1
"""A check ran to its end and failed. Not an error of the input."""
DEFECT = 70
"""A bug of ours, as in sysexits.h. Python's own 1 would look like a failed check."""
INTERRUPTED = 130
"""Ctrl-C, as in shells: 128 + SIGINT."""
PIPE_CLOSED = 141
"""The reader of the output went away, as in shells: 128 + SIGPIPE."""


class RefineryError(Exception):
    """Base of every error that wrong input can cause; the command line prints it bare."""

    exit_code = 2


class RecipeError(RefineryError):
    """A recipe, table or override is wrong."""


class DataError(RefineryError):
    """A dataset can't be opened, or breaks a promise that training needs."""


def no_permission(error: PermissionError) -> DataError:
    """The message about a file or folder of the user's that may not be opened."""
    return DataError(
        f"{error.filename}: can't be opened ({error.strerror}). Change its permissions, or choose "
        "another place"
    )


class ChoiceError(DataError):
    """What is there can be read, but has no part of the name or number that was asked for."""


class CheckpointError(RefineryError):
    """A weights or state file is truncated, of another network, or of other classes."""


class LabelStoreError(RefineryError):
    """A label store is damaged, or holds other labels than are needed."""


class DataTestError(RefineryError):
    """A file of data tests is wrong, or one of its tests can't be judged."""


class ChainError(RefineryError):
    """The chain can't go on: a generation collapsed or its refiner is missing."""

    exit_code = 3


class BudgetError(RefineryError):
    """A network costs more than its budget allows."""

    exit_code = CHECK_FAILED


class StorageError(RefineryError):
    """A file is not writable: no space, no permission."""

    exit_code = 4


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
