"""Train the steps of open jobs that are not done, one after the other, in this process."""

import logging
from collections.abc import Collection, Sequence
from pathlib import Path

from tinyrefinery.errors import ChainError
from tinyrefinery.execution.chain import Generation
from tinyrefinery.execution.finished_steps import check_finished
from tinyrefinery.execution.opened import OpenJob
from tinyrefinery.execution.run_clock import RunClock
from tinyrefinery.execution.stage_labels import JobLabels
from tinyrefinery.execution.steps import note_step, train_steps
from tinyrefinery.runs.lineage import refiners_of
from tinyrefinery.runs.plan import Step
from tinyrefinery.runs.run_folder import open_stage
from tinyrefinery.training.state import remove_states

log = logging.getLogger("tinyrefinery")


def train_jobs(jobs: Sequence[OpenJob], folder: Path, only: Collection[str] | None = None) -> None:
    """Train the steps of jobs that are not done, and read all finished networks into their chains.

    A job whose chain breaks off doesn't keep the others from running.

    Args:
        jobs: of one plan.
        folder: the run folder.
        only: ids of the stages to train; None: all.

    Raises:
        ChainError: at the end, with the reasons of those that broke off.
    """
    reasons: dict[str, None] = {}
    clock = RunClock(jobs, only=None if only is None else list(only))
    for job in jobs:
        job.use_threads()
        labels = JobLabels(job, folder)
        try:
            _train_job(job, labels, only, clock)
        except ChainError as error:
            reasons[str(error)] = None
    if reasons:
        raise ChainError("\n".join(reasons))


def _train_job(
    job: OpenJob, labels: JobLabels, only: Collection[str] | None, clock: RunClock
) -> None:
    steps = [step for step in job.planned.steps if only is None or step.stage in only]
    skipped: set[str] = set()
    for step in steps:
        reason = _reason_to_skip(job, step, skipped)
        if reason:
            log.info(f"{step.title}: not trained, {reason}")
            skipped.add(step.stage)
            clock.skip(step)
            continue
        note_step(job, step)
        if step.is_done:
            check_finished(job, labels, step)
            job.fabric.barrier()
        else:
            # Stages beside it take part now. When their turn comes they are done.
            beside = [
                other
                for other in steps
                if other.beside == step.stage
                and not other.is_done
                and not _reason_to_skip(job, other, skipped)
            ]
            for other in beside:
                note_step(job, other)
            train_steps(job, labels, [step, *beside])
            if (line := clock.finish([step, *beside])) and job.fabric.is_global_zero:
                log.info(line)
        remove_states(step.folder)
        job.chain.add(_generation(job, step))  # which ends the job where the network collapsed
        if (note := job.chain.chance_note) and job.fabric.is_global_zero:
            log.warning(note)


def _reason_to_skip(job: OpenJob, step: Step, skipped: set[str]) -> str | None:
    """Why a step is not to be trained, given the steps before it; None: it is."""
    refiners = refiners_of(job.stages[step.stage])
    lost = [name for name in refiners if name in skipped]
    if lost:
        return f"since its refiner '{lost[0]}' was not"
    inside = [name for name in refiners if name in job.stages]
    rule = job.recipe.chain
    if not rule.stop_without_gain or len(inside) != 1:
        return None
    if job.chain.has_stopped_gaining(inside[0], step.model, rule):
        return f"since '{inside[0]}' no longer gained (chain.stop_without_gain)"
    return None


def _generation(job: OpenJob, step: Step) -> Generation:
    """The finished network of a step."""
    evaluation = open_stage(step.folder).evaluation
    return Generation(
        id=step.stage,
        network=job.trained(step.stage).network.cpu(),
        validation_top1=evaluation["validation"]["top1"],
        refined_by=refiners_of(job.stages[step.stage]),
        architecture=step.model,
        evaluation=evaluation,
    )
