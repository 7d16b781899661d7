"""`--smoke`: any recipe made so small that it runs in a minute on a CPU, with no data on disk.

The same changes for every recipe: street numbers instead of its images (64 + 32 + 32 scenes, ten
classes, its channels) or, where its folder of pictures exists, as many of these, crops of at most
32 pixels, one epoch, batches of at most 16, no checkpoint files, no downloads. Refiners from
outside (`file:PATH`, `timm:NAME`) give way to a small network trained first, weights to start from,
where parts of them are kept, to those of a like network, labels by taxonomy to label smoothing.
Architectures, labels, losses, optimizers and the order of stages stay.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from tinyrefinery.options.messages import check
from tinyrefinery.options.sources import Folder
from tinyrefinery.recipe.detection import DetectionRecipe
from tinyrefinery.recipe.schema import Recipe

SIDE = 32
"""Largest height and width of a crop in pixels."""
LARGER = {"timm:inception_v3": 96}
"""The same for networks that need larger crops."""
BATCH = 16
"""Most crops per step, and most crops that share batch statistics."""
REFINER = "smoke_refiner"
"""Id of the stage that stands for refiners from outside."""
START = "smoke_start"
"""Begins the ids of the stages that stand for weights from outside to start from."""
R = TypeVar("R", bound=Recipe | DetectionRecipe)
LIMITS = {"train_limit": 64, "validation_limit": 32, "test_limit": 32}
"""Pictures of the user's folder that take part."""
_SCENES = {"name": "street_numbers", "train": 64, "validation": 32, "test": 32, "digits": 1}


def smoke(recipe: R) -> R:
    """The recipe as `--smoke` runs it."""
    detector = isinstance(recipe, DetectionRecipe)
    raw = _small_detector(recipe) if detector else _small_recipe(recipe)
    return check(raw, type(recipe), source="smoke")


def _small_recipe(recipe: Recipe) -> dict[str, Any]:
    raw = recipe.model_dump(mode="json")
    raw["data"] = _small_data(raw["data"], recipe)
    raw["stages"] = [_small_stage(stage) for stage in raw["stages"]]
    if any(_names_outside(stage) for stage in raw["stages"]):
        raw["stages"] = [_stand_in(raw["stages"][0]), *map(_refined_inside, raw["stages"])]
    raw["stages"] = _with_starts(raw["stages"])
    raw["engine"] |= {
        "device": "cpu",
        "devices": 1,
        "nodes": 1,
        "precision": "32",
        "compile": False,
        "checkpoint_every_steps": None,
    }
    # Networks of one epoch are at chance: nothing to stop for.
    raw["chain"] |= {"collapse": None, "stop_without_gain": False}
    return raw


def smoke_side(recipe: Recipe) -> int:
    """Largest height and width of a crop of a smoke run, in pixels."""
    return max(LARGER.get(stage.model.name, SIDE) for stage in recipe.stages)


def user_folder(recipe: Recipe) -> Path | None:
    """The folder of pictures that a recipe trains on, or None where it is another source."""
    source = recipe.data.source
    return Path(source.root).expanduser() if isinstance(source, Folder) else None


def _small_detector(recipe: DetectionRecipe) -> dict[str, Any]:
    """24 images of shapes, one epoch, no file, no download."""
    raw = recipe.model_dump(mode="json")
    raw["data"]["source"] = {"name": "shapes", "train": 24, "validation": 8, "test": 8}
    raw["detector"]["size"] = min(recipe.detector.size, 96)
    kwargs = {k: v for k, v in recipe.detector.backbone.kwargs.items() if k != "pretrained"}
    raw["detector"]["backbone"] |= {"init_from": None, "start": [], "kwargs": kwargs}
    raw["training"] |= {"epochs": 1, "batch_size": min(8, recipe.training.batch_size)}
    raw["training"] |= {"evaluate_every": 1, "accumulate": 1}
    raw["training"]["schedule"]["warmup"] = min(0.5, recipe.training.schedule.warmup)
    raw["engine"] |= {"device": "cpu", "compile": False, "checkpoint_every_steps": None}
    return raw


def _small_data(data: dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    train, held = data["train_crop"], data["eval_crop"]
    side = smoke_side(recipe)
    height, width = (min(each, side) for each in recipe.data.train_crop.size)
    resize = held["resize"]
    if resize is not None:
        resize = max(1, round(resize * min(1.0, side / max(recipe.data.eval_crop.size))))
    scenes = _SCENES | {
        "channels": data["source"]["channels"],
        # As large as the crop, so that crops of every kind fit; digits need 16 pixels.
        "height": max(height, 16),
        "width": max(width, 16),
    }
    if (folder := user_folder(recipe)) is not None and folder.is_dir():
        scenes = data["source"] | LIMITS
    eval_size = [min(each, side) for each in recipe.data.eval_crop.size]
    return {key: value for key, value in data.items() if key != "unlabelled"} | {
        "source": scenes,
        "train_crop": train | {"size": [height, width]},
        "eval_crop": held | {"size": eval_size, "resize": resize},
        "workers": 0,
    }


def _small_stage(stage: dict[str, Any]) -> dict[str, Any]:
    model, schedule, labels = stage["model"], dict(stage["schedule"]), dict(stage["labels"])
    kwargs = dict(model["kwargs"])
    if kwargs.get("stem") == "imagenet":
        del kwargs["stem"]  # too coarse for 32 pixels; the default fits the stem to the size
    if "pretrained" in kwargs:
        kwargs["pretrained"] = False
    if "warmup" in schedule:
        schedule["warmup"] = min(schedule["warmup"], 0.5)
    if labels.get("bn_group") is not None:
        labels["bn_group"] = min(labels["bn_group"], BATCH)
    if labels.get("store") is not None:
        labels["store"] = labels["store"] | {"path": None, "top": None}
    if labels["name"] == "taxonomy":  # street numbers aren't nouns
        labels = {"name": "label_smoothing"}
    return stage | {
        "model": model | {"kwargs": kwargs, "weights": None},
        "labels": labels,
        "schedule": schedule,
        "epochs": 1,
        "evaluate_every": 1,
        "batch_size": min(stage["batch_size"], BATCH),
        "accumulate": min(stage["accumulate"], 2),
    }


def _with_starts(stages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The stages; those that start from weights from outside do so from a first stage."""
    results: list[dict[str, Any]] = []
    starts: list[dict[str, Any]] = []
    for stage in stages:
        name = stage.get("init_from")
        inside = name is not None and ":" not in name
        if not inside and (name or stage.get("replace_head") or stage.get("freeze")):
            like = [start for start in starts if start["model"] == stage["model"]]
            if not like:
                like = [{**_stand_in(stage), "id": f"{START}_{len(starts) + 1}"}]
                like[0]["model"] = stage["model"]
                starts += like
            stage = stage | {"init_from": like[0]["id"]}
        results.append(stage)
    return [*starts, *results]


def _refiners(stage: dict[str, Any]) -> list[str]:
    by = stage["labels"].get("by", [])
    return [by] if isinstance(by, str) else by


def _names_outside(stage: dict[str, Any]) -> bool:
    return any(":" in name for name in _refiners(stage))


def _refined_inside(stage: dict[str, Any]) -> dict[str, Any]:
    if not _names_outside(stage):
        return stage
    inside = dict.fromkeys(REFINER if ":" in name else name for name in _refiners(stage))
    with_our_classes = {"by": list(inside), "classes": None}
    labels = {key: v for key, v in stage["labels"].items() if key != "least_mass"}
    return stage | {"labels": labels | with_our_classes}


def _stand_in(like: dict[str, Any]) -> dict[str, Any]:
    """A small network on given labels, with the batch size of another stage."""
    return {
        "id": REFINER,
        "model": {"name": "resnet8"},
        "optimizer": {"name": "sgd", "lr": 0.05},
        "schedule": {"name": "constant"},
        "epochs": 1,
        "batch_size": like["batch_size"],
    }


def changes(before: BaseModel, after: BaseModel) -> list[str]:
    """What differs, as `path: old -> new` lines, stages by id, parts of another kind whole."""
    return list(_differences(before.model_dump(mode="json"), after.model_dump(mode="json")))


def _differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    old, new = _by_id(old), _by_id(new)
    both = isinstance(old, dict) and isinstance(new, dict)
    if both and old.get("name") == new.get("name"):
        for key in dict.fromkeys([*new, *old]):
            yield from _differences(old.get(key), new.get(key), f"{path}.{key}".strip("."))
    elif old != new:
        yield f"{path}: {_shown(old)} -> {_shown(new)}"


def _by_id(value: Any) -> Any:
    """A list of stages as a mapping by id; anything else as it is."""
    if isinstance(value, list) and value and all(isinstance(v, dict) and "id" in v for v in value):
        return {stage["id"]: stage for stage in value}
    return value


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    return value if isinstance(value, str) else json.dumps(value).replace('"', "")
