"""How many training images a source has and how large it is, before it is opened."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyarrow import parquet

from tinyrefinery.data.sources.found_pictures import ENDINGS
from tinyrefinery.data.walk import walk
from tinyrefinery.options.sources import Source, StreetNumbers

# Training images and bytes of the archives to download, as their publishers have them.
_PUBLISHED = {
    "cifar10": (50_000, 170_498_071),
    "cifar100": (50_000, 169_001_437),
    "svhn": (73_257, 246_316_178),
    "food101": (75_750, 4_996_278_331),
    "imagenet": (1_281_167, 154_642_401_280),
    "VOC2012/trainval": (11_540, 1_999_639_040),
    "VOC2007/test": (4_952, 451_020_800),
}


@dataclass(frozen=True)
class SourceNeeds:
    """What a source takes."""

    name: str
    """Kind and place of the source."""
    images: int | None
    """Training images, without those that are split off; None: not known before it is there."""
    bytes: int | None
    """Of what is to be downloaded where that is published, else on disk; None: not known."""
    is_there: bool
    """Whether its place exists, or it needs none."""


def source_needs(source: Source) -> SourceNeeds:
    """What a source of pictures takes; no picture is read."""
    if isinstance(source, StreetNumbers):
        return SourceNeeds("street_numbers, embedded", source.train, 0, is_there=True)
    place = _place(source)
    is_there = place is not None and place.exists()
    images, archive = _PUBLISHED.get(source.name, (None, None))
    if images is None and place is not None and is_there and source.name == "folder":
        images = _pictures(place)
    if place is not None and place.is_file() and source.name == "parquet":
        images = parquet.read_metadata(place).num_rows
    shares = getattr(source, "validation", 0.0), getattr(source, "test", 0.0)
    if images is not None:
        images = round(images * (1 - sum(shares)))
        images = min(images, getattr(source, "train_limit", None) or images)
    size = _size(place) if archive is None and is_there and place is not None else archive
    return SourceNeeds(f"{source.name}, {place or 'no place'}", images, size, is_there=is_there)


def box_source_needs(source: Any) -> SourceNeeds:
    """The same of a source of boxes (`recipe.detection`)."""
    if source.name == "shapes":
        return SourceNeeds("shapes, embedded", source.train, 0, is_there=True)
    place = Path(source.root).expanduser()
    lists = source.splits or {}
    known = [_PUBLISHED[name] for name in lists.values() if name in _PUBLISHED]
    archive = sum(size for _, size in known) or None
    images, _ = _PUBLISHED.get(lists.get("train", ""), (None, None))
    if images is not None:
        images = round(images * (1 - source.validation))
    size = _size(place) if archive is None and place.exists() else archive
    return SourceNeeds(f"{source.name}, {place}", images, size, is_there=place.exists())


def _place(source: Any) -> Path | None:
    """The file or folder of a source; of several files the first."""
    root = getattr(source, "root", None) or getattr(source, "path", None)
    if isinstance(root, dict):
        root = root["train"]
    if isinstance(root, tuple):
        root = root[0]
    return None if root is None else Path(root).expanduser()


def _pictures(root: Path) -> int:
    """The pictures of ROOT/train, or of ROOT where it has no such folder."""
    top = root / "train" if (root / "train").is_dir() else root
    names = (name for _, _, names in walk([top]).folders for name in names)
    return sum(Path(name).suffix.lower() in ENDINGS for name in names)


def _size(place: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    if place.is_file():
        return place.stat().st_size
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
