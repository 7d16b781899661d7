"""How an int8 LiteRT file is made, as far as its cost depends on it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tinyrefinery.options.budget import Budget


@dataclass(frozen=True)
class FileForm:
    """What is done for small memory. Only `scaled` changes predictions, by rounding."""

    scaled: bool = False
    """Whether the scale and the zero point of the input stand for the normalization, whose mean is
    then rounded to a whole pixel value. Else an operator normalizes, which needs another map of the
    size of the image."""
    placed: bool = True
    """Whether the file states a place in memory for every activation. Then the uint8 image and the
    int8 image share one, and the planner of LiteRT for Microcontrollers leaves no gaps. Vela keeps
    such places for other tensors, so that its output would not run."""
    wide: bool = False
    """Whether convolutions with padding that LiteRT has no scheme for get a row and a column of
    zeros, with which it has. Else their input is copied into a padded map. More
    multiply-accumulates, less memory."""


def forms_of(budget: Budget, mean: Sequence[float], std: Sequence[float]) -> tuple[FileForm, ...]:
    """The forms that a file may take. The first one that keeps the budget is taken, else the first.

    Args:
        budget: of the file.
        mean: of each channel, black to white being 0 to 1.
        std: of each channel.
    """
    usual = FileForm(scaled=is_one_scale(mean, std), placed=budget.cycles is None)
    return (usual,) if budget.ram is None else (usual, replace(usual, wide=True))


def is_one_scale(mean: Sequence[float], std: Sequence[float]) -> bool:
    """Whether one scale and one zero point stand for the normalization of all channels."""
    return len(set(mean)) == len(set(std)) == 1 and 0 <= mean[0] <= 1
