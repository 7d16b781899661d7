"""Errors that a user can fix. Each message names what is wrong, where, and what to do."""


class RefineryError(Exception):
    """Base of all errors caused by wrong input. The CLI prints the message without a traceback."""

    exit_code = 2


class RecipeError(RefineryError):
    """A recipe, table or override is invalid."""


class DataError(RefineryError):
    """A data set can't be opened or doesn't meet the requirements for training."""


class ChoiceError(DataError):
    """The input is readable but lacks the requested part, such as a stage or a seed."""


class CheckpointError(RefineryError):
    """A weights or state file is truncated, or belongs to another network or other classes."""


class LabelStoreError(RefineryError):
    """A label store is damaged or holds labels for another purpose."""


class DataTestError(RefineryError):
    """A data-test file is invalid, or one of its tests can't be evaluated."""


class ChainError(RefineryError):
    """The chain can't continue: a generation collapsed or its refiner is missing."""

    exit_code = 3


class StorageError(RefineryError):
    """A file can't be written, for example for lack of space or permission."""

    exit_code = 4
