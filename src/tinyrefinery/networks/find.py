"""Which network is meant: one of a run's stages, a network file of ours, or an ONNX file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyrefinery.errors import ChoiceError, DataError
from tinyrefinery.names import did_you_mean
from tinyrefinery.recipe.load import canonical, load_recipe
from tinyrefinery.recipe.schema import Recipe
from tinyrefinery.runs.folder import TrainedStage, open_run

if TYPE_CHECKING:
    from torch import nn

    from tinyrefinery.models.network_file import NetworkInfo

KEPT = "data_tests"
"""Folder, in a run or beside a network file, that holds what tests made."""
MOST_HEADER = 100_000_000
"""Bytes; safetensors has the same limit."""
ONNX = ".onnx"
FILES = (ONNX, ".safetensors")


@dataclass(frozen=True)
class Network:
    """A network under test."""

    name: str
    """For people: run, stage and seed, or the file's name."""
    file: Path
    digest: str
    """Stage key, or SHA-256 of the file; of an ONNX file with what was said of it."""
    home: Path
    """Folder for what tests make."""
    stage: Path | None = None
    """The stage's folder with the predictions that training left."""
    recipe: Recipe | None = field(default=None, repr=False)
    """Of the run; of an ONNX file, of the run that it was made from."""
    told: "NetworkInfo | None" = field(default=None, repr=False)
    """Of an ONNX file: what is known of it."""

    @property
    def slug(self) -> str:
        """A name for its files, e.g. `refined-0a1b2c3d`."""
        return self.stage.name if self.stage else f"{self.file.stem}-{self.digest[:8]}"

    @cached_property
    def info(self) -> "NetworkInfo":
        """What its file's header tells.

        Raises:
            CheckpointError: when it can't be read.
        """
        if self.told is not None:
            return self.told
        from tinyrefinery.models.network_file import read_info

        return read_info(self.file)

    @property
    def is_onnx(self) -> bool:
        """Whether it is an ONNX file, which ONNX Runtime runs; else torch does."""
        return self.told is not None

    def load(self) -> "nn.Module":
        """The network itself on the CPU, in evaluation mode: normalized images -> logits.

        Raises:
            CheckpointError: when it can't be read.
        """
        if self.is_onnx:
            from tinyrefinery.models.onnx_file import OnnxNetwork

            return OnnxNetwork(self.file).eval()
        from tinyrefinery.models.network_file import load_network

        return load_network(self.file)[0]

    @cached_property
    def _header(self) -> Mapping[str, Any]:
        """The same as plain values, without torch, whose import takes longer than most tests."""
        if self.told is not None:
            return vars(self.told)
        try:
            with self.file.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                content = json.loads(file.read(min(length, MOST_HEADER)))
            return json.loads(content["__metadata__"]["tinyrefinery"])
        except (OSError, ValueError, KeyError, TypeError):
            return vars(self.info)  # which says what is wrong

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in the order of its outputs."""
        return tuple(self._header["classes"])

    @property
    def channels(self) -> int:
        """Of its images: 1 or 3."""
        return int(self._header["channels"])


def find_network(
    path: Path, stage: str | None = None, seed: int | None = None, like: Path | None = None
) -> Network:
    """The network that a path means.

    Args:
        path: a run folder, the folder of one of its stages, a network file, or an ONNX file.
        stage: id of a run's stage; None: the last.
        seed: of a run with several; None: the first.
        like: of an ONNX file, the run or network file that it was made from, which says what the
            file doesn't; `stage` and `seed` choose from it. None: what stands beside the file; in
            a stage's folder, that stage.

    Raises:
        DataError: when there is no such network.
        ChoiceError: when a run has no such stage or seed, or several rows of a table have it.
        CheckpointError: when an ONNX file can't be opened, or doesn't tell what must be known.
    """
    path = Path(path)
    if path.suffix.lower() in FILES and not path.exists():
        raise DataError(f"{path}: there is no such file")
    if path.suffix.lower() == ONNX:
        return _of_onnx(path, stage, seed, like)
    if path.is_file() and path.parent.parent.name == "stages":
        path = path.parent
    if path.is_file():
        digest = sha256(path.read_bytes()).hexdigest()
        return Network(path.name, path, digest, path.parent / f"{path.stem}.{KEPT}")
    if path.parent.name == "stages":
        run = open_run(path.parent.parent)
        found = [each for each in run.stages if each.folder == path]
        if not found:
            raise DataError(f"{path}: no finished stage")
        return _of_run(run.path, found[0])
    run = open_run(path)
    return _of_run(run.path, _pick(path, list(run.stages), stage, seed))


def _of_onnx(path: Path, stage: str | None, seed: int | None, like: Path | None) -> Network:
    from tinyrefinery.models.onnx_file import OnnxNetwork, onnx_digest
    from tinyrefinery.networks.onnx_facts import facts_beside, onnx_info

    beside = facts_beside(path)
    place = like or (None if beside.like is None else path.parent / Path(beside.like).expanduser())
    if place is None and path.resolve().parent.parent.name == "stages":
        place = path.resolve().parent
    if place is not None and place.suffix.lower() == ONNX:
        raise DataError(f"{place}: --like names a run or a network file, no other ONNX file")
    origin = None if place is None else find_network(place, stage, seed)
    told = onnx_info(OnnxNetwork(path), beside, origin and origin.info)
    recipe = origin and origin.recipe
    # Its answers depend on what was said, and on the crop of the recipe.
    facts = [
        onnx_digest(path),
        repr(told),
        "" if recipe is None else canonical(recipe.data.eval_crop),
    ]
    digest = sha256("\n".join(facts).encode()).hexdigest()
    home = path.parent / f"{path.stem}.{KEPT}"
    return Network(path.name, path, digest, home, recipe=recipe, told=told)


def _pick(
    path: Path, stages: list[TrainedStage], stage: str | None, seed: int | None
) -> TrainedStage:
    if not stages:
        raise DataError(f"{path}: has no finished stage; let the run end first")
    names = list(dict.fromkeys(each.stage for each in stages))
    wanted = names[-1] if stage is None else stage
    if wanted not in names:
        raise ChoiceError(
            f"{path}: no stage '{wanted}'.{did_you_mean(wanted, names)} Stages: {names}"
        )
    found = [each for each in stages if each.stage == wanted]
    seeds = sorted({each.seed for each in found})
    chosen = seeds[0] if seed is None else seed
    if chosen not in seeds:
        raise ChoiceError(f"{path}: stage '{wanted}' has no seed {chosen}; there are {seeds}")
    found = [each for each in found if each.seed == chosen]
    if len(found) > 1:
        folders = ", ".join(str(each.folder) for each in found[:4])
        raise ChoiceError(
            f"{path}: {len(found)} rows of a table have a stage '{wanted}'; give the folder of "
            f"the one you mean: {folders}"
        )
    return found[0]


def _of_run(run: Path, stage: TrainedStage) -> Network:
    recipe = run / "recipe.yaml"
    return Network(
        name=f"{run.resolve().name} {stage.stage} (seed {stage.seed})",
        file=stage.file,
        digest=stage.key,
        home=run / KEPT,
        stage=stage.folder,
        recipe=load_recipe(recipe) if recipe.exists() else None,
    )
