"""Stages are known by a key: a digest of all that their weights depend on."""

import json
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

from tinyrefinery import builders
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.errors import CheckpointError
from tinyrefinery.options.labels import Refined
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.recipe.stage import Stage

FORMAT = 1  # of run folders; part of every stage's key
LATER: dict[str, dict[str, Any]] = {
    "": {"bn_momentum": None, "jitter": None, "stop": None, "replace_head": False, "freeze": []},
    "optimizer": {"form": "pytorch", "layer_decay": None, "decay_norm_and_bias": True},
    "schedule": {"lowest": 0.0},
}
"""Options of a stage and of its parts that came later, with the values at which they change
nothing and aren't part of the key: so older runs keep theirs."""


def stage_keys(recipe: Recipe, data: Dataset) -> dict[str, str]:
    """Key of each stage: equal keys mean equal weights, up to the machine's rounding.

    Raises:
        CheckpointError: when a file that takes part can't be read.
        DataError: when a taxonomy's labels can't be made.
    """
    stages = {stage.id: stage for stage in recipe.generations}
    keys: dict[str, str] = {}
    for stage in stages.values():
        ancestors = [*refiners_of(stage), *([stage.init_from] if stage.init_from else [])]
        facts = {
            "format": FORMAT,
            "seed": recipe.seed,
            "data": data.manifest.digest,
            "channels": data.images.channels,
            "devices": recipe.engine.devices,
            "crops": recipe.data.model_dump(mode="json", exclude={"workers", "source"}),
            "order": stages[stage.beside or stage.id].seed,
            "stage": _weighty(stage, data),
            "precision": recipe.engine.precision,
            "ancestors": [keys.get(name) or _file_digest(name) for name in ancestors],
            "weights": _file_digest(f"file:{w}") if (w := stage.model.weights) else None,
        }
        keys[stage.id] = sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return keys


def refiners_of(stage: Stage) -> tuple[str, ...]:
    """Names of a stage's refiners: stages' ids, or what is outside the recipe."""
    return stage.labels.by if isinstance(stage.labels, Refined) else ()


def _weighty(stage: Stage, data: Dataset) -> dict[str, Any]:
    """The settings of a stage on which its weights depend; an exact store changes nothing."""
    without = {"generations", "beside"}
    if stage.schedule.name != "plateau" and stage.stop is None:  # which look at the evaluations
        without.add("evaluate_every")
    facts = stage.model_dump(mode="json", exclude=without)
    # Files are known by their content, which `stage_keys` adds, wherever they lie.
    facts["init_from"] = _unplaced(stage.init_from)
    facts["model"]["weights"] = None
    for part, defaults in LATER.items():
        settings = facts[part] if part else facts
        for name in [n for n in defaults if settings.get(n, "none") == defaults[n]]:
            del settings[name]
    if isinstance(stage.labels, Refined):
        names = [_unplaced(name) for name in stage.labels.by]
        facts["labels"]["by"] = names[0] if len(names) == 1 else names
        form = builders.label_form(stage, len(data.classes))
        facts["labels"]["store"] = None if form.exact else asdict(form)
    if (made := builders.taxonomy(stage, data)) is not None:
        facts["labels"] = {"name": "taxonomy", "digest": made.digest}  # wherever WordNet lies
    return facts


def _unplaced(name: str | None) -> str | None:
    """The name of a stage or of a network from outside, without the place of a file."""
    return "file" if name is not None and name.startswith("file:") else name


def _file_digest(name: str) -> str:
    """Identity of a refiner from outside: a file's content, or a name."""
    kind, _, path = name.partition(":")
    if kind != "file":
        return name
    try:
        return sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path}: can't be read ({error.strerror})") from error
