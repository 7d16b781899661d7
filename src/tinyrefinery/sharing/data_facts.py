"""The images that a network was trained and measured on, as its run records them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tinyrefinery.data.manifest import SPLITS
from tinyrefinery.errors import DataError
from tinyrefinery.networks.network import Network
from tinyrefinery.options.sources import HuggingFace
from tinyrefinery.runs.run_folder import Run, TrainedStage


@dataclass(frozen=True)
class ImageFacts:
    """Counts, digest and problems of a dataset. Nothing of it names a folder of this machine."""

    name: str
    source: str
    """Name of the recipe's source, e.g. `folder`; empty where unknown."""
    hub: str
    """Name on the Hugging Face Hub; empty for any other source."""
    digest: str
    """Of the manifest."""
    counts: Mapping[str, Mapping[str, int]] = field(repr=False)
    """Images by class, then by split."""
    problems: Mapping[str, int]
    """Problems that opening found, by kind."""

    def total(self, split: str) -> int:
        """Images of a split."""
        return sum(by_split.get(split, 0) for by_split in self.counts.values())

    @property
    def splits(self) -> tuple[str, ...]:
        """Splits that have an image."""
        return tuple(split for split in SPLITS if self.total(split))


def image_facts(network: Network, run: Run, stage: TrainedStage) -> ImageFacts | None:
    """The images of a network's run; None where the run does not list them.

    Raises:
        DataError: if the list is damaged.
    """
    try:
        table = stage.images()
    except DataError:
        if (stage.run_folder / "images").is_dir():
            raise
        return None
    pairs = zip(table.column("label").to_pylist(), table.column("split").to_pylist(), strict=True)
    counted = Counter(pair for pair in pairs if pair[0] is not None)
    classes = list(dict.fromkeys((*network.classes, *(name for name, _ in counted))))
    whole = str(run.data.get("digest", ""))
    is_first = bool(stage.data) and whole.startswith(stage.data)
    source = network.recipe.data.source if network.recipe is not None else None
    name = str(run.data.get("name", "")) if is_first else ""
    hub = source.path if isinstance(source, HuggingFace) and not Path(source.path).exists() else ""
    return ImageFacts(
        name=_without_folders(name, hub) or (source.name if source else "unnamed"),
        source=source.name if source else "",
        hub=hub,
        digest=whole if is_first else stage.data,
        counts={
            name: {split: n for split in SPLITS if (n := counted[name, split])} for name in classes
        },
        problems=Counter(problem["kind"] for problem in run.excluded),
    )


def _without_folders(name: str, hub: str) -> str:
    """A dataset's name, which may be a path or end with one, without this machine's folders."""
    return hub or Path(name.partition(" in ")[0]).name
