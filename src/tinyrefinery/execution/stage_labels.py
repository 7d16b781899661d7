"""The labels that the stages of a job learn from, made by their refiners or read from stores."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from tinyrefinery import builders
from tinyrefinery.data.batches import View
from tinyrefinery.execution.opened import OpenJob
from tinyrefinery.execution.several_processes import label_together
from tinyrefinery.labels.crop_labels import CropLabels, KeptProbability
from tinyrefinery.labels.policy import LabelPolicy
from tinyrefinery.labels.store.reader import StoredLabels
from tinyrefinery.options.labels import Refined
from tinyrefinery.recipe.stage import Stage
from tinyrefinery.runs import files
from tinyrefinery.runs.environment import environment

log = logging.getLogger("tinyrefinery")


class JobLabels:
    """Views and label policies of a job's stages. The latest policy is kept for the next stage."""

    def __init__(self, job: OpenJob, folder: Path) -> None:
        """Make nothing yet; `folder` is the run's, for stores that the recipe puts nowhere else."""
        self.job, self.folder = job, folder
        self._latest: tuple[Any, LabelPolicy] | None = None
        self._store_of_latest: StoredLabels | None = None
        self.kept: list[KeptProbability] = []
        """Of the latest refiner, if it has other classes than the data."""

    def view(self, stage: Stage) -> View:
        """The training crops of a stage."""
        job, generation = self.job, self.job.planned[stage.id].generation
        device = job.fabric.device
        data = job.data_of(stage)
        view = builders.train_view(job.recipe, data, generation, device, stage.crop_pool)
        part, crop = stage.labels, job.recipe.data.train_crop.size
        if not isinstance(part, Refined) or part.level != "crop" or part.store:
            return view
        # A live refiner labels the batches of training: they hold its size too, decoded once.
        sizes = [builders.own_size(part, job.refiner(name, part), crop) for name in part.by]
        return replace(view, sizes=tuple(dict.fromkeys(filter(None, sizes))))

    def policy(self, stage: Stage, view: View) -> LabelPolicy:
        """The stage's policy: the latest one, where it labels the same crops in the same way."""
        generation = self.job.planned[stage.id].generation
        way = stage.labels, stage.crop_pool, stage.batch_size, generation
        if self._latest is None or self._latest[0] != way:
            self.forget()  # two refiners at a time may be too much for the device
            labels, store = self._crop_labels(stage, view), None
            if labels and isinstance(stage.labels, Refined) and stage.labels.store:
                store = self._store(stage, labels)
            self._store_of_latest = store
            self._latest = way, builders.policy(stage, labels, self.job.eval_view, store, view)
        return self._latest[1]

    def make_together(self, stage: Stage) -> None:
        """Share the labels that are missing in a stage's store out to the processes, if several.

        All of them call it, after `policy`.
        """
        if self._store_of_latest is not None:
            label_together(self._store_of_latest, crop_streams(stage), self.job.fabric)

    def forget(self) -> None:
        """Release the latest refiner and its labels."""
        self._latest = self._store_of_latest = None

    def stored(self, stage: Stage) -> StoredLabels:
        """The stored labels of a stage whose refiners are done."""
        labels = self._crop_labels(stage, self.view(stage))
        assert labels is not None
        return self._store(stage, labels)

    def _crop_labels(self, stage: Stage, view: View) -> CropLabels | None:
        if not isinstance(stage.labels, Refined):
            return None
        frozen = [self.job.refiner(name, stage.labels) for name in stage.labels.by]
        rows, engine = self.job.rows_of(stage), self.job.recipe.engine
        refiner = builders.refiner(stage.labels, frozen, view, rows, engine)
        labels = builders.crop_labels(stage, refiner, view, rows)
        self.kept = labels.kept_probability()
        for one in self.kept:
            log.info(_kept_text(one, stage.labels))
        return labels

    def _store(self, stage: Stage, labels: CropLabels) -> StoredLabels:
        return builders.stored_labels(
            stage,
            labels,
            self.folder / files.LABELS,
            workers=builders.workers(self.job.recipe, self.job.data_of(stage)),
            made_with=environment(),
        )


def _kept_text(kept: KeptProbability, part: Refined) -> str:
    text = (
        f"refiner {part.by[kept.network]}: leaves {kept.mean:.1%} of its probability to the mapped "
        f"classes (mean of {kept.crops} crops). {kept.fallback:.1%} of the crops keep their given "
        f"label (labels.least_mass {part.least_mass:g})"
    )
    if not kept.unreached:
        return text
    return f"{text}, all of these classes among them: {', '.join(kept.unreached)}"


def crop_streams(stage: Stage) -> range:
    """The crop streams that a stage's training goes through."""
    return range(min(stage.epochs, stage.crop_pool or stage.epochs))
