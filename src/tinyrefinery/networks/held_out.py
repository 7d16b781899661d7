"""Which images count as held out for a network: decided by the images' identities, here alone.

An image that a network, or a refiner or initial network behind it, was trained or chosen on never
counts as held out, whatever folder or split it is found in today:

- The images of a network's own run keep the split that they had when it was trained.
- An image that the network or anything behind it was trained on counts as `train`, one that it was
  chosen on as `validation`.
- Images that the run does not know are new. In the run's own data they belong to no split, and are
  reported. In data that is named, they keep the split that its source gives them, and are `test`
  where it gives all images the same one.
- A network file that was copied out of its run tells in its header which images were used, or a
  sample of them. Where that sample shows that some were, those that it doesn't cover count as used.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tinyrefinery.data.manifest import NEW, Manifest
from tinyrefinery.networks.network import Network
from tinyrefinery.runs.seen_sketch import SeenSketch

_RANK = {NEW: 0, "test": 1, "validation": 2, "train": 3}
"""How far a split is from held out. An image in several counts where it is farthest."""
_USED = ("validation", "train")


@dataclass(frozen=True)
class Held:
    """A manifest whose splits are what counts for some networks."""

    manifest: Manifest = field(repr=False)
    notes: tuple[str, ...]
    """What a reader of the numbers must know; a sentence each."""


def held_out(
    manifest: Manifest, networks: Sequence[Network], *, own: bool, fixed: bool = False
) -> Held:
    """Give every image the split that counts for these networks together.

    Args:
        manifest: the images, with the splits of their source.
        networks: whose training counts. The first one's run says which split an image had.
        own: whether these are the images of the first network's run; else other data, which may
            hold some of them.
        fixed: keep the source's splits as the starting point instead, as for a recipe that is
            about to be trained; images still move away from held out where a network used them.

    Raises:
        DataError: when the record of a run's images is missing or damaged.
    """
    ids = manifest.column("id").tolist()
    source = manifest.column("split").astype(object)
    record = _recorded(networks[0]) if networks and not fixed else {}
    start = _start(source, ids, record, own=own, fixed=fixed)
    used = _used(networks, ids)
    splits = [
        max(split, used.get(image, split), key=_RANK.__getitem__)
        for image, split in zip(ids, start, strict=True)
    ]
    notes = [*_changes(manifest, ids, record, networks, own=own), *_unknown(networks, ids)]
    notes += _moved(start, splits)
    return Held(manifest.with_splits(splits), tuple(notes))


def without_seen(manifest: Manifest, seen: Collection[str]) -> Held:
    """A manifest for a run that is about to measure its networks: the test images stay unseen.

    Validation images stay, because networks are chosen on them anyway. A test image that is also
    in another split of the run, byte for byte, counts as trained on.

    Args:
        manifest: the images of the run.
        seen: identities of the images that networks from outside, which the run depends on, were
            trained or chosen on.
    """
    ids, start = manifest.column("id").tolist(), manifest.column("split").tolist()
    own = {image for image, split in zip(ids, start, strict=True) if split in _USED}
    splits = [
        "train" if split == "test" and (image in seen or image in own) else split
        for image, split in zip(ids, start, strict=True)
    ]
    return Held(manifest.with_splits(splits), tuple(_moved(start, splits)))


def with_own_splits(manifest: Manifest, network: Network) -> Manifest:
    """A manifest in the splits that its images had in a network's run; others belong to no split.

    What networks from elsewhere were trained on does not count here.
    """
    record = _recorded(network)
    return manifest.with_splits(
        [record.get(image, NEW) for image in manifest.column("id").tolist()]
    )


def never_used(manifest: Manifest, networks: Sequence[Network]) -> np.ndarray:
    """Images that no network, nor anything behind one, was trained or chosen on; (N,) bool."""
    ids = manifest.column("id").tolist()
    used = _used(networks, ids)
    return np.array([image not in used for image in ids], bool)


def _start(
    source: np.ndarray, ids: Sequence[str], record: Mapping[str, str], *, own: bool, fixed: bool
) -> list[str]:
    """Each image's split before its use by other networks counts."""
    if fixed:
        return source.tolist()
    if own:
        return [record.get(image, NEW) for image in ids]
    # One split for all: the source has none of its own, so all of it is there to test on.
    whole = len(set(source.tolist())) == 1
    rest = ["test"] * len(ids) if whole else source.tolist()
    return [record.get(image, split) for image, split in zip(ids, rest, strict=True)]


def _recorded(network: Network) -> dict[str, str]:
    """Split of each image of the network's run; nothing where it is not from a run."""
    if network.trained is None:
        return {}
    table = network.trained.images()
    return _farthest(table.column("id").to_pylist(), table.column("split").to_pylist())


def _used(networks: Iterable[Network], here: Sequence[str]) -> dict[str, str]:
    """Images that any of the networks, or anything behind them, was trained or chosen on.

    Of networks without a run, those of the images `here`.
    """
    ids, splits = list[str](), list[str]()
    for network in networks:
        if network.seen_sketch is not None:
            seen = network.seen_sketch.counted_used(here)
            ids += seen
            splits += ["train"] * len(seen)
        if network.trained is not None:
            for image, split in _recorded(network).items():
                if split in _USED:
                    ids.append(image)
                    splits.append(split)
            # A refiner from elsewhere may have been trained on an image of this run's test split.
            outside = network.trained.seen_outside()
            ids += outside
            splits += ["train"] * len(outside)
    return _farthest(ids, splits)


def _farthest(ids: Sequence[str], splits: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for image, split in zip(ids, splits, strict=True):
        if image not in found or _RANK[split] > _RANK[found[image]]:
            found[image] = split
    return found


def _changes(
    manifest: Manifest,
    ids: Sequence[str],
    record: Mapping[str, str],
    networks: Sequence[Network],
    *,
    own: bool,
) -> list[str]:
    """How the images differ from those that the run recorded."""
    if not record or networks[0].trained is None:
        return []
    new = sum(image not in record for image in ids)
    if not own:
        known = Counter(record[image] for image in ids if image in record)
        used = known["train"] + known["validation"]
        if not used:
            return []
        return [
            f"{used:,} of {len(ids):,} images were trained or chosen on. They count in the split "
            f"they had ({known['train']:,} train, {known['validation']:,} validation), not as held "
            "out"
        ]
    notes = []
    if new:
        notes.append(
            f"the data has changed since training: {new:,} new {_images(new)} in no split of the "
            "run. To test on new images, name their folder as data, or give split: new"
        )
    if gone := len(set(record) - set(ids)):
        notes.append(f"the data has changed since training: {gone:,} {_images(gone)} gone")
    table = networks[0].trained.images()
    labels: dict[str, set[str]] = {}  # copies of an image may have different ones
    for image, name in zip(*(table.column(n).to_pylist() for n in ("id", "label")), strict=True):
        labels.setdefault(image, set()).add(name)
    today = [manifest.classes[label] for label in manifest.labels]
    known = [
        (labels[image], name) for image, name in zip(ids, today, strict=True) if image in labels
    ]
    moved = sum(name not in names for names, name in known)
    if moved:
        notes.append(
            f"the data has changed since training: {moved:,} {_images(moved)} with another label"
        )
    return notes


def _images(count: int) -> str:
    return "image" if count == 1 else "images"


def _unknown(networks: Iterable[Network], ids: Sequence[str]) -> list[str]:
    """Networks of which no record, or just part of one, tells what they were trained on."""
    notes = []
    for network in networks:
        if network.seen_sketch is not None:
            notes += _sketched(network.name, network.seen_sketch, ids)
        elif network.trained is None:
            notes.append(
                f"{network.name}: no run records which images it was trained on, so none of them "
                "can be left out here"
            )
        elif origins := network.trained.unknown_origin:
            notes.append(_no_origin(network.name, origins))
    return notes


def _sketched(name: str, sketch: SeenSketch, ids: Sequence[str]) -> list[str]:
    """What a network's header tells, and does not tell, of the images."""
    uses = Counter(sketch.uses(ids))
    notes = []
    if uses["unknown"]:
        checked = uses["used"] + uses["unused"]
        notes.append(
            f"{name}: lies in no run folder, and its header lists a sample of the images it was "
            f"trained on. Of {len(ids):,} images here, {checked:,} could be compared: "
            f"{uses['used']:,} of them {'was' if uses['used'] == 1 else 'were'} trained on"
            + (
                ", so the others count as trained on too. Name the network in its run folder"
                if uses["used"]
                else ""
            )
        )
    if sketch.unknown_origin:
        notes.append(_no_origin(name, sketch.unknown_origin))
    return notes


def _no_origin(name: str, origins: Iterable[str]) -> str:
    return (
        f"{name}: it is not recorded which images {', '.join(origins)} was trained on, so none of "
        "them can be left out here"
    )


def _moved(start: Sequence[str], splits: Sequence[str]) -> list[str]:
    """Images that other networks used, and so leave a split of held-out images."""
    moves = Counter(pair for pair in zip(start, splits, strict=True) if pair[0] != pair[1])
    return [
        f"{count:,} {_images(count)} of the {before} split count as {after}: a network here, or a "
        "refiner behind it, was trained or chosen on them"
        for (before, after), count in sorted(moves.items())
    ]
