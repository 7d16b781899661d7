"""From a recipe to objects: the one file that knows both sides."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from tinyrefinery import losses, models, random
from tinyrefinery.chain import CollapseRule, StopRule
from tinyrefinery.data.batches import View, shuffled, split_batches
from tinyrefinery.data.crops import ColorSpec, CropSpec
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.images import ResidentImages
from tinyrefinery.data.open import open_data
from tinyrefinery.errors import CheckpointError, DataError, RecipeError
from tinyrefinery.labels.crop_labels import CropLabels
from tinyrefinery.labels.forms import Form, choose
from tinyrefinery.labels.policy import GroundTruth, LabelPolicy, LabelSmoothing, Refined
from tinyrefinery.labels.refiner import Refiner, renormalize
from tinyrefinery.labels.stored import StoredLabels
from tinyrefinery.losses import Loss
from tinyrefinery.models.network_file import NetworkInfo, load_network
from tinyrefinery.models.weights import load_weights
from tinyrefinery.recipe.data import Data
from tinyrefinery.recipe.labels import Refined as RefinedPart
from tinyrefinery.recipe.labels import Store
from tinyrefinery.recipe.schema import Engine, Recipe, Stage
from tinyrefinery.training import optimizers, schedules
from tinyrefinery.training.loop import Settings

# What it has to say (which precision, how many devices) stands in the recipe.
logging.getLogger("lightning_fabric").setLevel(logging.ERROR)

CALIBRATION_CROPS = 4096  # our choice: the mean over so many crops is stable to about 1 %


@dataclass(frozen=True)
class FrozenNetwork:
    """A network that can refine, with the input it expects."""

    network: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...]


def dataset(data: Data) -> Dataset:
    """Open the recipe's data set.

    Raises:
        DataError: when it can't be opened, or was handed over by Python code.
    """
    if data.source.name == "given":
        raise DataError(
            "data.source: the data set was handed over by Python code, so a command can't open it; "
            "name a source, e.g. 'data.source={name: folder, root: photos/}'"
        )
    return open_data(data.source.name, **data.source.model_dump(exclude={"name"}))


def train_spec(data: Data) -> CropSpec:
    """The training crop, with its flips, rotations and colors."""
    crop = data.train_crop
    options = crop.model_dump(exclude={"name", "size"})
    color = ColorSpec(**data.color.model_dump()) if data.color else None
    return CropSpec(
        crop.name, crop.size, flip=data.flip, rotate=data.rotate, color=color, **options
    )


def eval_spec(data: Data) -> CropSpec:
    """The crop that networks are evaluated on."""
    return CropSpec("center", data.eval_crop.size, resize=data.eval_crop.resize)


def stage_seed(recipe: Recipe, what: str, generation: int, own: int | None = None) -> int:
    """Seed of a stage's weights, order or training noise.

    It depends on the recipe's seed and the generation: stages of one generation have the same, so
    that they can be compared in pairs, unless one has a seed of its own.
    """
    return random.integer(recipe.seed, what, generation, *([] if own is None else [own]))


def train_view(
    recipe: Recipe,
    data: Dataset,
    generation: int,
    device: torch.device,
    pool: int | None = None,
) -> View:
    """The training crops of a generation, in `pool` streams.

    Each generation sees crops of its own, so that none is labelled on the very crops its refiner
    was trained on.
    """
    own = recipe.data.crop_seed
    seed = random.integer(recipe.seed if own is None else own, "crops", generation)
    return View(data, train_spec(recipe.data), seed, *recipe.data.normalization, device, pool)


def eval_view(recipe: Recipe, data: Dataset, device: torch.device) -> View:
    """Whole images, as networks are evaluated."""
    return View(data, eval_spec(recipe.data), 0, *recipe.data.normalization, device)


def skeleton(stage: Stage, data: Dataset, recipe: Recipe) -> nn.Module:
    """The stage's network without memory for its weights, on the meta device."""
    kwargs = {key: value for key, value in stage.model.kwargs.items() if key != "pretrained"}
    without = stage.model_copy(update={"model": stage.model.model_copy(update={"kwargs": kwargs})})
    with torch.device("meta"):
        return _architecture(without, data, recipe)


def _architecture(stage: Stage, data: Dataset, recipe: Recipe) -> nn.Module:
    return models.create(
        stage.model.name,
        len(data.classes),
        size=recipe.data.train_crop.size,
        channels=data.images.channels,
        **stage.model.kwargs,
    )


def network(stage: Stage, data: Dataset, recipe: Recipe, generation: int) -> nn.Module:
    """A new network, its weights a function of seed, generation and architecture."""
    model = stage.model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stage_seed(recipe, "weights", generation, stage.seed))
        net = _architecture(stage, data, recipe)
    if model.weights is not None:
        load_weights(net, Path(model.weights), len(data.classes))
    layout = torch.channels_last if recipe.engine.channels_last else torch.contiguous_format
    return net.to(memory_format=layout)


def describe(recipe: Recipe, stage: Stage, data: Dataset) -> NetworkInfo:
    """What a file of this stage's network has to say about it."""
    mean, std = recipe.data.normalization
    return NetworkInfo(
        name=stage.model.name,
        kwargs=dict(stage.model.kwargs),
        classes=data.classes,
        size=recipe.data.train_crop.size,
        channels=data.images.channels,
        mean=tuple(mean),
        std=tuple(std),
        extra={"stage": stage.id, "seed": recipe.seed},
    )


def outside_refiner(name: str, data: Dataset, recipe: Recipe) -> FrozenNetwork:
    """The refiner `file:PATH` or `timm:NAME`.

    Raises:
        CheckpointError: when the file is unreadable or knows other classes.
    """
    kind, _, rest = name.partition(":")
    if kind == "timm":
        return _timm_refiner(rest, data, recipe)
    classes = data.classes
    net, info = load_network(Path(rest))
    if len(info.classes) != len(classes):
        raise CheckpointError(
            f"{rest}: knows {len(info.classes)} classes, but data set '{data.name}' has "
            f"{len(classes)}; a refiner must know the same classes"
        )
    if info.classes != classes:
        first = next(
            i for i, pair in enumerate(zip(info.classes, classes, strict=True)) if len({*pair}) > 1
        )
        raise CheckpointError(
            f"{rest}: its class {first} is '{info.classes[first]}', but in data set '{data.name}' "
            f"it is '{classes[first]}'; a refiner must know the same classes in the same order"
        )
    if info.channels != data.images.channels:
        raise CheckpointError(
            f"{rest}: takes images of {info.channels} channels, but data set '{data.name}' has "
            f"{data.images.channels}; set data.source.channels"
        )
    return FrozenNetwork(net, info.mean, info.std, info.classes)


def _timm_refiner(name: str, data: Dataset, recipe: Recipe) -> FrozenNetwork:
    """A pretrained model of timm that knows as many classes as the data has."""
    import timm

    known = timm.get_pretrained_cfg(name)
    if known is None or known.num_classes != len(data.classes):
        trained = f"for {known.num_classes} classes" if known else "not at all"
        raise CheckpointError(
            f"labels.by 'timm:{name}': is pretrained {trained}, but data set '{data.name}' has "
            f"{len(data.classes)}; fine-tune it in a stage of its own (model: {{name: timm:{name}, "
            "kwargs: {pretrained: true}}) and let that stage refine"
        )
    net = models.create(
        f"timm:{name}",
        len(data.classes),
        size=recipe.data.train_crop.size,
        channels=data.images.channels,
        pretrained=True,
    )
    return FrozenNetwork(net, tuple(known.mean), tuple(known.std), data.classes)


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
    if labels.name == "label_smoothing":
        return LabelSmoothing(classes, labels.epsilon)
    return GroundTruth(classes)


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
    place = Path(part.store.path) if part.store.path else root
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
    return " + ".join(labels.by) + (f" ({', '.join(notes)})" if notes else "")


def _describe_form(part: Store) -> str:
    if part.top:
        return f"stored top {part.top}"
    return "stored" if part.form == "auto" else f"stored {part.form}"


def loss(stage: Stage) -> Loss:
    """The stage's loss."""
    return losses.create(stage.loss.name, **stage.loss.model_dump(exclude={"name"}))


def optimizer(stage: Stage, net: nn.Module) -> torch.optim.Optimizer:
    """The stage's optimizer over all of the network's weights."""
    settings = stage.optimizer.model_dump(exclude={"name"})
    return optimizers.create(stage.optimizer.name, net.parameters(), **settings)


def schedule(stage: Stage) -> schedules.Schedule:
    """The stage's learning-rate schedule."""
    part = stage.schedule
    options = part.model_dump(exclude={"name", "warmup", "warmup_start"})
    if part.name == "plateau":
        return schedules.Plateau(**part.model_dump(exclude={"name"}))
    if part.name in ("cosine", "one_cycle"):
        options["epochs"] = stage.epochs
    makers: Mapping[str, Callable[..., schedules.Schedule]] = {
        "constant": schedules.constant,
        "step": schedules.step,
        "cosine": schedules.cosine,
        "exponential": schedules.exponential,
        "one_cycle": schedules.one_cycle,
    }
    return schedules.with_warmup(makers[part.name](**options), part.warmup, part.warmup_start)


def workers(recipe: Recipe, data: Dataset) -> int:
    """Threads that prepare crops; where nothing is decoded they cost more than they give."""
    return 0 if isinstance(data.images, ResidentImages) else recipe.data.workers


def settings(recipe: Recipe, stage: Stage, generation: int, data: Dataset) -> Settings:
    """How long and in what steps the stage trains."""
    engine = recipe.engine
    known = {each.id: each for each in recipe.generations}
    order = (known[stage.beside] if stage.beside else stage).seed  # those in step have one order
    apart = order is not None or recipe.data.crop_seed is not None
    return Settings(
        epochs=stage.epochs,
        batch_size=stage.batch_size,
        seed=stage_seed(recipe, "training", generation, stage.seed),
        order_seed=stage_seed(recipe, "order", generation, order) if apart else None,
        accumulate=stage.accumulate,
        clip_norm=stage.clip_norm,
        ema=stage.ema,
        workers=workers(recipe, data),
        evaluate_every=stage.evaluate_every,
        checkpoint_every_epochs=engine.checkpoint_every_epochs,
        checkpoint_every_steps=engine.checkpoint_every_steps,
        tensorboard=engine.tensorboard,
        channels_last=engine.channels_last,
    )


def fabric(engine: Engine) -> Fabric:
    """Devices and precision, not launched yet.

    Raises:
        RecipeError: when the device isn't there.
    """
    if engine.tensorboard and not find_spec("tensorboard"):
        raise RecipeError(
            "engine.tensorboard: the package tensorboard is missing; "
            "pip install 'tinyrefinery[tensorboard]'"
        )
    if engine.deterministic and engine.device != "cpu" and torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS asks for
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        return Fabric(
            accelerator=engine.device,
            devices=engine.devices,
            precision="bf16-mixed" if engine.precision == "bf16" else "32-true",
        )
    except (RuntimeError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise RecipeError(
            f"engine: device '{engine.device}' x {engine.devices} can't be used ({first}); write "
            "engine.device=auto or cpu"
        ) from error


def collapse_rule(recipe: Recipe) -> CollapseRule | None:
    """When a generation counts as collapsed; None: never."""
    part = recipe.chain.collapse
    return CollapseRule(part.below_refiner, part.near_chance) if part else None


def stop_rule(recipe: Recipe) -> StopRule | None:
    """When the chain ends for lack of gain; None: never."""
    part = recipe.chain
    return StopRule(part.min_gain, part.patience) if part.stop_without_gain else None
