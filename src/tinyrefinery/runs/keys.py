"""Keys of trained networks: a digest of all that the weights depend on.

Equal keys mean equal weights, up to the machine's rounding. So the rows of a table, and commands
that were interrupted, share what they have in common. What changes no weight, such as the number of
threads or where a file lies, is not part of a key.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

from tinyrefinery import builders
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.errors import CheckpointError
from tinyrefinery.models.http_network import endpoint_digest, is_endpoint, read_endpoint
from tinyrefinery.models.onnx_file import onnx_digest
from tinyrefinery.options.labels import Refined
from tinyrefinery.recipe.detection import DetectionRecipe
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.recipe.stage import Stage
from tinyrefinery.runs.lineage import parents, split_weights

_NO_CROPS = {"workers", "source", "unlabelled"}  # fields of `data` that change no crop
FORMAT = 4  # of run folders, and of what weights depend on beside recipe and data


def stage_keys(recipe: Recipe, data: Dataset) -> dict[str, str]:
    """Key of each stage of a recipe, by its id.

    Raises:
        CheckpointError: when a file that takes part can't be read.
        DataError: when a taxonomy's labels can't be made.
        ValueError: when the precision is still `auto`, under which weights could be either's.
    """
    if recipe.engine.precision == "auto":
        raise ValueError("engine.precision: choose a precision before keys are made")
    stages = {stage.id: stage for stage in recipe.generations}
    keys: dict[str, str] = {}
    for stage in stages.values():
        facts = {
            "channels": data.images.channels,
            "devices": 1,  # whatever their number: batches, crops and statistics are the same
            "crops": recipe.data.model_dump(mode="json", exclude=_NO_CROPS),
            "order": stages[stage.beside or stage.id].seed,
            "stage": _stage_facts(stage, data),
            "precision": recipe.engine.precision,
            "ancestors": [keys.get(name) or _identity(name) for name in parents(stage)],
            "weights": _identity(f"file:{w}") if (w := stage.model.weights) else None,
        }
        refined = isinstance(stage.labels, Refined)
        # Pictures without labels change no network that learns from given ones.
        images = data.manifest if refined else data.manifest.labelled
        keys[stage.id] = _digest(recipe.seed, images.digest, facts)
    return keys


def detector_key(recipe: DetectionRecipe, data: str) -> str:
    """Key of a recipe's detector.

    Args:
        recipe: the recipe.
        data: digest of its images and boxes.

    Raises:
        CheckpointError: when the backbone's file can't be read.
    """
    init = recipe.detector.backbone.init_from
    without = {"backbone": {"init_from", "start"}}
    training = recipe.training.model_dump(mode="json")
    if recipe.training.schedule.name != "plateau":  # which depends on the evaluations
        del training["evaluate_every"]
    facts = {
        "augment": recipe.data.augment.model_dump(mode="json"),
        "pixels": [recipe.data.mean, recipe.data.std],
        "detector": recipe.detector.model_dump(mode="json", exclude=without),
        "training": training,
        "backbone": _identity(init) if init else None,
    }
    return _digest(recipe.seed, data, facts)


def _digest(seed: int, data: str, facts: Mapping[str, Any]) -> str:
    whole = {"format": FORMAT, "seed": seed, "data": data, **facts}
    return sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def _stage_facts(stage: Stage, data: Dataset) -> dict[str, Any]:
    """The settings of a stage on which its weights depend; an exact store changes nothing."""
    without = {"generations", "beside", "budget"}
    if stage.schedule.name != "plateau" and stage.stop is None:  # which depend on the evaluations
        without.add("evaluate_every")
    facts = stage.model_dump(mode="json", exclude=without)
    # Files count by their content, wherever they lie; `stage_keys` adds it.
    facts["init_from"] = _without_place(stage.init_from)
    facts["model"]["weights"] = None
    if not getattr(stage.labels, "threshold_samples", 0):  # as before there were any
        facts["labels"].pop("threshold_samples", None)
    if not stage.int8:  # as before there was any
        facts.pop("int8")
    if isinstance(stage.labels, Refined):
        facts["labels"]["by"] = [_without_place(name) for name in stage.labels.by]
        if stage.labels.classes is None:  # as before there were any
            for name in ("classes", "least_mass"):
                facts["labels"].pop(name, None)
        form = builders.label_form(stage, len(data.classes))
        facts["labels"]["store"] = None if form.exact else asdict(form)
    if (taxonomy := builders.taxonomy(stage, data)) is not None:
        facts["labels"] = {"name": "taxonomy", "digest": taxonomy.digest}  # wherever WordNet lies
    return facts


def _without_place(name: str | None) -> str | None:
    """The name of a stage or of a network from outside, without the place of a file."""
    if name is None:
        return None
    return "file" if name.startswith("file:") else split_weights(name)[0]


def _identity(name: str) -> str:
    """What a network from outside is known by: the content of a file, or a name."""
    kind, _, path = name.partition(":")
    model, weights = split_weights(name)
    if weights is not None:
        return f"{model} {_identity(f'file:{weights}')}"
    if is_endpoint(name):
        return endpoint_digest(read_endpoint(name))
    if kind != "file":
        return name
    if path.lower().endswith(".onnx"):
        return f"{onnx_digest(Path(path))} {_facts_beside(Path(path))}"
    if path.lower().endswith((".tflite", ".packed")) and (facts := _facts_beside(Path(path))):
        return f"{_identity_of_file(path)} {facts}"
    return _identity_of_file(path)


def _facts_beside(path: Path) -> str:
    """Digest of the file that states facts of an ONNX or LiteRT file; empty without one."""
    beside = path.with_name(f"{path.name}.yaml")
    return _identity_of_file(str(beside)) if beside.exists() else ""


def _identity_of_file(path: str) -> str:
    try:
        return sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path}: can't be read ({error.strerror})") from error
