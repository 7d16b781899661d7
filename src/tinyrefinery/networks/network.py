"""A network that someone named: where it lies, what is known of it, and how it is loaded."""

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tinyrefinery.errors import DataError
from tinyrefinery.reading.digests import is_intact
from tinyrefinery.reading.json_text import parse_json_object
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.runs.run_folder import TrainedStage
from tinyrefinery.runs.seen_sketch import SeenSketch, read_sketch

if TYPE_CHECKING:
    from torch import nn

    from tinyrefinery.models.network_file import NetworkInfo

Kind = Literal["file", "onnx", "litert", "packed", "timm", "http"]
_MOST_HEADER = 100_000_000
"""Bytes; safetensors has the same limit."""


@dataclass(frozen=True, eq=False)
class Network:
    """A network, opened as far as its facts need."""

    name: str
    """For people: run, row, stage and seed; the file's name; or `timm:NAME`."""
    source: str
    """`file:PATH`, `timm:NAME` or a URL, as a recipe's `labels.by` takes it."""
    kind: Kind
    file: Path
    """Its weights; of `timm:NAME` a file of weights, or a path that does not exist."""
    digest: str
    """Stage key, or SHA-256 of the file. For an ONNX or LiteRT file, of its facts too."""
    home: Path
    """Folder for what is computed with it and kept."""
    trained: TrainedStage | None = None
    """How it was trained, where a run tells; of an ONNX or LiteRT file, the network that it
    was made from."""
    recipe_file: Path | None = field(default=None, repr=False)
    """Of that run, or of its row of a table."""
    known: "NetworkInfo | None" = field(default=None, repr=False)
    """Facts of a network whose file has none of our headers."""

    @property
    def stage(self) -> TrainedStage | None:
        """The stage whose folder this network is kept in, with the predictions of its training."""
        return self.trained if self.kind == "file" else None

    @property
    def run(self) -> Path | None:
        """The run folder that the network is kept in."""
        return self.stage.run_folder if self.stage else None

    @cached_property
    def recipe(self) -> Recipe | None:
        """The recipe that it was trained by."""
        return None if self.recipe_file is None else load_recipe(self.recipe_file)

    @property
    def slug(self) -> str:
        """A name for files, e.g. `refined-0a1b2c3d`."""
        return self.stage.folder.name if self.stage else f"{self.file.stem}-{self.digest[:8]}"

    @property
    def is_torch(self) -> bool:
        """Whether PyTorch runs it and can take gradients; other runtimes run the others."""
        return self.kind in ("file", "timm")

    @cached_property
    def info(self) -> "NetworkInfo":
        """What the file's header states.

        Raises:
            CheckpointError: when it can't be read.
        """
        if self.known is not None:
            return self.known
        from tinyrefinery.models.network_file import read_info

        return read_info(self._intact)

    @property
    def _intact(self) -> Path:
        """The file of weights, which in a run is checked to be what was trained there."""
        return self.file if self.stage is None else self.stage.intact_network

    @cached_property
    def _header(self) -> Mapping[str, Any]:
        """The same as plain values, without torch, whose import takes longer than most tests."""
        if self.known is not None:
            return vars(self.known)
        try:
            with self._intact.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                content = parse_json_object(file.read(min(length, _MOST_HEADER)), self.file)
            facts = parse_json_object(content["__metadata__"]["tinyrefinery"], self.file)
        except (OSError, DataError, KeyError, TypeError, AttributeError):
            facts = None
        # Otherwise torch reads it, and reports what is wrong.
        return facts if facts and is_intact(facts) else vars(self.info)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the outputs."""
        return tuple(self._header["classes"])

    @property
    def channels(self) -> int:
        """Of its images: 1 or 3."""
        return int(self._header["channels"])

    @cached_property
    def seen_sketch(self) -> SeenSketch | None:
        """Which images it was trained or chosen on, where no run tells.

        Its file does, or that of the network that an ONNX or LiteRT file was made from.
        """
        if self.trained is not None or self.kind == "timm":
            return None
        return read_sketch(self._header.get("extra", {}))

    def _repr_html_(self) -> str:
        """Name, file, classes and input, for notebooks."""
        height, width = self.info.size
        facts = {
            "network": self.name,
            "file": str(self.file),
            "classes": f"{len(self.classes):,}: {', '.join(self.classes[:10])}",
            "input": f"{height}x{width} pixels, {self.channels} channels",
        }
        lines = (f"<tr><th>{k}</th><td>{html.escape(v)}</td></tr>" for k, v in facts.items())
        return f"<table>{''.join(lines)}</table>"

    def load(self) -> "nn.Module":
        """The network on the CPU, in evaluation mode: normalized images (B, C, h, w) -> (B, K).

        Raises:
            CheckpointError: when it can't be read, or its weights are not available.
        """
        if self.kind == "onnx":
            from tinyrefinery.models.onnx_file import OnnxNetwork

            return OnnxNetwork(self.file, (self.info.mean, self.info.std)).eval()
        if self.kind == "litert":
            from tinyrefinery.models.litert_file import LiteRtNetwork

            return LiteRtNetwork(self.file, (self.info.mean, self.info.std)).eval()
        if self.kind == "packed":
            from tinyrefinery.models.packed_file import PackedNetwork

            return PackedNetwork(self.file, (self.info.mean, self.info.std)).eval()
        if self.kind == "http":
            from tinyrefinery.models.http_network import HttpNetwork

            return HttpNetwork(self.info).eval()
        if self.kind == "timm":
            from tinyrefinery.networks.timm_weights import load_timm

            return load_timm(self.info)
        from tinyrefinery.models.network_file import load_network

        return load_network(self._intact)[0]
