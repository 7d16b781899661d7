"""One recipe at one seed: train every stage that isn't finished, measure it, keep it.

A stage is identified by a key: a digest of all that its weights depend on. So recipes that run in
one folder (the rows of a table, several seeds) share what they have in common, and a command that
was interrupted at any moment goes on when it is given again.
"""

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from tinyrefinery import builders
from tinyrefinery.builders import FrozenNetwork
from tinyrefinery.data.batches import View, load
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.errors import ChainError, CheckpointError
from tinyrefinery.evaluation.calibration import negative_log_likelihood
from tinyrefinery.evaluation.policy_quality import policy_quality
from tinyrefinery.evaluation.predictions import Predictions, predict
from tinyrefinery.execution.chain import Chain, CollapseRule, Generation, StopRule
from tinyrefinery.execution.sample_crops import Line, save_samples
from tinyrefinery.execution.stage_results import keep_dynamics, keep_network, with_earlier_rows
from tinyrefinery.files import write_atomic
from tinyrefinery.labels.crop_labels import CropLabels
from tinyrefinery.labels.policy import LabelPolicy
from tinyrefinery.labels.refiner import Refiner
from tinyrefinery.labels.store.reader import StoredLabels
from tinyrefinery.models.network_file import load_network
from tinyrefinery.options.labels import Refined
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.recipe.stage import Stage
from tinyrefinery.runs.descent import longest_line
from tinyrefinery.runs.environment import environment
from tinyrefinery.runs.keys import refiners_of, stage_keys
from tinyrefinery.training import optimizers, schedules
from tinyrefinery.training.dynamics import Dynamics
from tinyrefinery.training.in_step import SharedBatches, SharedLabels
from tinyrefinery.training.job import Load, Training
from tinyrefinery.training.logs import Record
from tinyrefinery.training.loop import Trained, fit_in_step
from tinyrefinery.training.state import bare
from tinyrefinery.training.stopping import EarlyStopping

LABELS = "labels"  # the folder of label stores in a run folder
VALIDATION = "predictions-validation.parquet"

say = logging.getLogger("tinyrefinery").info


@dataclass(frozen=True)
class Job:
    """One recipe to run, and the row of the table it stands for (empty for a lone recipe)."""

    recipe: Recipe
    row: str = ""


class RecipeRun:
    """One recipe at one seed, in a run folder."""

    def __init__(self, job: Job, folder: Path, data: Dataset, fabric: Fabric) -> None:
        self.row, self.recipe, self.folder, self.data = job.row, job.recipe, folder, data
        self.fabric = fabric
        self.stages = {stage.id: stage for stage in self.recipe.generations}
        self.train_rows = data.manifest.rows("train")
        self.eval_view = builders.eval_view(self.recipe, data, fabric.device)
        self.outside: dict[str, FrozenNetwork] = {}
        self._labelled_last: tuple[Any, LabelPolicy] | None = None
        held_out = len(data.manifest.rows("validation"))
        self.chain = Chain(len(data.classes), held_out, collapse_rule(self.recipe))
        for stage in self.stages.values():
            self._check(stage)

    def _check(self, stage: Stage) -> None:
        """Find out what is wrong with a stage before hours of training, not after."""
        for name in refiners_of(stage):
            if name not in self.stages:
                self._frozen(name)
        builders.check_start(stage, self.data, self.recipe)
        builders.loss(stage)
        builders.train_view(self.recipe, self.data, 1, torch.device("cpu")).crops(
            self.train_rows, 0
        )

    @cached_property
    def keys(self) -> dict[str, str]:
        """Key of each stage, by its id."""
        return stage_keys(self.recipe, self.data)

    def generation(self, stage: Stage) -> int:
        """1 for given labels; else one more than the latest refiner's, a file counting as 1."""
        names = refiners_of(stage)
        own = [self.generation(self.stages[n]) if n in self.stages else 1 for n in names]
        return 1 + max(own, default=0)

    def stage_folder(self, stage: Stage) -> Path:
        """Where the stage is kept."""
        return self.folder / "stages" / f"{stage.id}-{self.keys[stage.id][:8]}"

    def needed_by(self, stage: str) -> set[str]:
        """Ids of the stages that refine a stage, and of those that they need themselves."""
        part = self.stages[stage]
        direct = {*refiners_of(part), *([part.init_from] if part.init_from else [])}
        inside = [name for name in direct if name in self.stages]
        return {*inside, *(far for name in inside for far in self.needed_by(name))}

    def run(self, users: Mapping[str, list[str]], only: Collection[str] | None = None) -> Chain:
        """Train, or read back, every stage in order.

        Args:
            users: the rows of a table that use each key.
            only: ids of the stages to train; None: all.
        """
        skipped: set[str] = set()
        for stage in self.stages.values():
            if only is not None and stage.id not in only:
                continue
            reason = self._reason_to_skip(stage, skipped)
            if reason:
                say(f"{self._title(stage)}: not trained, {reason}")
                skipped.add(stage.id)
                continue
            self._note(stage, users[self.keys[stage.id]])
            if not self.is_done(stage.id):
                in_step = [s for s in self._beside(stage, skipped) if not only or s.id in only]
                for each in in_step:
                    self._note(each, users[self.keys[each.id]])
                self._train([stage, *in_step])
            (self.stage_folder(stage) / "state.pt").unlink(missing_ok=True)
            self.chain.add(self._finished(stage))
        return self.chain

    def _beside(self, stage: Stage, skipped: set[str]) -> list[Stage]:
        """The stages that are to train in step with this one."""
        return [
            other
            for other in self.stages.values()
            if other.beside == stage.id
            and not self.is_done(other.id)
            and not self._reason_to_skip(other, skipped)
        ]

    def is_done(self, stage: str) -> bool:
        """Whether the stage is trained and kept."""
        return (self.stage_folder(self.stages[stage]) / "done.json").exists()

    def use_threads(self) -> None:
        """Let this process compute with as many threads as the recipe says."""
        if self.recipe.engine.threads:
            torch.set_num_threads(self.recipe.engine.threads)

    def _reason_to_skip(self, stage: Stage, skipped: set[str]) -> str | None:
        lost = [name for name in refiners_of(stage) if name in skipped]
        if lost:
            return f"since its refiner '{lost[0]}' was not"
        rule = stop_rule(self.recipe)
        known = [name for name in refiners_of(stage) if name in self.stages]
        if rule is None or len(known) != 1:
            return None
        if self.chain.has_stopped_gaining(known[0], _architecture(stage), rule):
            return f"since '{known[0]}' no longer gained (chain.stop_without_gain)"
        return None

    def _title(self, stage: Stage) -> str:
        where = f"{self.row} " if self.row else ""
        return f"{where}{stage.id} (seed {self.recipe.seed})"

    def _note(self, stage: Stage, rows: list[str]) -> None:
        """Write what the stage is; rows of a table that come later are added."""
        folder, made = self.stage_folder(stage), builders.taxonomy(stage, self.data)
        path = folder / "stage.json"
        rows = with_earlier_rows(path, rows)
        facts = {
            "id": stage.id,
            "key": self.keys[stage.id],
            "row": self.row if len(rows) == 1 else "",
            "rows": rows,
            "seed": self.recipe.seed,
            "model": _architecture(stage),
            "labels": builders.describe_labels(stage),
            "refiners": [self.keys.get(name, name) for name in refiners_of(stage)],
            "generation": self.generation(stage),
        }
        if made and self.fabric.is_global_zero and not (folder / "done.json").exists():
            made.save(folder)
        text = json.dumps(facts, indent=1)
        if self.fabric.is_global_zero and not (path.exists() and path.read_text() == text):
            write_atomic(path, text)

    def _train(self, stages: Sequence[Stage]) -> None:
        """Train a stage and those beside it, in step."""
        view = self._view(stages[0])
        policy, batches = self._policy(stages[0], view), load
        if len(stages) > 1:
            policy, batches = SharedLabels(policy), SharedBatches()
        jobs = [self._training(stage, view, policy, batches) for stage in stages]
        ended = fit_in_step(jobs)
        for stage, job, end in zip(stages, jobs, ended, strict=True):
            if self.fabric.is_global_zero and not isinstance(end, ChainError):
                size = stage.batch_size
                quality = policy_quality(policy, view, self.train_rows, batch_size=size)
                self._keep(stage, job, end, quality)
            self.fabric.barrier()
        for end in ended:
            if isinstance(end, ChainError):
                raise end

    def _training(self, stage: Stage, view: View, policy: LabelPolicy, batches: Load) -> Training:
        generation = self.generation(stage)
        net, frozen = builders.initial_network(
            stage, self.data, self.recipe, generation, lambda name: self._frozen(name).network
        )
        origin = builders.describe_labels(stage)
        say(f"{self._title(stage)}: {stage.model.name}, labels from {origin}")
        classes, refined = len(self.data.classes), isinstance(stage.labels, Refined)
        by_depth = stage.optimizer.layer_decay is not None
        head = builders.head(stage, self.data, self.recipe) if by_depth else ()
        return Training(
            network=torch.compile(net) if self.recipe.engine.compile else net,  # type: ignore[arg-type]
            view=view,
            rows=self.train_rows,
            policy=policy,
            loss=builders.loss(stage),
            optimizer=optimizers.build(stage.optimizer, net, head),
            schedule=schedules.build(stage.schedule, stage.epochs),
            options=stage,
            engine=self.recipe.engine,
            seed=builders.stage_seed(self.recipe, "training", generation, stage.seed),
            order_seed=builders.order_seed(self.recipe, stage, generation),
            workers=builders.workers(self.recipe, self.data),
            fabric=self.fabric,
            validate=self._validate,
            folder=self.stage_folder(stage),
            title=self._title(stage),
            load=batches,
            jitter=builders.jitter(stage, policy),
            stop=EarlyStopping(stage.stop) if stage.stop else None,
            dynamics=Dynamics(self.train_rows, classes, self.fabric.device, refined=refined),
            frozen=frozen,
        )

    def _view(self, stage: Stage) -> View:
        generation, device = self.generation(stage), self.fabric.device
        return builders.train_view(self.recipe, self.data, generation, device, stage.crop_pool)

    def _crop_labels(self, stage: Stage, view: View) -> CropLabels | None:
        if not isinstance(stage.labels, Refined):
            return None
        frozen, rows = [self._frozen(name) for name in stage.labels.by], self.train_rows
        refiner = builders.refiner(stage.labels, frozen, view, rows, self.recipe.engine)
        return builders.crop_labels(stage, refiner, view, rows)

    def _policy(self, stage: Stage, view: View) -> LabelPolicy:
        """The stage's policy: that of the stage before, where it labels the same way."""
        way = stage.labels, stage.crop_pool, stage.batch_size, self.generation(stage)
        if self._labelled_last is None or self._labelled_last[0] != way:
            self._labelled_last = None  # before there are two
            labels = self._crop_labels(stage, view)
            store = None
            if labels and isinstance(stage.labels, Refined) and stage.labels.store:
                store = self._store(stage, labels)
            self._labelled_last = way, builders.policy(stage, labels, self.eval_view, store)
        return self._labelled_last[1]

    def forget_labels(self) -> None:
        """Let go of the last refiner and its labels, which many runs would have to hold."""
        self._labelled_last = None

    def _store(self, stage: Stage, labels: CropLabels) -> StoredLabels:
        return builders.stored_labels(
            stage,
            labels,
            self.folder / LABELS,
            workers=builders.workers(self.recipe, self.data),
            made_with=environment(),
        )

    def stored_labels(self, stage: str) -> StoredLabels:
        """The stored labels of a stage whose refiners are trained."""
        part = self.stages[stage]
        labels = self._crop_labels(part, self._view(part))
        assert labels is not None
        return self._store(part, labels)

    def streams(self, stage: str) -> range:
        """The crop streams that a stage's training goes through."""
        part = self.stages[stage]
        return range(min(part.epochs, part.crop_pool or part.epochs))

    def _validate(self, net: nn.Module) -> Record:
        found = self._predict(net, self.data.manifest.rows("validation"))
        return {
            "validation_loss": negative_log_likelihood(found.probabilities, found.labels),
            "validation_top1": float(found.correct.mean()),
        }

    def _predict(self, net: nn.Module, rows: np.ndarray) -> Predictions:
        return predict(net, self.eval_view, rows, workers=builders.workers(self.recipe, self.data))

    def _keep(
        self, stage: Stage, job: Training, end: Trained, quality: Mapping[str, float]
    ) -> None:
        """Write all that is kept of a trained stage."""
        folder, net = self.stage_folder(stage), bare(end[0])
        if job.dynamics is not None:
            keep_dynamics(folder, job.dynamics, self.train_rows, self.data.manifest)
        result = keep_network(
            folder,
            net,
            builders.describe(self.recipe, stage, self.data),
            manifest=self.data.manifest,
            predict=lambda rows: self._predict(net, rows),
            key=self.keys[stage.id],
            label_quality=quality,
            training=job.stop.outcome(len(end[1])) if job.stop is not None else None,
        )
        held = result.get("test") or result["validation"]
        say(
            f"{self._title(stage)}: train top-1 {result['train']['top1']:.1%}, "
            f"held-out {held['top1']:.1%}"
        )

    def _finished(self, stage: Stage) -> Generation:
        folder = self.stage_folder(stage)
        result = json.loads((folder / "evaluation.json").read_text())
        return Generation(
            id=stage.id,
            network=self._read(folder / "model.safetensors").network.cpu(),
            validation_top1=result["validation"]["top1"],
            refined_by=refiners_of(stage),
            architecture=_architecture(stage),
            evaluation=result,
        )

    def _read(self, path: Path) -> FrozenNetwork:
        try:
            net, info = load_network(path)
        except CheckpointError as error:
            raise CheckpointError(
                f"{error}. Delete the folder {path.parent} and give the command again to train "
                "this stage anew; all other stages are kept."
            ) from error
        return FrozenNetwork(net.to(self.fabric.device), info.mean, info.std, info.classes)

    def _frozen(self, name: str) -> FrozenNetwork:
        """A network that refines or is trained further: an earlier stage's, or from outside."""
        if name in self.stages:
            return self._read(self.stage_folder(self.stages[name]) / "model.safetensors")
        if name not in self.outside:
            self.outside[name] = builders.outside_refiner(name, self.data, self.recipe)
        return self.outside[name]

    def save_samples(self) -> None:
        """Write sample crops with every generation's labels, for the report."""
        view = builders.train_view(self.recipe, self.data, 2, torch.device("cpu"))
        refiners = {
            self._sample_title(generation.id): Refiner([generation.network])
            for generation in self.chain.generations
        }
        samples = self.folder / "samples.npz"
        save_samples(samples, view, self.train_rows, refiners, self._longest_line())

    def _sample_title(self, stage: str) -> str:
        return f"{stage} ({self.stages[stage].model.name})"

    def _longest_line(self) -> Line | None:
        line = longest_line({each.id: each.refined_by for each in self.chain.generations})
        if len(line) < 2:
            return None
        files = [self.stage_folder(self.stages[id]) / VALIDATION for id in line]
        return Line(
            keys=tuple(self.keys[id] for id in line),
            titles=tuple(map(self._sample_title, line)),
            validation=tuple(map(Predictions.load, files)),
        )


def _architecture(stage: Stage) -> str:
    return stage.model.name + _options(stage.model.kwargs)


def _options(kwargs: Mapping[str, Any]) -> str:
    return f" ({', '.join(f'{k}={v}' for k, v in kwargs.items())})" if kwargs else ""


def collapse_rule(recipe: Recipe) -> CollapseRule | None:
    """When a generation counts as collapsed; None: never."""
    part = recipe.chain.collapse
    return CollapseRule(part.below_refiner, part.near_chance) if part else None


def stop_rule(recipe: Recipe) -> StopRule | None:
    """When the chain ends for lack of gain; None: never."""
    part = recipe.chain
    return StopRule(part.min_gain, part.patience) if part.stop_without_gain else None
