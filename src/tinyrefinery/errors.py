"""Errors that a user can fix: each message names the thing, the place and the remedy.

Exit codes of `tinyrefinery`:

| code | meaning |
| --- | --- |
| 0 | success |
| 1 | a check failed: `test`, `audit`, or `label --max-error` |
| 2 | bad input: command line, recipe, data, weights, label store or data-test file |
| 3 | training stopped: a network collapsed or its refiner is missing |
| 4 | a file or folder is not writable |
| 70 | a bug in Tiny Refinery: the traceback is printed |
| 130 | interrupted by Ctrl-C |
"""

CHECK_FAILED = 1
"""A check ran to its end and failed. Not an error of the input."""
DEFECT = 70
"""A bug of ours, as in sysexits.h. Python's own 1 would look like a failed check."""
INTERRUPTED = 130
"""Ctrl-C, as in shells: 128 + SIGINT."""


class RefineryError(Exception):
    """Base of every error that wrong input can cause; the command line prints it bare."""

    exit_code = 2


class RecipeError(RefineryError):
    """A recipe, table or override is wrong."""


class DataError(RefineryError):
    """A dataset can't be opened, or breaks a promise that training needs."""


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


class StorageError(RefineryError):
    """A file can't be written: no space, no permission."""

    exit_code = 4
