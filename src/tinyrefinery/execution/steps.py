"""Train one step of a plan, or several in step, and keep what they leave."""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tinyrefinery import builders
from tinyrefinery.data.batches import View, load
from tinyrefinery.data.manifest import NEW, UNLABELLED, Manifest
from tinyrefinery.errors import ChainError
from tinyrefinery.evaluation.dynamics_table import dynamics_table, save_dynamics
from tinyrefinery.evaluation.likely_label_errors import save_suspects, worth_checking
from tinyrefinery.execution.measuring import measure
from tinyrefinery.execution.opened import OpenJob
from tinyrefinery.execution.stage_labels import JobLabels
from tinyrefinery.labels.crop_labels import KeptProbability
from tinyrefinery.labels.policy import LabelPolicy, RefinedLabels
from tinyrefinery.labels.threshold_samples import threshold_classes
from tinyrefinery.models.network_file import save_network
from tinyrefinery.models.rounded_network import RoundedNetwork
from tinyrefinery.options.labels import GroundTruth, Refined
from tinyrefinery.recipe.stage import Stage
from tinyrefinery.runs import files
from tinyrefinery.runs.origins import find_origin
from tinyrefinery.runs.plan import Step
from tinyrefinery.runs.seen_sketch import ENTRY, sketch_facts
from tinyrefinery.runs.writing import finish_stage, seen_outside, write_stage
from tinyrefinery.training import learning_rates as schedules
from tinyrefinery.training import parameter_groups as optimizers
from tinyrefinery.training.dynamics import Dynamics, label_agreement
from tinyrefinery.training.feature_hints import FeatureHints, HintedLabels
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
    write_stage(step, job.whole.manifest.column("id").tolist())
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
    labels.make_together(first)
    if len(steps) > 1:
        # Each batch is rendered and labeled once, for all of them.
        hinted = any(job.stages[step.stage].hints for step in steps)
        policy, batches = SharedLabels(policy, features=hinted), SharedBatches()
    trainings = [_training(job, step, view, policy, batches) for step in steps]
    ended = fit_in_step(trainings)
    for step, training, end in zip(steps, trainings, ended, strict=True):
        # One process measures and writes; the others wait for it.
        if job.fabric.is_global_zero and not isinstance(end, ChainError):
            _keep(job, step, training, end, policy, view, labels.kept)
        job.fabric.barrier()
    for end in ended:
        if isinstance(end, ChainError):
            raise end


def _training(job: OpenJob, step: Step, view: View, policy: LabelPolicy, batches: Load) -> Training:
    stage, recipe, data = job.stages[step.stage], job.recipe, job.data
    network, frozen = _initial(job, step)
    log.info(f"{step.title}: {stage.model.name}, labels from {step.labels}")
    learner = builders.rounded(stage, network, data, recipe) if stage.int8 else network
    hints = _hints(job, step, policy)
    return Training(
        network=torch.compile(learner) if recipe.engine.compile else learner,  # type: ignore[arg-type]
        view=view,
        rows=job.rows_of(stage),
        labelled=_labelled(job, stage),
        policy=policy,
        loss=builders.loss(stage),
        optimizer=optimizers.build(
            stage.optimizer, network, _head(job, stage), hints and hints.module
        ),
        schedule=schedules.build(stage.schedule, stage.epochs),
        options=stage,
        engine=recipe.engine,
        seed=builders.stage_seed(recipe, "training", step.generation, stage.seed),
        order_seed=builders.order_seed(recipe, stage, step.generation),
        workers=builders.workers(recipe, job.data_of(stage)),
        fabric=job.fabric,
        validate=job.validate,
        folder=step.folder,
        title=step.title,
        load=batches,
        jitter=builders.jitter(stage, policy),
        hints=hints,
        stop=EarlyStopping(stage.stop) if stage.stop else None,
        dynamics=_dynamics(job, stage),
        frozen=frozen,
    )


def _initial(job: OpenJob, step: Step) -> tuple[nn.Module, list[nn.Module]]:
    """The network of a step where its training starts, and its frozen modules."""
    return builders.initial_network(
        job.stages[step.stage],
        job.data,
        job.recipe,
        step.generation,
        lambda name: job.start(name).network,
    )


def _hints(job: OpenJob, step: Step, policy: LabelPolicy) -> HintedLabels | None:
    """What draws the features of a step's network to its refiner's; None: nothing does."""
    stage = job.stages[step.stage]
    if stage.hints is None:
        return None
    seed = builders.stage_seed(job.recipe, "hints", step.generation, stage.seed)
    assert isinstance(policy, RefinedLabels | SharedLabels)
    module = FeatureHints(stage.hints, *job.feature_channels(stage), seed)
    return HintedLabels(module, policy.with_features)


def _labelled(job: OpenJob, stage: Stage) -> np.ndarray | None:
    """Which rows of the manifest have a label, (N,) bool; None: all that are trained on."""
    labels = job.whole.manifest.labels
    return None if len(job.rows_of(stage)) == len(job.train_rows) else labels >= 0


def _dynamics(job: OpenJob, stage: Stage) -> Dynamics:
    """What training records of each sample."""
    manifest, refined = job.data.manifest, isinstance(stage.labels, Refined)
    wrong = None
    if isinstance(stage.labels, GroundTruth) and (share := stage.labels.threshold_samples):
        wrong = threshold_classes(manifest.labels, len(manifest.classes), share)[job.train_rows]
    count, device = len(manifest.classes), job.fabric.device
    return Dynamics(job.train_rows, count, device, refined=refined, threshold_classes=wrong)


def _head(job: OpenJob, stage: Stage) -> frozenset[str]:
    """Names of the last layer's tensors, where rates by depth count from it."""
    if stage.optimizer.layer_decay is None:
        return frozenset()
    return builders.head(stage, job.data, job.recipe)


def _keep(
    job: OpenJob,
    step: Step,
    training: Training,
    end: Trained,
    policy: LabelPolicy,
    view: View,
    kept: Sequence[KeptProbability],
) -> None:
    """Write all that is kept of a trained network, and declare the stage done."""
    network, history = bare(end[0]), end[1]
    stage = job.stages[step.stage]
    if isinstance(network, RoundedNetwork):  # what is kept and measured is not rounded
        network = network.restore(_initial(job, step)[0]).to(job.fabric.device)
    if training.dynamics is not None:
        measured = training.dynamics.measures()
        _keep_dynamics(step.folder, measured, job.train_rows, job.data.manifest)
        agreement = label_agreement(measured, job.data.manifest.labels[job.train_rows])
        if agreement is not None:
            log.info(
                f"{step.title}: the labels of {agreement:.1%} of the crops have their given class"
            )
    info = builders.describe(job.recipe, stage, job.data)
    info.extra[ENTRY] = _seen(job, step)
    save_network(step.network, network, **vars(info))
    measures = measure(job, step, network, policy, view)
    if kept and isinstance(stage.labels, Refined):
        measures["class_map"] = [asdict(one) for one in kept]
    if training.stop is not None:
        measures["training"] = training.stop.outcome(len(history))
    finish_stage(step, measures, torch.get_num_threads())
    held_out = measures.get("test") or measures["validation"]
    train = measures["train"]
    log.info(f"{step.title}: train top-1 {train['top1']:.1%}, held-out {held_out['top1']:.1%}")


def _seen(job: OpenJob, step: Step) -> dict[str, Any]:
    """What the network's header tells of the images that it was trained or chosen on."""
    manifest = job.whole.manifest
    ids = manifest.column("id")
    unused = {"test", NEW} | (set() if _learns_without_labels(job, step) else {UNLABELLED})
    own = ids[~np.isin(manifest.column("split"), list(unused))].tolist()
    origin = find_origin(step.outside, ids.tolist())
    return sketch_facts({*own, *seen_outside(step, ids.tolist())}, origin.unknown)


def _learns_without_labels(job: OpenJob, step: Step) -> bool:
    """Whether pictures without labels took part in a network, or in one that it needs."""
    stages = [job.stages[name] for name in (step.stage, *step.needs)]
    return any(isinstance(stage.labels, Refined) for stage in stages)


def _keep_dynamics(
    folder: Path, measured: dict[str, np.ndarray], rows: np.ndarray, manifest: Manifest
) -> None:
    """Write what training recorded of each sample, and the likely label errors among them."""
    table = dynamics_table(manifest, rows, measured)
    save_dynamics(folder / files.DYNAMICS, table)
    save_suspects(folder / files.SUSPECTS, table, manifest)
    if line := worth_checking(table):
        log.info(line)
