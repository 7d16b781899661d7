"""The Python interface: the commands, on objects in memory."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinyrefinery.data.dataset import Dataset
from tinyrefinery.deploy.budget_check import check_budgets
from tinyrefinery.deploy.export.export_options import ExportOptions
from tinyrefinery.deploy.export.exported import Exported
from tinyrefinery.deploy.export.exporting import export_network
from tinyrefinery.errors import DataError, RecipeError, check_options
from tinyrefinery.execution.chain import Chain
from tinyrefinery.execution.execute import run
from tinyrefinery.fitting.fit_options import FitOptions
from tinyrefinery.fitting.fit_pictures import Fitted, fit_folder, fit_pictures
from tinyrefinery.networks.network import Network
from tinyrefinery.networks.opening import open_network
from tinyrefinery.options.budget import read_budget
from tinyrefinery.options.crops import Inception
from tinyrefinery.options.messages import check
from tinyrefinery.recipe.data import Data
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.recipe.shipped import locate
from tinyrefinery.recipe.stage import Stage
from tinyrefinery.runs.plan import Job, run_folder, seeded
from tinyrefinery.sharing.card_facts import card_facts
from tinyrefinery.sharing.model_card import card_text, write_card


def train(
    recipe: str | Path | Recipe,
    overrides: Sequence[str] = (),
    *,
    seeds: int = 1,
    folder: str | Path | None = None,
    data: Dataset | None = None,
) -> list[Chain]:
    """Train what a recipe asks for, or resume where it was interrupted; as `tinyrefinery run`.

    Args:
        recipe: a file, the name of a shipped recipe, or a recipe.
        overrides: changes to a recipe file, e.g. `["seed=1", "stages.plain.epochs=3"]`.
        seeds: how many, counted from the recipe's.
        folder: the run folder; else `runs/NAME-DIGEST`.
        data: a dataset to use instead of opening the recipe's source.

    Returns:
        A chain for each seed: `chain[-1].network`, `chain["plain"].evaluation["test"]["top1"]`.

    Raises:
        RefineryError: for anything that the user can fix.
    """
    name = "recipe"
    if not isinstance(seeds, int) or seeds < 1:
        raise RecipeError(f"train: seeds is {seeds!r}. Give the number of seeds, at least 1")
    _check_folder(folder, "train")
    if not isinstance(recipe, str | Path | Recipe):
        raise RecipeError(
            f"train: recipe is {_kind(recipe)}. Give a file, the name of a shipped recipe, such as "
            "'starter/cifar10', or a Recipe"
        )
    if data is not None:
        _check_dataset(data, "train")
    if not isinstance(recipe, Recipe):
        path = locate(recipe)
        name, recipe = path.stem, load_recipe(path, overrides)
    elif overrides:
        raise TypeError("overrides change a recipe file; change a Recipe with model_copy")
    place = Path(folder) if folder else run_folder(Path("runs"), name, recipe)
    jobs = [Job(job) for job in seeded(recipe, seeds)]
    return run(jobs, place, data=data, check=check_budgets)


def refine(
    data: Dataset,
    models: Sequence[str | Mapping[str, Any]],
    *,
    epochs: int | None = None,
    lr: float | None = None,
    size: int | tuple[int, int] | None = None,
    labels: Mapping[str, Any] | None = None,
    store: str | Path | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    **options: Any,
) -> Chain:
    """Train a chain: the first model on given labels, each next on those of the one before.

    What is not given is as in the first stage of the recipe `starter/folder`: epochs, learning
    rate, weight decay, warm-up, batch size, area of the crops, flips, and at most its size.

    Args:
        data: from `open_data`.
        models: names, or mappings with `name` and `kwargs`, e.g. `["resnet18", "resnet8"]`.
        epochs: passes over the training split, for each model.
        lr: largest learning rate of SGD with momentum and a cosine schedule.
        size: of the crops in pixels; else the images' own, at most the recipe's.
        labels: options of the refined labels, e.g. `{"hard": True}` (see the recipe's `labels`).
        store: folder in which refined labels are kept, so that they are made once; else each
            network's labels are made as it trains.
        seed: of weights, order and crops.
        folder: the run folder; else `runs/NAME-DIGEST`.
        **options: any other option of a recipe's data (`flip=0`), of its inception crop
            (`area=(0.3, 1)`) or, for all models, of a stage (`batch_size=64`, `ema=0.999`).

    Returns:
        The chain: `chain[-1]` is the last network, with its `evaluation`.

    Raises:
        RefineryError: for anything that the user can fix.
    """
    _check_dataset(data, "refine")
    if not isinstance(labels, Mapping | None):
        raise RecipeError(f"refine: labels is {labels!r}. Give a mapping, such as {{'hard': True}}")
    starter = load_recipe(locate("starter/folder"))
    usual, crop = starter.generations[0], starter.data.train_crop
    options = {
        "area": getattr(crop, "area", None),
        "flip": starter.data.flip,
        "batch_size": usual.batch_size,
    } | options
    crops, stage = _crops(data, size, options, most=max(crop.size))
    refined = dict(labels or {}) | ({} if store is None else {"store": str(store)})
    stages = _stages(models, _as_stage(usual, epochs, lr) | stage, refined)
    _check_labels(labels or {}, store, stages)
    title = " -> ".join(stage["id"] for stage in stages) + f" on {data.name}"
    raw = {"title": title, "seed": seed, "data": crops, "stages": stages}
    return train(check(raw, Recipe, source="refine"), folder=folder, data=data)[0]


def fine_tune(
    data: Dataset,
    network: str | Path,
    *,
    epochs: int = 30,
    lr: float = 0.01,
    batch_size: int = 64,
    size: int | tuple[int, int] | None = None,
    layer_decay: float | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    **options: Any,
) -> Chain:
    """Train a network that is already trained on other data, with a new last layer.

    Args:
        data: from `open_data`.
        network: a run folder, of which the last stage counts, a stage's folder or a network file.
        epochs: passes over the training split.
        lr: largest learning rate of SGD with momentum and a cosine schedule.
        batch_size: crops per step.
        size: of the crops in pixels; else what the network was trained with.
        layer_decay: each block's rate as a share of the next one's; None: one rate for all.
        seed: of the new layer, order and crops.
        folder: the run folder; else `runs/NAME-DIGEST`.
        **options: any other option of a recipe's data, of its inception crop or of a stage, as
            for `refine`, e.g. `freeze=8`.

    Returns:
        The chain, of one network: `chain[-1]`.

    Raises:
        RefineryError: for anything that the user can fix.
    """
    _check_dataset(data, "fine_tune")
    start = open_network(network)
    if start.kind != "file":
        raise DataError(f"{network}: can't be fine-tuned. Give a run folder or a network file")
    info = start.info
    kwargs = {key: value for key, value in info.kwargs.items() if key != "pretrained"}
    crops, stage = _crops(data, size or info.size, options)
    common = _common(epochs, lr, layer_decay=layer_decay) | {"batch_size": batch_size}
    common |= {"init_from": start.source, "replace_head": True}
    stages = _stages([{"name": info.name, "kwargs": kwargs}], common | stage, {})
    crops = {"mean": list(info.mean), "std": list(info.std)} | crops
    title = f"{stages[0]['id']} fine-tuned on {data.name}"
    raw = {"title": title, "seed": seed, "data": crops, "stages": stages}
    return train(check(raw, Recipe, source="fine_tune"), folder=folder, data=data)[0]


def fit(
    pictures: str | Path,
    *,
    flash: str | None = None,
    ram: str | None = None,
    macs: str | None = None,
    folder: str | Path | None = None,
    source: Sequence[str] = (),
    **options: Any,
) -> Fitted:
    """Train the best small network for pictures and a budget; as `tinyrefinery fit`.

    Args:
        pictures: a folder with one folder of pictures per class, or Parquet files.
        flash: most bytes of flash, e.g. "100kB"; None: the device's, else 100kB.
        ram: most bytes of RAM, e.g. "64kB"; None: the device's, else 64kB.
        macs: most multiply-accumulates, e.g. "15M"; None: any.
        folder: for everything; else `fit/NAME`, of the pictures.
        source: options of the data source, e.g. `["group=home"]`.
        **options: further `FitOptions`: `to`, `device`, `hours`, `seed`, `refiner`.

    Returns:
        What was found: `.artifact`, `.network`, `.shipped.predictions` of the test pictures.

    Raises:
        RefineryError: for anything that the user can fix.
    """
    from tinyrefinery.fitting.fit_page import write_fit_page  # draws a figure

    if not isinstance(pictures, str | Path):
        raise DataError(
            f"fit: pictures is {_kind(pictures)}. Give the path of a folder with one folder of "
            "pictures per class"
        )
    _check_folder(folder, "fit")
    check_options("fit", str(pictures), FitOptions, options, reserved=("budget",))
    wanted = FitOptions(budget=read_budget(flash, ram, macs), **options)
    place = Path(folder) if folder else fit_folder(pictures)
    fitted = fit_pictures(pictures, wanted, place, source)
    write_fit_page(fitted)
    return fitted


def export(
    network: str | Path | Network,
    to: str | Sequence[str] = "onnx",
    *,
    overrides: Sequence[str] = (),
    folder: str | Path = "exports",
    **options: Any,
) -> list[Exported]:
    """Export a network for a device, and check it in its own runtime; as `tinyrefinery export`.

    Args:
        network: a run folder, a network file, `timm:NAME`, or what `open_network` gave.
        to: `"onnx"`, `"litert"`, `"executorch"`, or several.
        overrides: images to calibrate and check on, e.g. `["data.source.root=photos/"]`; else those
            of the network's run.
        folder: where the artifacts are written.
        **options: further `ExportOptions`, e.g. `int8=True`.

    Returns:
        One entry per target: `[0].path`, `[0].parity.verdict`.

    Raises:
        RefineryError: for anything that the user can fix.
    """
    check_options("export", str(network), ExportOptions, options, reserved=("targets", "out"))
    opened = network if isinstance(network, Network) else open_network(network)
    targets = (to,) if isinstance(to, str) else tuple(to)
    wanted = ExportOptions(targets=targets, out=Path(folder), **options)
    return export_network(opened, wanted, overrides)


def model_card(
    network: str | Path | Network,
    *,
    folder: str | Path | None = None,
    **options: Any,
) -> str:
    """The model card of a network, as Markdown, from its records; as `tinyrefinery card`.

    Args:
        network: a run folder, a network file, `hf:USER/NAME`, or what `open_network` gave.
        folder: where to write it as README.md, with the bill of materials; None: nowhere.
        **options: `title`, `license`, `data_license`, and `exports`, folders of artifacts.

    Returns:
        The card.

    Raises:
        RefineryError: for anything that the user can fix.
    """
    check_options("model_card", str(network), card_facts, options, reserved=("network",))
    opened = network if isinstance(network, Network) else open_network(network)
    facts = card_facts(opened, **options)
    if folder is not None:
        write_card(facts, Path(folder))
    return card_text(facts)


def _check_dataset(data: object, function: str) -> None:
    """Refuse anything but a dataset, such as the folder that someone meant to open."""
    if not isinstance(data, Dataset):
        place = repr(str(data)) if isinstance(data, str | Path) else "'photos/'"
        raise DataError(
            f"{function}: data is {_kind(data)}, not a dataset. Open it first: "
            f"tinyrefinery.open_data('folder', root={place})"
        )


def _check_labels(
    labels: Mapping[str, Any], store: str | Path | None, stages: Sequence[Mapping[str, Any]]
) -> None:
    """Refuse options of refined labels that have no effect."""
    if "store" in labels and store is not None:
        raise RecipeError("refine: store is given twice. Leave labels['store'] out")
    given = [*(f"labels['{name}']" for name in labels), *(["store"] if store is not None else [])]
    if given and len(stages) < 2:
        raise RecipeError(
            f"refine: {', '.join(given)} {'has' if len(given) == 1 else 'have'} no effect with one "
            "model, which trains on the given labels. Give a refiner and a student, such as "
            "models=['resnet18', 'resnet8'], or leave it out. For a refiner that is trained "
            "already, write a recipe with labels.by"
        )


def _check_folder(folder: object, function: str) -> None:
    """Refuse anything but a path as the place to write."""
    if not isinstance(folder, str | Path | None):
        raise RecipeError(f"{function}: folder is {_kind(folder)}. Give the path of a folder")


def _kind(value: object) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"


def _as_stage(usual: Stage, epochs: int | None, lr: float | None) -> dict[str, Any]:
    """Optimizer, schedule and epochs of a stage, with some changed."""
    epochs = usual.epochs if epochs is None else epochs
    optimizer, schedule = usual.optimizer.model_dump(), usual.schedule.model_dump()
    if "warmup" in schedule:
        schedule["warmup"] = min(schedule["warmup"], epochs / 10)
    changed = {} if lr is None else {"lr": lr}
    return {"optimizer": optimizer | changed, "schedule": schedule, "epochs": epochs}


def _common(epochs: int, lr: float, **optimizer: Any) -> dict[str, Any]:
    """What all stages have in common."""
    return {
        "optimizer": {"name": "sgd", "lr": lr, "weight_decay": 1e-4} | optimizer,
        "schedule": {"name": "cosine", "warmup": min(1.0, epochs / 10)},
        "epochs": epochs,
    }


def _crops(
    data: Dataset,
    size: int | tuple[int, int] | None,
    options: Mapping[str, Any],
    most: int = 224,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A recipe's data, in random crops of `size` (else of the images' own); and what is left."""
    if size is None:
        height, width = (int(min(side, most)) for side in data.images.sizes.max(axis=0))
        size = (height, width)
    source = {"name": "given", "digest": data.manifest.digest, "channels": data.images.channels}
    crop = {name: value for name, value in options.items() if name in Inception.model_fields}
    part = {name: value for name, value in options.items() if name in Data.model_fields}
    stage = {name: options[name] for name in options.keys() - crop.keys() - part.keys()}
    crop = {"name": "inception", "size": size} | crop
    return {"source": source, "train_crop": crop} | part, stage


def _stages(
    models: Sequence[str | Mapping[str, Any]], common: Mapping[str, Any], labels: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """A stage per model, each but the first refined by the one before it."""
    if isinstance(models, str) or not isinstance(models, Sequence):
        given = repr(models) if isinstance(models, str) else _kind(models)
        raise RecipeError(f"models is {given}. Give a list of models, such as ['resnet8']")
    stages: list[dict[str, Any]] = []
    for place, model in enumerate(models):
        part = {"name": model} if isinstance(model, str) else model
        if not isinstance(part, Mapping) or "name" not in part:
            raise RecipeError(
                f"models[{place}] is {model!r}. Give a name, or a mapping with a name: "
                "{'name': 'resnet8', 'kwargs': {}}"
            )
        part = dict(part)
        stage = {"id": _id(part["name"], [other["id"] for other in stages]), "model": part}
        if stages:
            stage["labels"] = {"name": "refined", "by": stages[-1]["id"]} | dict(labels)
        stages.append(stage | dict(common))
    return stages


def _id(name: str, taken: Sequence[str]) -> str:
    """A stage id from a model's name: `timm:ResNet-50` -> `timm_resnet-50`, then `..._g2`."""
    plain = "".join(c if c.isalnum() or c == "-" else "_" for c in name.lower())
    same = sum(id == plain or id.startswith(f"{plain}_g") for id in taken)
    return plain if not same else f"{plain}_g{same + 1}"
