"""A folder with all that belongs to a published network.

| file | content |
| --- | --- |
| `model.safetensors` | the network |
| `README.md` | its model card |
| `bom.json` | its bill of materials |
| `recipe.yaml` | the recipe of its run |
| `NAME.onnx`, `NAME.tflite`, `NAME.pte`, `NAME.packed` | artifacts with record and vectors |
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import yaml

from tinyrefinery.deploy.export.side_files import record_file, vectors_file
from tinyrefinery.errors import CheckpointError
from tinyrefinery.files import new_folder, write_atomic
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
    with new_folder(target) as staged:
        notes = stage_files(facts, staged)
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


def stage_files(facts: CardFacts, folder: Path) -> tuple[str, ...]:
    """Write all files into an empty folder; returns notes for the publisher."""
    shutil.copyfile(facts.network.file, folder / NETWORK)
    for artifact in facts.artifacts:
        path = artifact.path
        for file in (path, record_file(path), vectors_file(path)):
            if not file.is_file():
                raise CheckpointError(
                    f"{file}: is missing, but {path.name} is shared with it. Export again"
                )
            shutil.copyfile(file, folder / file.name)
        # Without its run, an artifact is traced to the network beside it.
        stated = facts_beside(path).model_copy(update={"like": NETWORK})
        text = yaml.safe_dump(stated.model_dump(mode="json", exclude_none=True))
        write_atomic(folder / f"{path.name}.yaml", text)
    notes = []
    if facts.network.recipe_file is not None:
        shutil.copyfile(facts.network.recipe_file, folder / RECIPE)
        places = sorted(set(_PLACE.findall(read_text(folder / RECIPE))))
        if places:
            notes.append(f"{RECIPE} names folders of this machine: {', '.join(places)}")
    write_card(facts, folder)
    return tuple(notes)
