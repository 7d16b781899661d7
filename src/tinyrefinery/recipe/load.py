"""Recipes from and to YAML, and the hashes by which runs and stages are known."""

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from tinyrefinery.errors import RecipeError
from tinyrefinery.options.messages import check
from tinyrefinery.recipe.document import read
from tinyrefinery.recipe.overrides import apply
from tinyrefinery.recipe.schema import Recipe


def load_recipe(path: Path | str, overrides: Sequence[str] = ()) -> Recipe:
    """Read, change and check a recipe.

    Args:
        path: the YAML file.
        overrides: `a.b=value`, as `overrides.apply` takes them.

    Raises:
        RecipeError: with a line for each mistake, `file: path: what is wrong (what is known)`.
    """
    raw = read(Path(path))
    if "rows" in raw and "stages" not in raw:
        raise RecipeError(f"{path}: is a table of recipes (it has rows), not a recipe")
    if "detector" in raw and "stages" not in raw:
        raise RecipeError(
            f"{path}: is the recipe of a detector; `tinyrefinery detect train {path}` trains it"
        )
    return check(apply(raw, list(overrides)), Recipe, source=str(path))


def dump(recipe: BaseModel) -> str:
    """The effective recipe as YAML, defaults and overrides written out; `load_recipe` reads it."""
    return yaml.dump(
        _names_first(recipe.model_dump(mode="json")),
        sort_keys=False,
        allow_unicode=True,
        width=100,
        default_flow_style=None,
    )


_FIRST = ("id", "name", "source", "train_crop", "eval_crop", "model", "labels", "by", "loss")
"""Keys that stand first in their mapping, since the others are about them."""


def _names_first(value: Any) -> Any:
    if isinstance(value, dict):
        first = {key: value[key] for key in _FIRST if key in value}
        return {key: _names_first(inner) for key, inner in (first | value).items()}
    return [_names_first(item) for item in value] if isinstance(value, list) else value


_BUDGETS: Any = {"budget": True, "stages": {"__all__": {"budget"}}}
"""What changes no result of a recipe."""


def canonical(part: BaseModel) -> str:
    """A part as JSON in which equal settings, however they were written, are equal text.

    Budgets of a recipe are left out: they change no network, so a run with another one resumes.
    """
    exclude = _BUDGETS if isinstance(part, Recipe) else None
    plain = part.model_dump(mode="json", exclude=exclude)
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))


def part_hash(part: BaseModel) -> str:
    """SHA-256 (hex) of `canonical`."""
    return sha256(canonical(part).encode()).hexdigest()
