"""What a network is that a run trains: the content of stage.json."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tinyrefinery.errors import DataError
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


def facts_of(stage: StageFacts) -> dict[str, Any]:
    """What stage.json holds of a stage, as plain values."""
    facts = {field.name: getattr(stage, field.name) for field in fields(StageFacts)}
    return {name: list(v) if isinstance(v, tuple) else v for name, v in facts.items()}


def read_facts(folder: Path) -> StageFacts:
    """Read the stage.json of a stage's folder.

    Raises:
        DataError: when it is missing or damaged.
    """
    path = folder / files.STAGE
    remedy = "Delete its folder and run again to remake it."
    try:
        return _READ.validate_python(json.loads(path.read_text("utf-8")))
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        raise DataError(f"{path}: lacks or misstates '{place}'. {remedy}") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: can't be read ({error}). {remedy}") from error
