"""What a network is that a run trains: the content of stage.json."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tinyrefinery.errors import DataError
from tinyrefinery.reading.digests import DIGEST, is_intact, sealed
from tinyrefinery.reading.json_text import read_json_object
from tinyrefinery.runs import files

CLASSIFIER, DETECTOR = "classifier", "detector"
"""Kinds of networks."""


@dataclass(frozen=True, kw_only=True)
class StageFacts:
    """One network: one stage of a recipe at one seed."""

    stage: str
    """Id of the stage."""
    key: str
    """Digest of all that its weights depend on."""
    kind: str
    """`CLASSIFIER` or `DETECTOR`."""
    rows: tuple[str, ...]
    """Rows of the table that share it; none for a lone recipe."""
    seed: int
    model: str
    labels: str
    """What it learns from, in words."""
    refiners: tuple[str, ...] = ()
    """Keys of the networks whose labels it learns from, names of those from outside the recipe;
    none when it learns from given labels."""
    generation: int = 1
    """1 for given labels, else one more than the latest refiner's; a refiner file counts as 1."""
    data: str
    """Digest of its dataset."""
    precision: str = ""
    """Of its training, `32` or `bf16`; empty in runs of earlier versions."""
    outside: tuple[str, ...] = ()
    """Networks from outside the recipe that it depends on, `file:PATH` or `timm:NAME`."""
    unknown_origin: tuple[str, ...] = ()
    """Those of them, and of the networks behind them, whose training images are not known."""

    @property
    def row(self) -> str:
        """Its rows as one text, empty when it has none."""
        return " + ".join(self.rows)

    @property
    def label(self) -> str:
        """Row, stage and seed, for people."""
        return " ".join(filter(None, (self.row, self.stage, f"(seed {self.seed})")))


_READ = TypeAdapter(StageFacts)
_REMEDY = "Run again: the file is written again."


_NAMES = {field.name for field in fields(StageFacts)}


def facts_of(stage: StageFacts) -> dict[str, Any]:
    """What stage.json holds of a stage, as plain values, without its digest."""
    facts = {field.name: getattr(stage, field.name) for field in fields(StageFacts)}
    return {name: list(v) if isinstance(v, tuple) else v for name, v in facts.items()}


def stage_json(facts: Mapping[str, Any]) -> str:
    """The text of stage.json: the facts, and their digest."""
    return json.dumps(sealed(facts), indent=1)


def read_plain_facts(folder: Path) -> dict[str, Any]:
    """The stage.json of a stage's folder as plain values, without its digest.

    Raises:
        DataError: when it is missing or damaged.
    """
    path = folder / files.STAGE
    content = read_json_object(path, _REMEDY)
    if not is_intact(content) or content.keys() - _NAMES - {DIGEST}:
        raise DataError(f"{path}: is damaged (its digest differs). {_REMEDY}")
    return {name: value for name, value in content.items() if name != DIGEST}


def read_facts(folder: Path) -> StageFacts:
    """Read the stage.json of a stage's folder.

    Raises:
        DataError: when it is missing or damaged.
    """
    try:
        return _READ.validate_python(read_plain_facts(folder))
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        message = f"{folder / files.STAGE}: lacks or misstates '{place}'. {_REMEDY}"
        raise DataError(message) from error
