"""How good are these refiners? Open the data, label, measure, judge and rank."""

import logging
from collections.abc import Sequence
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
from tinyrefinery.refiners.measures import Measured, Setting, measure_refiner
from tinyrefinery.refiners.verdict import Ranking, Rule, Verdict, ahead, judge, rank

MODES: tuple[BatchNorm, ...] = ("batch", "running", "calibrated")

log = logging.getLogger("tinyrefinery")


@dataclass(frozen=True)
class HumanFile:
    """A file of human labels and how it is joined; see `read_human_labels`."""

    path: Path
    key: str | None = None
    column: str | None = None
    split: str | None = None

    def read(self, data: Dataset) -> HumanLabels:
        """The labels of the data's images."""
        options = {"key": self.key, "column": self.column, "split": self.split}
        return read_human_labels(self.path, data.manifest, **options)


@dataclass(frozen=True)
class Options:
    """How refiners are looked at."""

    images: int = 2000
    """Of the training and of the validation split each, at most."""
    crops: int = 4
    """Of each image."""
    batch_norm: BatchNorm = "batch"
    bn_group: int | None = None
    """Crops that share batch statistics; None: the batch size of the recipe's last stage."""
    human: HumanFile | None = None


@dataclass(frozen=True)
class Assessment:
    """What was found of refiners that were looked at together."""

    targets: tuple[Network, ...]
    measured: dict[str, Measured] = field(repr=False)
    """By name, of the targets and of those that are to learn."""
    ranking: Ranking
    facts: dict[str, Any]
    """On what: data, images, crops, batch normalization."""

    def verdict(self, refiner: str, student: str | None = None) -> Verdict:
        """What a refiner is worth, for a student where one is named."""
        own = self.measured[refiner]
        over = None if student is None else ahead(own, self.measured[student])
        return judge(own.measures, self.facts["classes"], over=over)

    def as_json(self, student: str | None = None) -> dict[str, Any]:
        """Everything but the values of single images, as plain data; `student`: who is to learn."""
        ranking = {"basis": self.ranking.basis, "rests_on": self.ranking.rests_on}
        verdicts = {each.name: self.verdict(each.name, student) for each in self.targets}
        return {
            "format": 1,
            "on": self.facts | {"student": student},
            "rule": {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(Rule()).items()},
            "refiners": [
                {
                    "name": each.name,
                    "source": each.source,
                    "model": architecture(each),
                    "verdict": verdicts[each.name].grade,
                    "reasons": [
                        {"grade": grade, "what": what}
                        for grade, what in verdicts[each.name].reasons
                    ],
                    **self.measured[each.name].measures,
                }
                for each in self.targets
            ],
            "ranking": ranking | {"places": [asdict(each) for each in self.ranking.places]},
        }


def assess(
    targets: Sequence[Network],
    recipe: Recipe,
    options: Options,
    students: Sequence[Network] = (),
) -> Assessment:
    """Measure and rank refiners on one recipe's data, and measure who is to learn from them.

    The crops are of a generation that no stage of the recipe was trained on. The validation split
    is what is held out: choosing a refiner is a choice, and the test split chooses nothing.

    Raises:
        DataError: when a split is empty, and as the data's source.
        CheckpointError: when a network doesn't fit the data.
    """
    everyone = list({each.name: each for each in (*targets, *students)}.values())
    data = assessed_data(recipe, everyone)
    size = recipe.data.train_crop.size
    frozen = {each.name: frozen_network(each, data, size) for each in everyone}
    on = _setting(recipe, data, options)
    measured = {}
    for target in everyone:
        images = len(on.train_rows) + len(on.held_out_rows)
        log.info(f"{target.name}: {on.crops} crops of each of {images} images")
        modes = refiners(frozen[target.name], recipe, on)
        measured[target.name] = measure_refiner(modes, options.batch_norm, on)
    return Assessment(
        targets=tuple(targets),
        measured=measured,
        ranking=rank({each.name: measured[each.name] for each in targets}),
        facts=_facts(recipe, data, on, options),
    )


def assessed_data(recipe: Recipe, networks: Sequence[Network]) -> Dataset:
    """The recipe's data; a held-out image that a network was trained on is moved to training."""
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
    for split, mine in rows.items():
        if len(mine) < 2:
            raise DataError(
                f"data set '{data.name}': the {split} split has {len(mine)} images; a refiner is "
                "looked at on training and on validation images"
            )
    if recipe.engine.threads:
        torch.set_num_threads(recipe.engine.threads)
    return Setting(
        view=builders.train_view(recipe, data, unseen_generation(recipe), device),
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


def refiners(frozen: FrozenNetwork, recipe: Recipe, on: Setting) -> dict[str, Refiner]:
    """One network under each mode of batch normalization; calibrated on all training images."""
    rows = on.view.dataset.manifest.rows("train")
    return {
        mode: builders.refiner(
            Refining(batch_norm=mode),
            [frozen],
            on.view,
            rows,
            recipe.engine,
        )
        for mode in MODES
    }


def _facts(recipe: Recipe, data: Dataset, on: Setting, options: Options) -> dict[str, Any]:
    crop = recipe.data.train_crop
    human = options.human
    return {
        "recipe": recipe.title,
        "data": data.name,
        "digest": data.manifest.digest,
        "classes": len(data.classes),
        "train_images": len(on.train_rows),
        "validation_images": len(on.held_out_rows),
        "crops": on.crops,
        "train_crop": crop.model_dump(mode="json"),
        "batch_norm": options.batch_norm,
        "bn_group": int(np.minimum(on.bn_group, len(on.train_rows))),
        "seed": recipe.seed,
        "human": None if human is None else str(human.path),
        "human_images": None if on.human is None else len(on.human),
    }
