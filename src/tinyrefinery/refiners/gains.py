"""What a run's refiners were said to be worth, beside what those who learned from them gained."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyrefinery.errors import DataError
from tinyrefinery.networks.opening import open_networks
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.refiners.assessment import Assessment, Options, assess
from tinyrefinery.refiners.verdict import ahead
from tinyrefinery.runs.folder import TrainedStage, open_run

GIVEN = "ground truth"

say = logging.getLogger("tinyrefinery").info


@dataclass(frozen=True)
class Lesson:
    """A network that learned from one refiner, and its like that learned from given labels."""

    refiner: TrainedStage
    student: TrainedStage
    plain: TrainedStage

    @property
    def split(self) -> str:
        """Where the gain shows: the test split, or validation where there is none."""
        both = (self.student.evaluation, self.plain.evaluation)
        return "test" if all("test" in each for each in both) else "validation"

    @property
    def gain(self) -> float:
        """Top-1 of the student minus that of its like, -1 to 1."""
        top1 = [each.evaluation[self.split]["top1"] for each in (self.student, self.plain)]
        return top1[0] - top1[1]


def lessons(run: Path, plain: str | None = None) -> list[Lesson]:
    """All stages of a run that learned from one of its networks alone, seed by seed.

    Args:
        run: a run folder.
        plain: id of the stage that gains are measured against; None: the one with the student's
            seed and architecture, and given labels.

    Raises:
        DataError: when there is no such stage, more than one, or nothing was refined.
    """
    stages = open_run(run).stages
    by_key = {each.key: each for each in stages}
    found = [
        Lesson(by_key[each.refiners[0]], each, _plain(run, stages, each, plain))
        for each in stages
        if len(each.refiners) == 1 and each.refiners[0] in by_key
    ]
    if not found:
        raise DataError(
            f"{run}: no finished stage learned from another one; a refiner's verdict is set beside "
            "gains in a run with both, e.g. of `tinyrefinery demo`"
        )
    return found


def _plain(
    run: Path, stages: Sequence[TrainedStage], student: TrainedStage, wanted: str | None
) -> TrainedStage:
    alike = [
        each for each in stages if each.seed == student.seed and _is_plain(each, student, wanted)
    ]
    found = [each for each in alike if set(each.rows) & set(student.rows)] or alike
    if len(found) != 1:
        named = ", ".join(dict.fromkeys(each.stage for each in found)) or "none"
        raise DataError(
            f"{run}: against what is the gain of '{student.stage}' (seed {student.seed}) measured? "
            f"Stages of its architecture with given labels: {named}. Name one with --plain STAGE"
        )
    return found[0]


def _is_plain(each: TrainedStage, student: TrainedStage, wanted: str | None) -> bool:
    if wanted is not None:
        return each.stage == wanted
    return each.labels == GIVEN and each.model == student.model


def gain_lines(
    run: Path, recipe: Recipe, options: Options, plain: str | None = None
) -> Iterator[dict[str, Any]]:
    """Lines of refiner-gains.csv, see `reports.refiner_gains.COLUMNS`: one a refiner and student.

    The refiners of a seed are looked at on the same crops, which none of them was trained on.

    Raises:
        RefineryError: as `lessons` and `assess`.
    """
    taught = lessons(run, plain)
    for seed in sorted({each.student.seed for each in taught}):
        mine = [each for each in taught if each.student.seed == seed]
        folders = dict.fromkeys(str(each.refiner.folder) for each in mine)
        plains = dict.fromkeys(str(each.plain.folder) for each in mine)
        everyone = open_networks(list(folders | plains))
        targets, others = everyone[: len(folders)], everyone[len(folders) :]
        own = recipe.model_copy(update={"seed": seed})
        say(f"seed {seed}: {len(targets)} refiners of {len(mine)} students")
        assessment = assess(targets, own, options, others)
        names = {each.source: each.name for each in everyone}
        pairs = Counter((each.refiner.stage, each.student.stage) for each in mine)
        for lesson in mine:
            twice = pairs[lesson.refiner.stage, lesson.student.stage] > 1
            row = lesson.student.rows[0] if twice and lesson.student.rows else ""
            yield {"row": row, **_line(lesson, names, assessment)}


def _line(lesson: Lesson, names: Mapping[str, str], found: Assessment) -> dict[str, Any]:
    name, student = (names[f"file:{each.network}"] for each in (lesson.refiner, lesson.plain))
    measures = found.measured[name].measures
    over = ahead(found.measured[name], found.measured[student])
    place = next(each for each in found.ranking.places if each.name == name)
    train, unseen = measures["train_crops"], measures["validation_crops"]
    truth = measures["crop_truth"].get("labels", {})
    top1 = [each.evaluation[lesson.split]["top1"] for each in (lesson.student, lesson.plain)]
    return {
        "run": lesson.refiner.run,
        "refiner": lesson.refiner.stage,
        "seed": lesson.refiner.seed,
        "model": lesson.refiner.model,
        "verdict": found.verdict(name, student).grade,
        "place": place.place,
        "truth_kl": truth.get("kl"),
        "unseen_less_by_heart": 2 * unseen["top1"] - train["top1"],
        "unseen_top1": unseen["top1"],
        "train_top1": train["top1"],
        "ahead": over.top1,
        "ahead_error": over.standard_error,
        "whole_top1": measures["validation"]["top1"],
        "gap": measures["gap"]["top1"],
        "by_heart": measures["gap"]["top1"] / train["top1"] if train["top1"] else 0.0,
        "unseen_nll": unseen["nll"],
        "ece": unseen["ece"],
        "open_classes": train["effective_classes"],
        "crops_differ": train["pairs_disagree"],
        "student": lesson.student.stage,
        "plain": lesson.plain.stage,
        "split": lesson.split,
        "student_top1": top1[0],
        "plain_top1": top1[1],
        "gain": lesson.gain,
    }
