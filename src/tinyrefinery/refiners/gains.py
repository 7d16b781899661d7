"""Comparing the assessment of a run's refiners with the gains of their students."""

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
from tinyrefinery.refiners.verdict import advantage
from tinyrefinery.runs.run_folder import TrainedStage, open_run

GIVEN = "ground truth"

log = logging.getLogger("tinyrefinery")


@dataclass(frozen=True)
class StudentGain:
    """A student, its only refiner, and the same network trained on given labels."""

    refiner: TrainedStage
    student: TrainedStage
    plain: TrainedStage

    @property
    def split(self) -> str:
        """Split of the gain: test, else validation."""
        both = (self.student.evaluation, self.plain.evaluation)
        return "test" if all("test" in measures for measures in both) else "validation"

    @property
    def top1(self) -> tuple[float, float]:
        """Top-1 of student and plain network, 0 to 1."""
        student, plain = (s.evaluation[self.split]["top1"] for s in (self.student, self.plain))
        return student, plain

    @property
    def gain(self) -> float:
        """Top-1 of the student minus that of the plain network, -1 to 1."""
        student, plain = self.top1
        return student - plain


def student_gains(run: Path, plain: str | None = None) -> list[StudentGain]:
    """Find all stages of a run that learned from exactly one network of the run.

    Args:
        run: a run folder.
        plain: id of the stage to compare students with. By default, it is the one with the
            student's seed and architecture, and given labels.

    Raises:
        DataError: when there is no such stage, or more than one, or no student.
    """
    stages = open_run(run).stages
    by_key = {stage.key: stage for stage in stages}
    case = [
        StudentGain(by_key[stage.refiners[0]], stage, _plain(run, stages, stage, plain))
        for stage in stages
        if len(stage.refiners) == 1 and stage.refiners[0] in by_key
    ]
    if not case:
        raise DataError(
            f"{run}: no finished stage learned from another stage: give a run with refiner and "
            "student, such as that of `tinyrefinery demo`"
        )
    return case


def _plain(
    run: Path, stages: Sequence[TrainedStage], student: TrainedStage, name: str | None
) -> TrainedStage:
    """The stage to compare a student with, preferably of a row of the student."""

    def is_plain(stage: TrainedStage) -> bool:
        """Whether it has the given name, or by default the architecture and given labels."""
        if name is not None:
            return stage.stage == name
        return stage.labels == GIVEN and stage.model == student.model

    candidates = [stage for stage in stages if stage.seed == student.seed and is_plain(stage)]
    candidates = [s for s in candidates if set(s.rows) & set(student.rows)] or candidates
    if len(candidates) != 1:
        names = ", ".join(dict.fromkeys(stage.stage for stage in candidates)) or "none"
        raise DataError(
            f"{run}: can't choose the stage to compare '{student.stage}' (seed {student.seed}) "
            f"with. Candidates with its architecture and given labels: {names}. Name one with "
            "--plain STAGE"
        )
    return candidates[0]


def gain_lines(
    run: Path, recipe: Recipe, options: Options, plain: str | None = None
) -> Iterator[dict[str, Any]]:
    """Assess a run's refiners and compute lines of refiner-gains.csv, one per refiner and student.

    The refiners of a seed are assessed on the same crops, which none of them was trained on. See
    `gains_report.COLUMNS`.

    Raises:
        RefineryError: see `student_gains` and `assess`.
    """
    cases = student_gains(run, plain)
    for seed in sorted({case.student.seed for case in cases}):
        of_seed = [case for case in cases if case.student.seed == seed]
        folders = dict.fromkeys(str(case.refiner.folder) for case in of_seed)
        plains = dict.fromkeys(str(case.plain.folder) for case in of_seed)
        networks = open_networks(list(folders | plains))
        targets, students = networks[: len(folders)], networks[len(folders) :]
        log.info(f"seed {seed}: {len(targets)} refiners of {len(of_seed)} students")
        with_seed = recipe.model_copy(update={"seed": seed})
        assessment = assess(targets, with_seed, options, students)
        names = {network.source: network.name for network in networks}
        pairs = Counter((case.refiner.stage, case.student.stage) for case in of_seed)
        for case in of_seed:
            repeated = pairs[case.refiner.stage, case.student.stage] > 1
            row = case.student.rows[0] if repeated and case.student.rows else ""
            yield {"row": row, **_line(case, names, assessment)}


def _line(case: StudentGain, names: Mapping[str, str], assessment: Assessment) -> dict[str, Any]:
    name, student = (names[f"file:{stage.network}"] for stage in (case.refiner, case.plain))
    measures = assessment.measured[name].measures
    lead = advantage(assessment.measured[name], assessment.measured[student])
    place = next(place for place in assessment.ranking.places if place.name == name)
    train, unseen = measures["train_crops"], measures["validation_crops"]
    truth = measures["crop_truth"].get("labels", {})
    student_top1, plain_top1 = case.top1
    return {
        "run": case.refiner.run,
        "refiner": case.refiner.stage,
        "seed": case.refiner.seed,
        "model": case.refiner.model,
        "verdict": assessment.verdict(name, student).grade,
        "place": place.place,
        "truth_kl": truth.get("kl"),
        "unseen_less_gap": 2 * unseen["top1"] - train["top1"],
        "unseen_top1": unseen["top1"],
        "train_top1": train["top1"],
        "ahead": lead.top1,
        "ahead_error": lead.standard_error,
        "whole_top1": measures["validation"]["top1"],
        "gap": measures["gap"]["top1"],
        "memorized": measures["gap"]["top1"] / train["top1"] if train["top1"] else 0.0,
        "unseen_nll": unseen["nll"],
        "ece": unseen["ece"],
        "open_classes": train["effective_classes"],
        "crops_differ": train["pairs_disagree"],
        "student": case.student.stage,
        "plain": case.plain.stage,
        "split": case.split,
        "student_top1": student_top1,
        "plain_top1": plain_top1,
        "gain": case.gain,
    }
