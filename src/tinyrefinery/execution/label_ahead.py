"""Label crops ahead of training, into the label stores of a recipe."""

from collections.abc import Sequence
from pathlib import Path

from tinyrefinery.errors import RecipeError
from tinyrefinery.execution.processes import side_by_side
from tinyrefinery.execution.recipe_run import Job, say
from tinyrefinery.execution.run import alone, begun, describe, open_runs, run_all
from tinyrefinery.labels.store.store import LabelStore
from tinyrefinery.names import did_you_mean
from tinyrefinery.recipe.labels import Refined
from tinyrefinery.recipe.schema import Recipe


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
        RefineryError: for anything that the user can mend; what was made until then is kept.
    """
    stages = [_known(recipe, stage) for stage in stages] or stored_stages(recipe)
    with alone(folder):
        given, recipe = recipe, begun([Job(recipe)], folder)[0].recipe
        runs = open_runs([Job(recipe)], folder)
        for stage in stages:
            _check_streams(stage, streams, runs[0].streams(stage))
        describe(folder, runs, given)
        run_all(runs, only={name for stage in stages for name in runs[0].needed_by(stage)})
        ready = [stage for stage in stages if all(map(runs[0].is_done, runs[0].needed_by(stage)))]
        for stage in set(stages) - set(ready):
            say(f"{stage}: not labelled, since its refiner was not trained")
        if processes > 1:
            shares = [(recipe, folder, ready, streams, i, processes) for i in range(processes)]
            side_by_side(_make, shares, processes)
        _make(recipe, folder, ready, streams, 0, 1)
        return [runs[0].stored_labels(stage).store for stage in ready]


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
    found = [
        stage.id
        for stage in recipe.generations
        if isinstance(stage.labels, Refined) and stage.labels.store is not None
    ]
    if not found:
        refined = [s.id for s in recipe.generations if isinstance(s.labels, Refined)]
        example = refined[0] if refined else "ID"
        raise RecipeError(
            f"no stage of the recipe has a label store; name one, e.g. "
            f"stages.{example}.labels.store=labels/"
        )
    return found


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
    (each,) = open_runs([Job(recipe)], folder)
    each.use_threads()
    for stage in stages:
        labels = each.stored_labels(stage)
        for stream in (each.streams(stage) if streams is None else streams)[first::step]:
            labels.store.get_or_create(
                stream, lambda labels=labels, stream=stream: labels.label_stream(stream)
            )
