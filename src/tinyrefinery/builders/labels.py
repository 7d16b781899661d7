"""From a recipe to refiners, label policies and stores."""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from tinyrefinery import random
from tinyrefinery.builders.networks import FrozenNetwork
from tinyrefinery.data.batches import View, shuffled, split_batches
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.errors import DataError
from tinyrefinery.labels.crop_labels import CropLabels
from tinyrefinery.labels.policy import GroundTruth, LabelPolicy, LabelSmoothing, Refined
from tinyrefinery.labels.refiner import Refiner, renormalize
from tinyrefinery.labels.store.encodings import Form, choose
from tinyrefinery.labels.store.reader import StoredLabels
from tinyrefinery.labels.taxonomy import CategoryLabels, Definition, Taxonomy, choose_synsets
from tinyrefinery.labels.wordnet import WordNet, read_wordnet
from tinyrefinery.recipe.labels import Refined as RefinedPart
from tinyrefinery.recipe.labels import Store
from tinyrefinery.recipe.labels import Taxonomy as TaxonomyPart
from tinyrefinery.recipe.schema import Engine
from tinyrefinery.recipe.stage import Stage

CALIBRATION_CROPS = 4096  # our choice: the mean over so many crops is stable to about 1 %


def refiner(
    labels: RefinedPart,
    frozen: Sequence[FrozenNetwork],
    view: View,
    rows: np.ndarray,
    engine: Engine,
) -> Refiner:
    """Freeze networks as the recipe's labels say, calibrated where they ask for it."""
    given = (view.mean, view.std)
    made = Refiner(
        [each.network.to(view.device) for each in frozen],
        batch_norm=labels.batch_norm,
        temperature=labels.temperature,
        bf16=engine.precision == "bf16",
        channels_last=engine.channels_last,
        prepare=[_preparation(given, (each.mean, each.std)) for each in frozen],
    )
    if labels.batch_norm == "calibrated":
        sample = shuffled(rows, random.integer(view.seed, "calibration"), 0)[:CALIBRATION_CROPS]
        batches = split_batches(sample, 256, drop_last=True)
        made.calibrate(lambda: (view.render(batch, 0).images for batch in batches))
    return made


Normalization = tuple[tuple[float, ...], tuple[float, ...]]


def _preparation(given: Normalization, wanted: Normalization) -> Callable[[Tensor], Tensor] | None:
    same = tuple(map(tuple, given)) == tuple(map(tuple, wanted))
    return None if same else partial(renormalize, given=given, wanted=wanted)


def policy(
    stage: Stage,
    refiners: Refiner | None,
    view: View,
    image_view: View,
    rows: np.ndarray,
    store: StoredLabels | None = None,
) -> LabelPolicy:
    """The stage's label policy."""
    labels, classes = stage.labels, len(view.dataset.classes)
    if isinstance(labels, RefinedPart):
        assert refiners is not None
        return Refined(
            refiners,
            view,
            rows,
            image_view=image_view,
            level=labels.level,
            hard=labels.hard,
            bn_group=labels.bn_group or stage.batch_size,
            store=store,
        )
    if (made := taxonomy(stage, view.dataset)) is not None:
        return CategoryLabels(made.labels)
    if labels.name == "label_smoothing":
        return LabelSmoothing(classes, labels.epsilon, view.dataset.manifest)
    return GroundTruth(classes, view.dataset.manifest)


def stored_labels(
    stage: Stage,
    refiners: Refiner,
    view: View,
    rows: np.ndarray,
    root: Path,
    **options: Any,
) -> StoredLabels:
    """The stage's stored labels: in the folder of stores it names, else under `root`.

    Args:
        stage: with labels that have a store.
        refiners: the frozen networks.
        view: the training crops.
        rows: the training samples.
        root: where the labels are kept if the recipe doesn't say.
        **options: of `StoredLabels`.
    """
    part = stage.labels
    assert isinstance(part, RefinedPart)
    assert part.store is not None
    labels = CropLabels(refiners, view, rows, group=part.bn_group or stage.batch_size)
    form = label_form(stage, len(view.dataset.classes))
    place = Path(part.store.path).expanduser() if part.store.path else root
    return StoredLabels(labels, place, form, **options)


def label_form(stage: Stage, classes: int) -> Form:
    """How the stage's labels are written; exact where they aren't."""
    part = stage.labels.store if isinstance(stage.labels, RefinedPart) else None
    return choose(part.form, classes, part.top) if part else choose("float32", classes)


def describe_labels(stage: Stage) -> str:
    """The stage's labels in a few words, for tables."""
    labels = stage.labels
    if not isinstance(labels, RefinedPart):
        return labels.name.replace("_", " ")
    notes = [labels.level] if labels.level != "crop" else []
    notes += ["hard"] if labels.hard else []
    notes += [f"BN {labels.batch_norm}"] if labels.batch_norm != "batch" else []
    notes += [f"T={labels.temperature:g}"] if labels.temperature != 1 else []
    notes += [_describe_form(labels.store)] if labels.store else []
    notes += [f"pool of {stage.crop_pool}"] if stage.crop_pool else []
    notes += ["jittered"] if stage.jitter else []
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
    part = stage.labels
    if not isinstance(part, TaxonomyPart):
        return None
    given = tuple(sorted(part.synsets.items()))
    wnids = _wnids(data)
    path = Path(part.wordnet).expanduser()
    return _made(path, data.classes, wnids, given, part.definition, part.temperature)


@lru_cache(maxsize=8)
def _made(
    path: Path,
    classes: tuple[str, ...],
    wnids: tuple[str | None, ...] | None,
    given: tuple[tuple[str, str], ...],
    definition: Definition,
    temperature: float,
) -> Taxonomy:
    net = _read(path)
    choices = choose_synsets(net, classes, dict(given), wnids)
    return Taxonomy(net, choices, definition=definition, temperature=temperature)


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
    found: list[str | None] = []
    column = manifest.column("wnid")
    for number, name in enumerate(data.classes):
        those = {wnid for wnid in column[manifest.labels == number] if wnid is not None}
        if len(those) > 1:
            raise DataError(
                f"data '{data.name}': class '{name}' has images of several wnids "
                f"({', '.join(sorted(map(str, those))[:5])}); mend the column wnid, or say which "
                f"in labels.synsets={{{name}: ...}}"
            )
        found.append(str(those.pop()) if those else None)
    return tuple(found)
