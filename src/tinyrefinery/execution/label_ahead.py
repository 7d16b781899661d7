"""Label crops ahead of training, into the label stores of a recipe."""

import logging
from collections.abc import Sequence
from pathlib import Path

from tinyrefinery.errors import RecipeError, did_you_mean
from tinyrefinery.execution.chosen_precision import with_chosen_precision
from tinyrefinery.execution.execute import describe, open_jobs, train_starts
from tinyrefinery.execution.jobs import train_jobs
from tinyrefinery.execution.processes import run_in_processes
from tinyrefinery.execution.stage_labels import JobLabels, crop_streams
from tinyrefinery.labels.store.store import LabelStore
from tinyrefinery.options.labels import Refined
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.runs.lock import locked
from tinyrefinery.runs.plan import Job

log = logging.getLogger("tinyrefinery")


def make_labels(
    recipe: Recipe,
    folder: Path,
    *,
    stages: Sequence[str] = (),
    streams: Sequence[int] | None = None,
    processes: int = 1,
) -> list[LabelStore]:
    """Label the crops of a recipe's stages; what is there already is kept.

    Args:
        recipe: some of its stages have labels with a `store`.
        folder: the run folder; refiners that aren't trained yet are trained there first.
        stages: ids of the stages whose crops to label; none: all that have a store.
        streams: which epochs' crops; None: all that the stage's training needs.
        processes: how many to label with.

    Returns:
        The store of each stage whose refiners are trained; `chain.stop_without_gain` may leave
        some out.

    Raises:
        RefineryError: for anything that the user can fix; what was labeled until then is kept.
    """
    stages = [_known(recipe, stage) for stage in stages] or stored_stages(recipe)
    with locked(folder):
        (given,) = with_chosen_precision([Job(recipe)], folder)
        ready = train_starts([given], folder)
        (job,), _ = open_jobs(ready, folder)
        for stage in stages:
            _check_streams(stage, streams, crop_streams(job.stages[stage]))
        describe(folder, [job], [given])
        needed = {name: job.planned[name].needs for name in stages}
        train_jobs([job], folder, only={near for names in needed.values() for near in names})
        # A chain may have ended before the refiners of some stages.
        possible = [
            name for name in stages if all(job.planned[near].is_done for near in needed[name])
        ]
        for stage in set(stages) - set(possible):
            log.info(f"{stage}: not labeled, since its refiner was not trained")
        if processes > 1:
            work = (ready[0].recipe, folder, possible, streams)
            run_in_processes(_make, [(*work, i, processes) for i in range(processes)], processes)
        _make(ready[0].recipe, folder, possible, streams, 0, 1)
        labels = JobLabels(job, folder)
        return [labels.stored(job.stages[stage]).store for stage in possible]


def _check_streams(stage: str, wanted: Sequence[int] | None, there: range) -> None:
    wrong = [stream for stream in wanted or () if stream not in there]
    if wrong:
        raise RecipeError(
            f"--streams: stage '{stage}' trains on streams {there.start}-{there.stop - 1} of "
            f"crops, so not on {wrong[0]}; see its epochs and crop_pool"
        )


def stored_stages(recipe: Recipe) -> list[str]:
    """Ids of the stages whose labels are kept in a store.

    Raises:
        RecipeError: when there is none.
    """
    stored = [
        stage.id
        for stage in recipe.generations
        if isinstance(stage.labels, Refined) and stage.labels.store is not None
    ]
    if not stored:
        refined = [s.id for s in recipe.generations if isinstance(s.labels, Refined)]
        example = refined[0] if refined else "ID"
        raise RecipeError(
            f"no stage of the recipe has a label store; name one, e.g. "
            f"stages.{example}.labels.store=labels/"
        )
    return stored


def _known(recipe: Recipe, stage: str) -> str:
    ids = stored_stages(recipe)
    if stage not in ids:
        raise RecipeError(
            f"--stage {stage}: no stage of this id has a label store.{did_you_mean(stage, ids)} "
            f"Those that have one: {', '.join(ids)}"
        )
    return stage


def _make(
    recipe: Recipe,
    folder: Path,
    stages: Sequence[str],
    streams: Sequence[int] | None,
    first: int,
    step: int,
) -> None:
    """Label every `step`-th stream from `first` on."""
    (job,), _ = open_jobs([Job(recipe)], folder)
    job.use_threads()
    for name in stages:
        stage = job.stages[name]
        labels = JobLabels(job, folder).stored(stage)
        for stream in (crop_streams(stage) if streams is None else streams)[first::step]:
            labels.store.get_or_create(
                stream, lambda labels=labels, stream=stream: labels.label_stream(stream)
            )
