"""Train candidates for a short time, and tell which is better on the validation pictures.

The test pictures are not among the data here, so nothing is chosen on them.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.manifest import NEW
from tinyrefinery.execution.execute import run
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.runs.plan import Job
from tinyrefinery.runs.run_folder import open_run

GIVEN, REFINED = "given", "refined"
"""Where labels come from."""


@dataclass(frozen=True)
class Trial:
    """One short training, and how well it did on the validation pictures."""

    candidate: str
    epochs: int
    labels: str
    """`GIVEN` or `REFINED`."""
    variant: str
    """What was changed about the crops."""
    top1: float
    """Share of the validation pictures that are predicted right."""
    nll: float
    """Negative log-likelihood of their labels, in nats."""
    seconds: float
    """Of the training."""

    @property
    def seconds_per_epoch(self) -> float:
        """Of the training."""
        return self.seconds / self.epochs

    def as_dict(self) -> dict[str, Any]:
        """For a file."""
        return asdict(self)


def train_trial(
    recipe: Recipe,
    folder: Path,
    data: Dataset,
    *,
    candidate: str,
    labels: str = GIVEN,
    variant: str = "",
) -> Trial:
    """Train a recipe of one stage, or read back what was trained.

    Args:
        recipe: from `fit_recipes`.
        folder: of the run.
        data: without test pictures.
        candidate: its name.
        labels: where they come from.
        variant: what was changed about the crops.

    Raises:
        RefineryError: for anything that the user can fix.
    """
    with _quiet():
        run([Job(recipe)], folder, data=data)
    stage = open_run(folder).stages[-1]
    found = stage.evaluation["validation"]
    return Trial(
        **{"candidate": candidate, "labels": labels, "variant": variant},
        epochs=recipe.stages[0].epochs,
        top1=float(found["top1"]),
        nll=float(found["nll"]),
        seconds=sum(float(line["seconds"]) for line in stage.metrics),
    )


def without_test(data: Dataset) -> Dataset:
    """A dataset whose test pictures belong to no split.

    They keep their rows, so that a recipe on all pictures draws the same crops.
    """
    splits = data.manifest.column("split").astype(object)
    splits[splits == "test"] = NEW
    return replace(data, manifest=data.manifest.with_splits(splits.tolist()))


def ranked(trials: Iterable[Trial]) -> list[Trial]:
    """Trials of the same kind of labels from the best to the worst.

    By the sum of their places in accuracy and in log-likelihood: accuracy is what counts, but on a
    few hundred pictures it is coarse, and the likelihood is less so.
    """
    given = list(trials)
    places = {id(each): 0.0 for each in given}
    for value in (lambda each: -each.top1, lambda each: each.nll):
        for each in given:
            places[id(each)] += sum(value(other) < value(each) for other in given)
            places[id(each)] += sum(value(other) == value(each) for other in given) / 2
    return sorted(given, key=lambda each: (places[id(each)], -each.top1, each.nll))


def is_better(trial: Trial, than: Trial) -> bool:
    """Whether a trial is ahead both in accuracy (or equal) and in log-likelihood."""
    return trial.top1 >= than.top1 and trial.nll < than.nll


@contextmanager
def _quiet():
    """Leave out what a training reports: there are many."""
    log = logging.getLogger("tinyrefinery")
    level = log.level
    log.setLevel(max(level, logging.ERROR))
    try:
        yield
    finally:
        log.setLevel(level)


@contextmanager
def without_warnings(about: str):
    """Leave out warnings with these words, whose advice is about options of a recipe."""
    log = logging.getLogger("tinyrefinery")

    def is_other(record: logging.LogRecord) -> bool:
        """Whether a record is to be shown."""
        return about not in record.getMessage()

    log.addFilter(is_other)
    try:
        yield
    finally:
        log.removeFilter(is_other)


Say = Callable[[str], object]
"""Takes a line of progress."""


def table_of(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """Trials for a file."""
    return [each.as_dict() for each in trials]
