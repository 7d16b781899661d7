"""Assessing refiners: open the data, label crops, measure the labels, judge and rank."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tinyrefinery import builders
from tinyrefinery.builders import FrozenNetwork
from tinyrefinery.data.batches import evenly_spaced
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.errors import DataError
from tinyrefinery.labels.refiner import Refiner
from tinyrefinery.networks.frozen import frozen_network
from tinyrefinery.networks.held_out import held_out
from tinyrefinery.networks.network import Network
from tinyrefinery.options.labels import BatchNorm, Refining
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.refiners.human_labels import HumanLabels, read_human_labels
from tinyrefinery.refiners.refiner_measures import Measurement, Setting, measure_refiner
from tinyrefinery.refiners.verdict import Ranking, Rule, Verdict, advantage, judge, rank

MODES: tuple[BatchNorm, ...] = ("batch", "running", "calibrated")

log = logging.getLogger("tinyrefinery")


@dataclass(frozen=True)
class HumanFile:
    """A file of human labels and how to join it, see `read_human_labels`."""

    path: Path
    key: str | None = None
    column: str | None = None
    split: str | None = None

    def read(self, data: Dataset) -> HumanLabels:
        """Read the labels of the data's images."""
        options = {"key": self.key, "column": self.column, "split": self.split}
        return read_human_labels(self.path, data.manifest, **options)


@dataclass(frozen=True)
class Options:
    """Settings of an assessment."""

    images: int = 2000
    """Largest number of images per split, training and validation."""
    crops: int = 4
    """Crops per image."""
    batch_norm: BatchNorm = "batch"
    bn_group: int | None = None
    """Crops that share batch statistics. None for the batch size of the recipe's last stage."""
    human: HumanFile | None = None
    classes: Mapping[str, str] | None = None
    """Of refiners with other classes, as `labels.classes` of a recipe. No label is replaced by a
    given one, so the measures are of the refiner alone."""


@dataclass(frozen=True)
class Assessment:
    """The assessment of several refiners on the same crops."""

    targets: tuple[Network, ...]
    """The refiners."""
    measured: dict[str, Measurement] = field(repr=False)
    """Measurements of refiners and students, by name."""
    ranking: Ranking
    facts: dict[str, Any]
    """Data, images, crops and batch normalization."""

    def verdict(self, refiner: str, student: str | None = None) -> Verdict:
        """The verdict on a refiner, for a student if one is named."""
        measurement = self.measured[refiner]
        lead = None if student is None else advantage(measurement, self.measured[student])
        return judge(measurement.measures, self.facts["classes"], lead=lead)

    def as_json(self, student: str | None = None) -> dict[str, Any]:
        """The assessment, JSON-ready, without values of single images.

        Args:
            student: name of the student that verdicts are for, if any.
        """
        ranking = {"basis": self.ranking.basis, "rests_on": self.ranking.rests_on}
        verdicts = {target.name: self.verdict(target.name, student) for target in self.targets}
        return {
            "format": 1,
            "on": self.facts | {"student": student},
            "rule": {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(Rule()).items()},
            "refiners": [
                {
                    "name": target.name,
                    "source": target.source,
                    "model": architecture(target),
                    "verdict": verdicts[target.name].grade,
                    "reasons": [
                        {"grade": grade, "what": what}
                        for grade, what in verdicts[target.name].reasons
                    ],
                    **self.measured[target.name].measures,
                }
                for target in self.targets
            ],
            "ranking": ranking | {"places": [asdict(place) for place in self.ranking.places]},
        }


def assess(
    targets: Sequence[Network],
    recipe: Recipe,
    options: Options,
    students: Sequence[Network] = (),
) -> Assessment:
    """Measure refiners and their students on one recipe's data, and rank the refiners.

    Crops are of a generation that no stage of the recipe was trained on. Held-out images are those
    of the validation split, because the test split must not be used to choose a refiner.

    Raises:
        DataError: when a split is empty, or the data can't be opened.
        CheckpointError: when a network doesn't fit the data.
    """
    networks = list({network.name: network for network in (*targets, *students)}.values())
    data = assessed_data(recipe, networks)
    frozen = {
        network.name: frozen_network(network, data, classes=options.classes) for network in networks
    }
    setting = _setting(recipe, data, options)
    images = len(setting.train_rows) + len(setting.held_out_rows)
    measured = {}
    for network in networks:
        log.info(f"{network.name}: labeling {setting.crops} crops of each of {images} images")
        modes = refiners(frozen[network.name], recipe, setting)
        measured[network.name] = measure_refiner(modes, options.batch_norm, setting)
    return Assessment(
        targets=tuple(targets),
        measured=measured,
        ranking=rank({target.name: measured[target.name] for target in targets}),
        facts=_facts(recipe, data, setting, options),
    )


def assessed_data(recipe: Recipe, networks: Sequence[Network]) -> Dataset:
    """Open the recipe's data, moving held-out images that a network was trained on to training."""
    data = builders.dataset(recipe.data)
    held = held_out(data.manifest, networks, own=True, fixed=True)
    for note in held.notes:
        log.info(note)
    return replace(data, manifest=held.manifest)


def architecture(network: Network) -> str:
    """Name of a network's architecture."""
    return network.trained.model if network.trained else network.info.name


def _setting(recipe: Recipe, data: Dataset, options: Options) -> Setting:
    device = builders.fabric(recipe.engine).device
    rows = {split: data.manifest.rows(split) for split in ("train", "validation")}
    for split, split_rows in rows.items():
        if len(split_rows) < 2:
            raise DataError(
                f"dataset '{data.name}': the {split} split has {len(split_rows)} images, but an "
                "assessment needs at least 2 training and 2 validation images: set "
                "data.source.validation"
            )
    if recipe.engine.threads:
        torch.set_num_threads(recipe.engine.threads)
    return Setting(
        view=builders.train_view(recipe, data, unseen_generation(recipe), device, mixed=False),
        image_view=builders.eval_view(recipe, data, device),
        train_rows=evenly_spaced(rows["train"], options.images),
        held_out_rows=evenly_spaced(rows["validation"], options.images),
        crops=options.crops,
        bn_group=options.bn_group or recipe.generations[-1].batch_size,
        workers=builders.workers(recipe, data),
        human=options.human.read(data) if options.human else None,
    )


def unseen_generation(recipe: Recipe) -> int:
    """A generation whose crops no stage of the recipe was trained on."""
    return len(recipe.generations) + 1


def refiners(frozen: FrozenNetwork, recipe: Recipe, setting: Setting) -> dict[str, Refiner]:
    """One network in each mode of batch normalization, calibrated on all training images."""
    rows = setting.view.dataset.manifest.rows("train")
    return {
        mode: builders.refiner(
            Refining(batch_norm=mode),
            [frozen],
            setting.view,
            rows,
            recipe.engine,
        )
        for mode in MODES
    }


def _facts(recipe: Recipe, data: Dataset, setting: Setting, options: Options) -> dict[str, Any]:
    crop = recipe.data.train_crop
    human = options.human
    return {
        "recipe": recipe.title,
        "data": data.name,
        "digest": data.manifest.digest,
        "classes": len(data.classes),
        "train_images": len(setting.train_rows),
        "validation_images": len(setting.held_out_rows),
        "crops": setting.crops,
        "train_crop": crop.model_dump(mode="json"),
        "batch_norm": options.batch_norm,
        "bn_group": int(np.minimum(setting.bn_group, len(setting.train_rows))),
        "seed": recipe.seed,
        "human": None if human is None else str(human.path),
        "human_images": None if setting.human is None else len(setting.human),
    }
