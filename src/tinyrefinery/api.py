"""The Python interface: what the commands do, on objects that are already there."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinyrefinery.data.dataset import Dataset
from tinyrefinery.execution.chain import Chain
from tinyrefinery.execution.run import run
from tinyrefinery.recipe.load import check, load_recipe
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.recipe.shipped import locate
from tinyrefinery.runs.plan import Job, run_folder, seeded


def train(
    recipe: str | Path | Recipe,
    overrides: Sequence[str] = (),
    *,
    seeds: int = 1,
    folder: str | Path | None = None,
    data: Dataset | None = None,
) -> list[Chain]:
    """Train what a recipe says, or go on where it was interrupted; as `tinyrefinery run`.

    Args:
        recipe: a file, the name of a shipped recipe, or a recipe.
        overrides: changes to a recipe file, e.g. `["seed=1", "stages.plain.epochs=3"]`.
        seeds: how many, counted from the recipe's own.
        folder: the run folder; else `runs/NAME-DIGEST`.
        data: a data set to use instead of opening the recipe's source.

    Returns:
        A chain for each seed: `chain[-1].network`, `chain["plain"].evaluation["test"]["top1"]`.

    Raises:
        RefineryError: for anything that the user can mend.
    """
    name = "recipe"
    if not isinstance(recipe, Recipe):
        path = locate(recipe)
        name, recipe = path.stem, load_recipe(path, overrides)
    elif overrides:
        raise TypeError("overrides change a recipe file; change a Recipe with model_copy")
    place = Path(folder) if folder else run_folder(Path("runs"), name, recipe)
    return run([Job(each) for each in seeded(recipe, seeds)], place, data=data)


def refine(
    data: Dataset,
    models: Sequence[str | Mapping[str, Any]],
    *,
    epochs: int = 60,
    size: int | tuple[int, int] | None = None,
    area: tuple[float, float] = (0.08, 1.0),
    flip: float = 0.5,
    batch_size: int = 128,
    lr: float = 0.1,
    labels: Mapping[str, Any] | None = None,
    store: str | Path | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    **stage: Any,
) -> Chain:
    """Train a chain: the first model on given labels, each next on those of the one before.

    Args:
        data: what `open_data` gave.
        models: names, or mappings with `name` and `kwargs`, e.g. `["resnet18", "resnet8"]`.
        epochs: passes over the training split, for each.
        size: of the crops in pixels; else the images' own, at most 224.
        area: least and greatest share of an image that a crop shows.
        flip: probability of a mirrored crop; 0 for digits and text.
        batch_size: crops a step.
        lr: largest learning rate of SGD with momentum 0.9 and a cosine schedule.
        labels: options of the refined labels, e.g. `{"hard": True}` (see the recipe's `labels`).
        store: folder in which refined labels are kept, so that they are made once; else each
            network's labels are made as it trains.
        seed: of weights, order and crops.
        folder: the run folder; else `runs/NAME-DIGEST`.
        **stage: anything else that a recipe's stage takes, for all stages, e.g. `ema=0.999`.

    Returns:
        The chain: `chain[-1]` is the last network, with its `evaluation`.

    Raises:
        RefineryError: for anything that the user can mend.
    """
    kept = {} if store is None else {"store": str(store)}
    stages = _stages(models, _common(epochs, batch_size, lr) | stage, kept | dict(labels or {}))
    title = " -> ".join(each["id"] for each in stages) + f" on {data.name}"
    crops = _crops(data, size, area, flip)
    raw = {"title": title, "seed": seed, "data": crops, "stages": stages}
    return train(check(raw, Recipe, source="refine"), folder=folder, data=data)[0]


def fine_tune(
    data: Dataset,
    network: str | Path,
    *,
    epochs: int = 30,
    size: int | tuple[int, int] | None = None,
    area: tuple[float, float] = (0.08, 1.0),
    flip: float = 0.5,
    batch_size: int = 64,
    lr: float = 0.01,
    layer_decay: float | None = None,
    freeze: int | Sequence[str] = (),
    seed: int = 0,
    folder: str | Path | None = None,
    **stage: Any,
) -> Chain:
    """Train a network that is already trained on other data, with a new last layer.

    Args:
        data: what `open_data` gave.
        network: a network file, such as `model.safetensors` of a stage in a run folder.
        epochs: passes over the training split.
        size: of the crops in pixels; else what the network was trained with.
        area: least and greatest share of an image that a crop shows.
        flip: probability of a mirrored crop; 0 for digits and text.
        batch_size: crops a step.
        lr: largest learning rate of SGD with momentum 0.9 and a cosine schedule.
        layer_decay: each block's rate as a share of the next one's; None: one rate for all.
        freeze: how many of the first blocks stay as they are, or names of parts that do.
        seed: of the new layer, order and crops.
        folder: the run folder; else `runs/NAME-DIGEST`.
        **stage: anything else that a recipe's stage takes, e.g. `ema=0.999`.

    Returns:
        The chain, of one network: `chain[-1]`.

    Raises:
        RefineryError: for anything that the user can mend.
    """
    from tinyrefinery.models.network_file import read_info

    info = read_info(network)
    kwargs = {key: value for key, value in info.kwargs.items() if key != "pretrained"}
    model = {"name": info.name, "kwargs": kwargs}
    common = _common(epochs, batch_size, lr)
    common["optimizer"]["layer_decay"] = layer_decay
    kept = {"init_from": f"file:{network}", "replace_head": True}
    kept["freeze"] = freeze if isinstance(freeze, int) else list(freeze)
    stages = _stages([model], common | kept | stage, {})
    crops = _crops(data, size or info.size, area, flip)
    crops |= {"mean": list(info.mean), "std": list(info.std)}
    title = f"{stages[0]['id']} fine-tuned on {data.name}"
    raw = {"title": title, "seed": seed, "data": crops, "stages": stages}
    return train(check(raw, Recipe, source="fine_tune"), folder=folder, data=data)[0]


def _common(epochs: int, batch_size: int, lr: float) -> dict[str, Any]:
    """What all stages have in common."""
    return {
        "optimizer": {"name": "sgd", "lr": lr, "momentum": 0.9, "weight_decay": 1e-4},
        "schedule": {"name": "cosine", "warmup": min(1.0, epochs / 10)},
        "epochs": epochs,
        "batch_size": batch_size,
    }


def _crops(
    data: Dataset, size: int | tuple[int, int] | None, area: tuple[float, float], flip: float
) -> dict[str, Any]:
    """A recipe's data: those given, in random crops of `size`, else of the images' own."""
    if size is None:
        height, width = (int(min(side, 224)) for side in data.images.sizes.max(axis=0))
        size = (height, width)
    source = {"name": "given", "digest": data.manifest.digest, "channels": data.images.channels}
    crop = {"name": "inception", "size": size, "area": list(area)}
    return {"source": source, "train_crop": crop, "flip": flip}


def _stages(
    models: Sequence[str | Mapping[str, Any]], common: Mapping[str, Any], labels: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """A stage a model, each but the first refined by the one before it."""
    stages: list[dict[str, Any]] = []
    for model in models:
        part = {"name": model} if isinstance(model, str) else dict(model)
        one = {"id": _id(part["name"], [each["id"] for each in stages]), "model": part}
        if stages:
            one["labels"] = {"name": "refined", "by": stages[-1]["id"]} | dict(labels)
        stages.append(one | dict(common))
    return stages


def _id(name: str, taken: Sequence[str]) -> str:
    """A stage id from a model's name: `timm:ResNet-50` -> `timm_resnet-50`, then `..._2`."""
    plain = "".join(c if c.isalnum() or c == "-" else "_" for c in name.lower())
    same = sum(id == plain or id.startswith(f"{plain}_g") for id in taken)
    return plain if not same else f"{plain}_g{same + 1}"
