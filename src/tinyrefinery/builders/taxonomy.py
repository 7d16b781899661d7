"""From a recipe to labels by WordNet."""

from functools import lru_cache
from pathlib import Path

from tinyrefinery.data.dataset import Dataset
from tinyrefinery.errors import DataError
from tinyrefinery.labels.taxonomy import Definition, Taxonomy, choose_synsets
from tinyrefinery.labels.wordnet import WordNet, read_wordnet
from tinyrefinery.recipe.labels import Taxonomy as TaxonomyPart
from tinyrefinery.recipe.schema import Stage


def taxonomy(stage: Stage, data: Dataset) -> Taxonomy | None:
    """What the stage's labels are made of; None: they are no taxonomy's.

    Raises:
        DataError: when WordNet can't be read, or a class has no synset.
    """
    part = stage.labels
    if not isinstance(part, TaxonomyPart):
        return None
    given = tuple(sorted(part.synsets.items()))
    wnids = _wnids(data)
    path = Path(part.wordnet).expanduser()
    return _made(path, data.classes, wnids, given, part.definition, part.temperature)


@lru_cache(maxsize=8)
def _made(
    path: Path,
    classes: tuple[str, ...],
    wnids: tuple[str | None, ...] | None,
    given: tuple[tuple[str, str], ...],
    definition: Definition,
    temperature: float,
) -> Taxonomy:
    net = _read(path)
    choices = choose_synsets(net, classes, dict(given), wnids)
    return Taxonomy(net, choices, definition=definition, temperature=temperature)


@lru_cache(maxsize=1)
def _read(path: Path) -> WordNet:
    return read_wordnet(path)


def _wnids(data: Dataset) -> tuple[str | None, ...] | None:
    """The wnid of each class, where the data has a column of them.

    Raises:
        DataError: when images of one class have different ones.
    """
    manifest = data.manifest
    if "wnid" not in manifest.table.column_names:
        return None
    found: list[str | None] = []
    column = manifest.column("wnid")
    for number, name in enumerate(data.classes):
        those = {wnid for wnid in column[manifest.labels == number] if wnid is not None}
        if len(those) > 1:
            raise DataError(
                f"data '{data.name}': class '{name}' has images of several wnids "
                f"({', '.join(sorted(map(str, those))[:5])}); mend the column wnid, or say which "
                f"in labels.synsets={{{name}: ...}}"
            )
        found.append(str(those.pop()) if those else None)
    return tuple(found)
