"""A table of latencies that a paper prints: networks by name, and its numbers for each."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PositiveInt, model_validator

from tinyrefinery.options.messages import check
from tinyrefinery.options.part import Part, Positive, Slug, wrong
from tinyrefinery.recipe.document import read
from tinyrefinery.recipe.schema import Paper


class LatencyRow(Part):
    """One network."""

    id: Slug
    """Name of the row."""
    network: str | None = None
    """A name that `tinyrefinery.models` knows, or `timm:NAME`; null: only what is printed."""
    kwargs: dict[str, Any] = Field(default_factory=dict)
    """Options of the architecture."""
    paper: dict[str, Positive] = Field(default_factory=dict)
    """Milliseconds by device, the keys of `devices`."""


class LatencyTable(Part):
    """Networks whose latency a paper prints, to be measured on this machine."""

    title: Annotated[str, Field(min_length=1)]
    """One line for reports."""
    paper: Paper | None = None
    """What is repeated; null: nothing."""
    devices: dict[Slug, str]
    """What the paper measured on: short name and what a column is called."""
    method: str
    """How the paper measured, in a few words."""
    size: PositiveInt = 224
    """Pixels of a side."""
    latency: Annotated[tuple[LatencyRow, ...], Field(min_length=1)]
    """The rows; the first is what ratios are to."""

    @model_validator(mode="after")
    def _hangs_together(self) -> "LatencyTable":
        ids = [row.id for row in self.latency]
        for row in self.latency:
            if ids.count(row.id) > 1:
                raise wrong((f"latency.{row.id}", "several rows have this id"))
            if unknown := row.paper.keys() - self.devices.keys():
                text = f"no device '{min(unknown)}'; there are {', '.join(self.devices)}"
                raise wrong((f"latency.{row.id}.paper", text))
        if self.latency[0].network is None:
            raise wrong((f"latency.{ids[0]}.network", "the first row is what ratios are to"))
        return self


def is_latency_table(path: Path | str) -> bool:
    """Whether a YAML file is a table of latencies."""
    return "latency" in read(Path(path))


def load_latency_table(path: Path | str) -> LatencyTable:
    """Read and check a table of latencies.

    Raises:
        RecipeError: with a line for each mistake.
    """
    return check(read(Path(path)), LatencyTable, source=str(path))
