"""Train one step of a plan, or several in step, and keep what they leave."""

import logging
from collections.abc import Mapping, Sequence

import torch

from tinyrefinery import builders
from tinyrefinery.data.batches import View, load
from tinyrefinery.errors import ChainError
from tinyrefinery.evaluation.policy_quality import policy_quality
from tinyrefinery.execution.labels import JobLabels
from tinyrefinery.execution.opened import OpenJob
from tinyrefinery.execution.stage_results import keep_dynamics, keep_network
from tinyrefinery.labels.policy import LabelPolicy
from tinyrefinery.options.labels import Refined
from tinyrefinery.recipe.stage import Stage
from tinyrefinery.runs.plan import Step
from tinyrefinery.runs.writing import write_stage
from tinyrefinery.training import optimizers, schedules
from tinyrefinery.training.dynamics import Dynamics
from tinyrefinery.training.in_step import SharedBatches, SharedLabels
from tinyrefinery.training.job import Load, Training
from tinyrefinery.training.loop import Trained, fit_in_step
from tinyrefinery.training.state import bare
from tinyrefinery.training.stopping import EarlyStopping

log = logging.getLogger("tinyrefinery")


def note_step(job: OpenJob, step: Step) -> None:
    """Write what a stage is, before it is trained; of labels by taxonomy, also their synsets."""
    if not job.fabric.is_global_zero:
        return
    write_stage(step)
    taxonomy = builders.taxonomy(job.stages[step.stage], job.data)
    if taxonomy is not None and not step.is_done:
        taxonomy.save(step.folder)


def train_steps(job: OpenJob, labels: JobLabels, steps: Sequence[Step]) -> None:
    """Train the networks of steps that have the same crops and labels, one batch of each in turn.

    Those that diverge don't keep the others from being kept.

    Raises:
        ChainError: when one diverges.
    """
    first = job.stages[steps[0].stage]
    view = labels.view(first)
    policy, batches = labels.policy(first, view), load
    if len(steps) > 1:
        # Each batch is rendered and labeled once, for all of them.
        policy, batches = SharedLabels(policy), SharedBatches()
    trainings = [_training(job, step, view, policy, batches) for step in steps]
    ended = fit_in_step(trainings)
    for step, training, end in zip(steps, trainings, ended, strict=True):
        # One process measures and writes; the others wait for it.
        if job.fabric.is_global_zero and not isinstance(end, ChainError):
            size = job.stages[step.stage].batch_size
            quality = policy_quality(policy, view, job.train_rows, batch_size=size)
            _keep(job, step, training, end, quality)
        job.fabric.barrier()
    for end in ended:
        if isinstance(end, ChainError):
            raise end


def _training(job: OpenJob, step: Step, view: View, policy: LabelPolicy, batches: Load) -> Training:
    stage, recipe, data = job.stages[step.stage], job.recipe, job.data
    network, frozen = builders.initial_network(
        stage, data, recipe, step.generation, lambda name: job.frozen(name).network
    )
    log.info(f"{step.title}: {stage.model.name}, labels from {step.labels}")
    refined = isinstance(stage.labels, Refined)
    return Training(
        network=torch.compile(network) if recipe.engine.compile else network,  # type: ignore[arg-type]
        view=view,
        rows=job.train_rows,
        policy=policy,
        loss=builders.loss(stage),
        optimizer=optimizers.build(stage.optimizer, network, _head(job, stage)),
        schedule=schedules.build(stage.schedule, stage.epochs),
        options=stage,
        engine=recipe.engine,
        seed=builders.stage_seed(recipe, "training", step.generation, stage.seed),
        order_seed=builders.order_seed(recipe, stage, step.generation),
        workers=builders.workers(recipe, data),
        fabric=job.fabric,
        validate=job.validate,
        folder=step.folder,
        title=step.title,
        load=batches,
        jitter=builders.jitter(stage, policy),
        stop=EarlyStopping(stage.stop) if stage.stop else None,
        dynamics=Dynamics(job.train_rows, len(data.classes), job.fabric.device, refined=refined),
        frozen=frozen,
    )


def _head(job: OpenJob, stage: Stage) -> frozenset[str]:
    """Names of the last layer's tensors, where rates by depth count from it."""
    if stage.optimizer.layer_decay is None:
        return frozenset()
    return builders.head(stage, job.data, job.recipe)


def _keep(
    job: OpenJob, step: Step, training: Training, end: Trained, quality: Mapping[str, float]
) -> None:
    """Write all that is kept of a trained network."""
    network, history = bare(end[0]), end[1]
    if training.dynamics is not None:
        keep_dynamics(step.folder, training.dynamics, job.train_rows, job.data.manifest)
    result = keep_network(
        step,
        network,
        builders.describe(job.recipe, job.stages[step.stage], job.data),
        manifest=job.data.manifest,
        predict=lambda rows: job.predict(network, rows),
        label_quality=quality,
        training=training.stop.outcome(len(history)) if training.stop is not None else None,
    )
    held_out = result.get("test") or result["validation"]
    log.info(
        f"{step.title}: train top-1 {result['train']['top1']:.1%}, held-out {held_out['top1']:.1%}"
    )
