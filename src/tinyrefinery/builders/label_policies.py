"""From a recipe to refiners, label policies and stores."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from tinyrefinery import random
from tinyrefinery.builders.networks import FrozenNetwork
from tinyrefinery.data.batches import Size, View, shuffled, split_batches
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.errors import DataError
from tinyrefinery.labels.crop_labels import CropLabels
from tinyrefinery.labels.policy import (
    GivenLabels,
    LabelPolicy,
    MixedLabels,
    RefinedLabels,
    SmoothedLabels,
)
from tinyrefinery.labels.refiner import Refiner, renormalize
from tinyrefinery.labels.store.encodings import Form, choose
from tinyrefinery.labels.store.reader import StoredLabels
from tinyrefinery.labels.taxonomy import CategoryLabels, Taxonomy, choose_synsets
from tinyrefinery.labels.wordnet import WordNet, read_wordnet
from tinyrefinery.options.engine import Engine
from tinyrefinery.options.labels import Refined, Refining, Store
from tinyrefinery.options.labels import Taxonomy as Options
from tinyrefinery.recipe.stage import Stage

CALIBRATION_CROPS = 4096  # our choice: the mean over so many crops is stable to about 1 %


Normalization = tuple[tuple[float, ...], tuple[float, ...]]


def refiner(
    part: Refining,
    frozen: Sequence[FrozenNetwork],
    view: View,
    rows: np.ndarray,
    engine: Engine,
) -> Refiner:
    """Freeze networks as the recipe's labels say, calibrated where they ask for it."""
    given = (view.mean, view.std)
    frozen_networks = Refiner(
        [one.network.to(view.device) for one in frozen],
        part,
        bf16=engine.precision == "bf16",
        channels_last=engine.channels_last,
        prepare=[_preparation(given, (one.mean, one.std)) for one in frozen],
        sizes=[own_size(part, one, view.crop.size) for one in frozen],
        maps=[one.class_map for one in frozen],
    )
    if part.batch_norm == "calibrated":
        sample = shuffled(rows, random.integer(view.seed, "calibration"), 0)[:CALIBRATION_CROPS]
        batches = split_batches(sample, 256, drop_last=True)
        rendered = replace(view, sizes=frozen_networks.sizes)
        frozen_networks.calibrate(lambda: (rendered.render(batch, 0) for batch in batches))
    return frozen_networks


def own_size(part: Refining, network: FrozenNetwork, crop: Size) -> Size | None:
    """Size at which a refiner takes crops, where that is not the student's; else None."""
    if part.refiner_size == "student" or network.size in (None, crop):
        return None
    return network.size


def _preparation(given: Normalization, wanted: Normalization) -> Callable[[Tensor], Tensor] | None:
    same = tuple(map(tuple, given)) == tuple(map(tuple, wanted))
    return None if same else partial(renormalize, given=given, wanted=wanted)


POLICIES: dict[str, Callable[[Any, Dataset], LabelPolicy]] = {
    "ground_truth": lambda part, data: GivenLabels(
        len(data.classes), data.manifest, part.threshold_samples
    ),
    "label_smoothing": lambda part, data: SmoothedLabels(part, len(data.classes), data.manifest),
    "taxonomy": lambda part, data: CategoryLabels(build_taxonomy(part, data).labels),
}
"""Policies that need no refiner, by name."""


def policy(
    stage: Stage,
    labels: CropLabels | None,
    image_view: View,
    store: StoredLabels | None = None,
    crops: View | None = None,
) -> LabelPolicy:
    """The stage's label policy.

    Args:
        stage: what to train.
        labels: how crops are labeled, for labels by a refiner (`crop_labels`).
        image_view: the crop that stands for the whole image.
        store: where labels of crops are kept; None: recomputed each time.
        crops: the training crops, which may be mixed; None: they are not.
    """
    part, manifest = stage.labels, image_view.dataset.manifest
    if isinstance(part, Refined):
        assert labels is not None
        found = RefinedLabels(part, labels, image_view=image_view, store=store)
        if part.level == "crop":
            return found  # the refiner looks at the mixed crop
        manifest = labels.view.dataset.manifest
    else:
        found = POLICIES[part.name](part, image_view.dataset)
    return found if crops is None or crops.mix is None else MixedLabels(found, manifest)


def crop_labels(stage: Stage, refiner: Refiner, view: View, rows: np.ndarray) -> CropLabels:
    """How the stage's refiner labels the crops of `view`: in BN groups of the recipe's size."""
    assert isinstance(stage.labels, Refined)
    data = view.dataset
    given: LabelPolicy = GivenLabels(len(data.classes), data.manifest)
    if view.mix is not None:
        given = MixedLabels(given, data.manifest)
    group = stage.labels.bn_group or stage.batch_size
    return CropLabels(refiner, view, rows, group=group, given=given)


def stored_labels(stage: Stage, labels: CropLabels, root: Path, **options: Any) -> StoredLabels:
    """The stage's stored labels: in the folder of stores it names, else under `root`.

    Args:
        stage: with labels that have a store.
        labels: how they are made (`crop_labels`).
        root: where the labels are kept if the recipe doesn't say.
        **options: of `StoredLabels`.
    """
    part = stage.labels
    assert isinstance(part, Refined)
    assert part.store is not None
    place = Path(part.store.path).expanduser() if part.store.path else root
    return StoredLabels(
        labels, place, label_form(stage, len(labels.view.dataset.classes)), **options
    )


def label_form(stage: Stage, classes: int) -> Form:
    """How the stage's labels are written; exact where they aren't."""
    part = stage.labels.store if isinstance(stage.labels, Refined) else None
    return choose(part.form, classes, part.top) if part else choose("float32", classes)


def describe_labels(stage: Stage) -> str:
    """The stage's labels in a few words, for tables."""
    labels = stage.labels
    if not isinstance(labels, Refined):
        return labels.name.replace("_", " ")
    notes = [labels.level] if labels.level != "crop" else []
    notes += ["hard"] if labels.hard else []
    notes += [f"BN {labels.batch_norm}"] if labels.batch_norm != "batch" else []
    notes += [f"T={labels.temperature:g}"] if labels.temperature != 1 else []
    notes += ["other classes, mapped"] if labels.classes else []
    notes += [_describe_form(labels.store)] if labels.store else []
    notes += [f"pool of {stage.crop_pool}"] if stage.crop_pool else []
    notes += ["jittered"] if stage.jitter else []
    notes += ["hints"] if stage.hints else []
    return " + ".join(labels.by) + (f" ({', '.join(notes)})" if notes else "")


def _describe_form(part: Store) -> str:
    if part.top:
        return f"stored top {part.top}"
    return "stored" if part.form == "auto" else f"stored {part.form}"


def taxonomy(stage: Stage, data: Dataset) -> Taxonomy | None:
    """What the stage's labels are made of; None: they are no taxonomy's.

    Raises:
        DataError: when WordNet can't be read, or a class has no synset.
    """
    return build_taxonomy(stage.labels, data) if isinstance(stage.labels, Options) else None


def build_taxonomy(part: Options, data: Dataset) -> Taxonomy:
    """The labels of a taxonomy; kept, since the similarities of many classes take a while.

    Raises:
        DataError: when WordNet can't be read, or a class has no synset.
    """
    return _build_taxonomy(part.model_dump_json(), data.classes, _wnids(data))


@lru_cache(maxsize=8)
def _build_taxonomy(
    text: str, classes: tuple[str, ...], wnids: tuple[str | None, ...] | None
) -> Taxonomy:
    part = Options.model_validate_json(text)
    net = _read(Path(part.wordnet).expanduser())
    return Taxonomy(part, net, choose_synsets(net, classes, part.synsets, wnids))


@lru_cache(maxsize=1)
def _read(path: Path) -> WordNet:
    return read_wordnet(path)


def _wnids(data: Dataset) -> tuple[str | None, ...] | None:
    """The wnid of each class, where the data has a column of them.

    Raises:
        DataError: when images of one class have different ones.
    """
    manifest = data.manifest
    if "wnid" not in manifest.table.column_names:
        return None
    wnids: list[str | None] = []
    column = manifest.column("wnid")
    for number, name in enumerate(data.classes):
        of_class = {wnid for wnid in column[manifest.labels == number] if wnid is not None}
        if len(of_class) > 1:
            raise DataError(
                f"data '{data.name}': class '{name}' has images of several wnids "
                f"({', '.join(sorted(map(str, of_class))[:5])}); fix the column wnid, or set "
                f"labels.synsets={{{name}: ...}}"
            )
        wnids.append(str(of_class.pop()) if of_class else None)
    return tuple(wnids)
