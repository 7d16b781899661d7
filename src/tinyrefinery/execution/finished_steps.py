"""Finished networks are checked before a run relies on them.

What can be computed from the network is measured again where it is damaged. What only training
leaves is refused, since training it again may take hours: that is for the user to decide.
"""

import logging
from pathlib import Path

import torch

from tinyrefinery import builders
from tinyrefinery.errors import CheckpointError
from tinyrefinery.evaluation.dynamics_table import load_dynamics
from tinyrefinery.evaluation.likely_label_errors import save_suspects
from tinyrefinery.execution.measuring import measure
from tinyrefinery.execution.opened import OpenJob
from tinyrefinery.execution.stage_labels import JobLabels
from tinyrefinery.runs import files
from tinyrefinery.runs.plan import Step
from tinyrefinery.runs.run_folder import read_metrics
from tinyrefinery.runs.stage_digests import REMEDY, damaged_files, done_threads, is_measure
from tinyrefinery.runs.writing import finish_stage
from tinyrefinery.training.logs import write_history
from tinyrefinery.training.stopping import EarlyStopping

log = logging.getLogger("tinyrefinery")


def check_finished(job: OpenJob, labels: JobLabels, step: Step) -> None:
    """Check the files of a finished step, and make again what is damaged and can be made.

    Raises:
        CheckpointError: if something is damaged that only training leaves.
        DataError: if done.json is damaged.
    """
    if not job.fabric.is_global_zero:
        return
    damaged = damaged_measures(step.folder)
    threads, now = done_threads(step.folder), torch.get_num_threads()
    # Seeds that train side by side use one thread each, here as well.
    side_by_side = threads == 1 and job.recipe.engine.threads is None
    if threads not in (None, now) and not side_by_side:
        log.info(
            f"{step.title}: was trained with {threads} CPU threads, and this run has {now}. "
            "Rounding differs, so training here would give other weights. To repeat it, set "
            f"engine.threads={threads}"
        )
    if not damaged:
        return
    log.warning(f"{step.title}: measured again, since {', '.join(damaged)} was damaged")
    _measure_again(job, labels, step)


def damaged_measures(folder: Path) -> list[str]:
    """Names of damaged files of a finished stage, all of which can be made again.

    Raises:
        CheckpointError: if something is damaged that only training leaves.
        DataError: if done.json is damaged.
    """
    damaged = damaged_files(folder)
    for name in damaged:
        if not is_measure(name):
            path = folder / name
            what = "is damaged or was replaced" if path.exists() else "is missing"
            raise CheckpointError(f"{path}: {what} (see done.json). {REMEDY}")
    return damaged


def _measure_again(job: OpenJob, labels: JobLabels, step: Step) -> None:
    stage = job.stages[step.stage]
    trained = job.trained(step.stage).network
    # Built as for training, since it is known then which parts are frozen.
    network, _ = builders.initial_network(
        stage, job.data, job.recipe, step.generation, lambda name: job.start(name).network
    )
    network.load_state_dict(trained.state_dict())
    history = read_metrics(step.folder / files.METRICS)
    stop = EarlyStopping(stage.stop) if stage.stop else None
    if stop is not None:
        for record in history:
            if stop.part.metric in record:
                stop.observe(record, network)
    write_history(step.folder, list(history))
    dynamics = step.folder / files.DYNAMICS
    if dynamics.exists():
        table = load_dynamics(dynamics)
        save_suspects(step.folder / files.SUSPECTS, table, job.data.manifest)
    if (taxonomy := builders.taxonomy(stage, job.data)) is not None:
        taxonomy.save(step.folder)
    view = labels.view(stage)
    policy = labels.policy(stage, view)
    measures = measure(job, step, network.to(job.fabric.device), policy, view)
    if stop is not None:
        measures["training"] = stop.outcome(len(history))
    finish_stage(step, measures, done_threads(step.folder) or torch.get_num_threads())
