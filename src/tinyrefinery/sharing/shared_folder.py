"""A folder with all that belongs to a published network.

| file | content |
| --- | --- |
| `model.safetensors` | the network |
| `README.md` | its model card |
| `bom.json` | its bill of materials |
| `recipe.yaml` | the recipe of its run |
| `NAME.onnx`, `NAME.tflite` | its artifacts, each with its record and its test vectors |
"""

import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from tinyrefinery.deploy.export.side_files import record_file, vectors_file
from tinyrefinery.errors import CheckpointError, DataError, StorageError
from tinyrefinery.files import check_writable, write_atomic
from tinyrefinery.networks.facts import facts_beside
from tinyrefinery.networks.hub import NETWORK
from tinyrefinery.reading.json_text import read_text
from tinyrefinery.runs.files import RECIPE
from tinyrefinery.sharing.card_facts import CardFacts
from tinyrefinery.sharing.model_card import write_card

_PLACE = re.compile(r"(?:(?<=[\s:\[{,'\"])|^)(?:file:)?(?:/|~|[A-Za-z]:[\\/])[^\s,\]}'\"]+", re.M)
"""An absolute path in a recipe."""


@dataclass(frozen=True)
class Shared:
    """What was published."""

    place: str
    """The folder, or the address of the repository."""
    files: tuple[str, ...]
    """Names, in order."""
    notes: tuple[str, ...]
    """What the publisher should know, a sentence each."""


def share_folder(facts: CardFacts, target: Path) -> Shared:
    """Write the folder. It is there as a whole or not at all.

    Raises:
        DataError: if the folder is there and not empty, or the network has no file of ours.
        StorageError: if it is not writable.
    """
    check_shareable(facts)
    check_writable(folders=[target])
    if target.exists() and any(target.iterdir()):
        raise DataError(
            f"{target}: is not empty, and nothing in it is replaced. Name a new folder, or move "
            "this one away"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as place:
            staged = Path(place) / target.name
            notes = stage_files(facts, staged)
            with suppress(FileNotFoundError):
                target.rmdir()  # empty, checked above
            staged.rename(target)
    except OSError as error:
        raise StorageError(
            f"{target}: is not writable ({error.strerror or error}). Nothing was written. Free "
            "some disk space or choose another folder"
        ) from error
    return Shared(str(target), tuple(sorted(p.name for p in target.iterdir())), notes)


def check_shareable(facts: CardFacts) -> None:
    """Refuse what has no network file of ours.

    Raises:
        CheckpointError: for `timm:NAME`, ONNX and LiteRT files.
    """
    network = facts.network
    if network.kind != "file":
        raise CheckpointError(
            f"{network.name}: only a network of a run, or a network file, is shared. Name the run "
            "that it was made from"
        )


def stage_files(
    facts: CardFacts, folder: Path, copy: Callable[[Path, Path], object] = shutil.copyfile
) -> tuple[str, ...]:
    """Write all files into a new folder; returns notes for the publisher."""
    folder.mkdir(parents=True)
    copy(facts.network.file, folder / NETWORK)
    for artifact in facts.artifacts:
        path = artifact.path
        for file in (path, record_file(path), vectors_file(path)):
            if not file.is_file():
                raise CheckpointError(
                    f"{file}: is missing, but {path.name} is shared with it. Export again"
                )
            copy(file, folder / file.name)
        # Without its run, an artifact is traced to the network beside it.
        stated = facts_beside(path).model_copy(update={"like": NETWORK})
        text = yaml.safe_dump(stated.model_dump(mode="json", exclude_none=True))
        write_atomic(folder / f"{path.name}.yaml", text)
    notes = []
    if facts.network.recipe_file is not None:
        copy(facts.network.recipe_file, folder / RECIPE)
        places = sorted(set(_PLACE.findall(read_text(folder / RECIPE))))
        if places:
            notes.append(f"{RECIPE} names folders of this machine: {', '.join(places)}")
    write_card(facts, folder)
    return tuple(notes)
