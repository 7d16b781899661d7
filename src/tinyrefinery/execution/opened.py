"""A planned job with its data open and its devices at hand."""

import logging

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from tinyrefinery import builders
from tinyrefinery.builders import FrozenNetwork
from tinyrefinery.data.batches import Size
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.manifest import UNLABELLED, Manifest
from tinyrefinery.errors import RecipeError
from tinyrefinery.evaluation.calibration import negative_log_likelihood
from tinyrefinery.evaluation.predictions import Predictions, predict
from tinyrefinery.execution.chain import Chain
from tinyrefinery.models.network_file import load_network
from tinyrefinery.networks.frozen import check_class_maps, frozen_network
from tinyrefinery.networks.opening import open_network
from tinyrefinery.options.labels import Refined, Refining
from tinyrefinery.recipe.stage import Stage
from tinyrefinery.runs.plan import PlannedJob
from tinyrefinery.runs.stage_digests import check_file
from tinyrefinery.training.logs import Record

log = logging.getLogger("tinyrefinery")


class OpenJob:
    """What the training of a job's steps needs, and the chain of those that are finished."""

    def __init__(
        self, planned: PlannedJob, data: Dataset, fabric: Fabric, measured: Manifest
    ) -> None:
        """Check all that can be wrong, before hours of training.

        Args:
            planned: the job.
            data: its dataset, with the pictures without labels that join training.
            fabric: its devices and precision, launched.
            measured: the manifest of the dataset, in the splits that its networks are measured on.

        Raises:
            RefineryError: for anything that the user can fix.
        """
        self.planned, self.recipe = planned, planned.job.recipe
        self.fabric, self.measured, self.whole = fabric, measured, data
        # Networks that learn from given labels never meet the pictures without any.
        count = len(data.manifest.rows(UNLABELLED))
        self.data = data.select(np.arange(len(data.manifest) - count)) if count else data
        self.stages = {stage.id: stage for stage in self.recipe.generations}
        self.train_rows = data.manifest.rows("train")
        self.eval_view = builders.eval_view(self.recipe, data, fabric.device)
        validation = len(data.manifest.rows("validation"))
        self.chain = Chain(len(data.classes), validation, self.recipe.chain.collapse)
        self._outside: dict[tuple[str, Size | None, str], FrozenNetwork] = {}
        for stage in self.stages.values():
            self._check(stage)

    def _check(self, stage: Stage) -> None:
        if isinstance(stage.labels, Refined):
            self._check_refiners(stage, stage.labels)
        if stage.hints is not None:
            self.feature_channels(stage)
        builders.check_start(stage, self.data, self.recipe)
        builders.loss(stage)
        view = builders.train_view(self.recipe, self.data_of(stage), 1, torch.device("cpu"))
        view.crops(self.rows_of(stage), 0)

    def _check_refiners(self, stage: Stage, part: Refined) -> None:
        outside = [name for name in part.by if name not in self.stages]
        frozen = [self.refiner(name, part) for name in outside]
        for name, network in zip(outside, frozen, strict=True):
            self._check_size(name, part, network)
            if stage.jitter and stage.jitter.through_refiner and not _has_gradient(network):
                raise RecipeError(
                    f"stages.{stage.id}.jitter.through_refiner: {name} has no gradient, since "
                    "PyTorch doesn't run it. Set jitter.through_refiner=false"
                )
        maps = [network.class_map for network in frozen]
        unlabelled = len(self.whole.manifest.rows(UNLABELLED)) > 0
        check_class_maps(stage.id, part, maps, self.data.classes, unlabelled=unlabelled)

    def feature_channels(self, stage: Stage) -> tuple[int, int]:
        """Channels of the feature maps of a stage with hints, and of its refiner's.

        Raises:
            RecipeError: when they can't be compared.
        """
        assert isinstance(stage.labels, Refined)
        (name,) = stage.labels.by
        refiner = self.stages.get(name) or self.refiner(name, stage.labels)
        return builders.feature_channels(stage, refiner, self.data, self.recipe)

    def rows_of(self, stage: Stage) -> np.ndarray:
        """Manifest rows that a stage trains on: with refined labels, also those without labels."""
        if not isinstance(stage.labels, Refined):
            return self.train_rows
        return np.concatenate([self.train_rows, self.whole.manifest.rows(UNLABELLED)])

    def data_of(self, stage: Stage) -> Dataset:
        """The images that a stage trains on: see `rows_of`."""
        return self.whole if isinstance(stage.labels, Refined) else self.data

    def use_threads(self) -> None:
        """Let this process compute with as many threads as the recipe asks for."""
        if self.recipe.engine.threads:
            torch.set_num_threads(self.recipe.engine.threads)

    def _check_size(self, name: str, part: Refining, frozen: FrozenNetwork) -> None:
        """Tell at which size a refiner predicts, where the student takes another."""
        crop = self.recipe.data.train_crop.size
        if frozen.size in (None, crop):
            return
        own, theirs = ("{}x{}".format(*size) for size in (frozen.size, crop))
        if part.refiner_size == "own":
            log.info(
                f"refiner {name}: labels each crop at its own {own} pixels (student: {theirs})"
            )
        else:
            log.warning(
                f"refiner {name}: was trained at {own} pixels, but labels crops of {theirs}. Its "
                "labels may be worse than its accuracy. Set labels.refiner_size: own"
            )

    def refiner(self, name: str, part: Refined) -> FrozenNetwork:
        """A network that refines: the id of a stage that is done, or one from outside."""
        crop = self.recipe.data.train_crop.size
        return self._frozen(name, None if part.refiner_size == "own" else crop, part)

    def start(self, name: str) -> FrozenNetwork:
        """A network that a stage starts from, named in the same way, for crops of the student."""
        return self._frozen(name, self.recipe.data.train_crop.size)

    def _frozen(self, name: str, size: Size | None, part: Refined | None = None) -> FrozenNetwork:
        if name in self.stages:
            return self.trained(name)
        which = name, size, repr(part and (part.classes, part.least_mass))
        if which not in self._outside:
            classes, least = (part.classes, part.least_mass) if part else (None, 1.0)
            self._outside[which] = frozen_network(
                open_network(name), self.data, size, classes=classes, least_mass=least
            )
        return self._outside[which]

    def trained(self, stage: str) -> FrozenNetwork:
        """The network of a stage that is done, read from its file.

        Raises:
            CheckpointError: when the file is damaged.
        """
        network, info = load_network(check_file(self.planned[stage].network))
        network = network.to(self.fabric.device)
        return FrozenNetwork(network, info.mean, info.std, info.classes, info.size)

    def predict(self, network: nn.Module, rows: np.ndarray) -> Predictions:
        """The network's predictions on whole images, by their rows in the manifest."""
        workers = builders.workers(self.recipe, self.data)
        return predict(network, self.eval_view, rows, workers=workers)

    def validate(self, network: nn.Module) -> Record:
        """Loss and top-1 (0 to 1) of a network in training on the validation split."""
        predicted = self.predict(network, self.data.manifest.rows("validation"))
        return {
            "validation_loss": negative_log_likelihood(predicted.probabilities, predicted.labels),
            "validation_top1": float(predicted.correct.mean()),
        }


def _has_gradient(frozen: FrozenNetwork) -> bool:
    """Whether a gradient flows through a network to its images."""
    return getattr(frozen.network, "has_gradient", True)
