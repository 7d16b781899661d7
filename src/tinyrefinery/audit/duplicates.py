"""Copies of images: the same bytes, the same pixels, nearly the same, mirrored."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tinyrefinery.audit.finding import Finding, Strip
from tinyrefinery.audit.fingerprints import MIRROR, Fingerprints, likeness
from tinyrefinery.audit.hash_pairs import NONE, close_pairs
from tinyrefinery.audit.neighbors import stranger_distances
from tinyrefinery.data.dataset import Dataset

# Our choice; benchmarks/copies.py measures what they find and what they take for a copy.
BITS = 8
LIKE = 0.95
SURE = 0.995  # likeness that no two strangers of the measured sets reach
NEARER = 0.25  # of the distance of strangers, see `strangers`
KINDS = ("bytes", "pixels", "near", "mirrored")
_SHOWN = 12  # groups a finding shows
_AT_ONCE = 1 << 14  # pairs whose thumbnails are compared: bounds memory


@dataclass(frozen=True)
class Copies:
    """Images that are copies of one another, possibly of some in between."""

    rows: np.ndarray
    """Places in what was searched, ascending, two or more."""
    kind: str
    """The loosest link among them, one of `KINDS`."""


def find_copies(dataset: Dataset, prints: Fingerprints) -> list[Copies]:
    """Groups of copies among all images of a data set, the largest first.

    Args:
        dataset: N images.
        prints: their fingerprints.
    """
    pairs, kinds = _links(dataset, prints)
    if not len(pairs):
        return []
    n = len(prints.hashes)
    ones = np.ones(len(pairs), np.int8)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    member = connected_components(graph, directed=False)[1]
    loosest = np.zeros(n, np.int64)
    np.maximum.at(loosest, member[pairs[:, 0]], kinds)
    order = np.argsort(member, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(member[order]) > 0])
    groups = [part for part in np.split(order, starts[1:]) if len(part) > 1]
    groups.sort(key=lambda rows: (-len(rows), int(rows[0])))
    return [Copies(np.sort(rows), KINDS[loosest[member[rows[0]]]]) for rows in groups]


def _links(dataset: Dataset, prints: Fingerprints) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of rows (P, 2) and the number of each one's kind (P,)."""
    ids = dataset.manifest.column("id").astype(str)
    _, first, member = np.unique(ids, return_index=True, return_inverse=True)
    again = np.flatnonzero(first[member] != np.arange(len(ids)))
    same = np.stack([first[member[again]], again], 1)
    found, kinds = [same], [np.zeros(len(same), np.int64)]
    # One image for each content, and none that is nearly even: its hash would be noise.
    rows = np.sort(first)
    rows = rows[~prints.flat[rows]]
    for kind, flip in ((2, NONE), (3, MIRROR)):
        pairs = rows[close_pairs(prints.hashes[rows], BITS, flip)]
        pairs = _alike(prints.thumbs, pairs, rows, mirrored=kind == 3)
        found.append(pairs)
        kinds.append(np.full(len(pairs), kind))
        if kind == 2:
            kinds[-1] -= _same_pixels(dataset, prints, pairs)
    return np.concatenate(found), np.concatenate(kinds)


def _alike(
    thumbs: np.ndarray, pairs: np.ndarray, rows: np.ndarray, *, mirrored: bool
) -> np.ndarray:
    """The pairs (P, 2) whose thumbnails confirm what the hashes say.

    They are alike, and either more so than any strangers are or much more so than those in `rows`,
    one image for each content.
    """
    turned = thumbs[:, :, ::-1] if mirrored else thumbs
    found = [np.empty(0, np.float32)]
    for at in range(0, len(pairs), _AT_ONCE):
        first, second = pairs[at : at + _AT_ONCE].T
        found.append(likeness(thumbs[first], turned[second]))
    like = np.concatenate(found)
    kept = like >= SURE
    doubtful = np.flatnonzero((like >= LIKE) & ~kept)
    limits = np.full(len(doubtful), np.inf)
    for side, pictures in ((0, thumbs), (1, turned)):
        images, place = np.unique(pairs[doubtful, side], return_inverse=True)
        limits = np.minimum(limits, stranger_distances(thumbs[rows], pictures[images])[place])
    kept[doubtful] = 1 - like[doubtful] <= NEARER * limits
    return pairs[kept]


def _same_pixels(dataset: Dataset, prints: Fingerprints, pairs: np.ndarray) -> np.ndarray:
    """Which near pairs have the very same pixels, whatever their files, (P,) int64."""
    a, b = pairs.T
    sizes = dataset.images.sizes
    likely = (prints.hashes[a] == prints.hashes[b]) & (sizes[a] == sizes[b]).all(1)
    likely &= (prints.thumbs[a] == prints.thumbs[b]).all((1, 2, 3))
    out = np.zeros(len(pairs), np.int64)
    for place in np.flatnonzero(likely):
        one, other = (dataset.images.pixels(int(row)) for row in pairs[place])
        out[place] = np.array_equal(one, other)
    return out


def copies_findings(
    dataset: Dataset, copies: Sequence[Copies], group: str | None, mend: str
) -> list[Finding]:
    """What the copies mean: leaks between splits and groups, conflicts, and mere repetition.

    Args:
        dataset: what was searched.
        copies: what was found.
        group: column whose values must not share images, or None.
        mend: the remedy of a list of rows to leave out, with `{}` for the file.
    """
    labels, splits = dataset.manifest.labels, dataset.manifest.column("split")
    across = [each for each in copies if len(set(splits[each.rows])) > 1]
    within = [each for each in copies if len(set(splits[each.rows])) == 1]
    torn = [each for each in copies if len(set(labels[each.rows])) > 1]
    found = list(_leaks(dataset, across, mend))
    if group:
        found += _across_groups(dataset, copies, group)
    if torn:
        rows = [int(row) for each in torn for row in each.rows]
        found.append(
            Finding(
                "conflict",
                "warning",
                f"{_many(torn, 'group')} of copies with different labels",
                _path(dataset, rows[0]),
                "at least one label of each is wrong, or the image shows several classes: "
                + mend.format("conflicts.txt"),
                len(torn),
                strips=_strips(dataset, torn),
                listed=tuple(rows),
                list_file="conflicts.txt",
                facts=_facts(torn),
            )
        )
    if within:
        extra = [int(row) for each in within for row in each.rows[1:]]
        found.append(
            Finding(
                "copies",
                "note",
                f"{len(extra)} {'image is a copy' if len(extra) == 1 else 'images are copies'} of "
                f"others in their split ({_told(within)})",
                _path(dataset, extra[0]),
                mend.format("copies.txt"),
                len(extra),
                "They count several times, in training and in every measure.",
                _strips(dataset, within),
                tuple(extra),
                "copies.txt",
                _facts(within),
            )
        )
    return found


def _leaks(dataset: Dataset, across: Sequence[Copies], mend: str) -> Iterator[Finding]:
    """Copies in several splits: test keeps them, validation gives way to it, training to both."""
    if not across:
        return
    rank = {"train": 0, "validation": 1, "test": 2}
    ranks = np.array([rank[split] for split in dataset.manifest.column("split")])
    out = [
        int(row) for each in across for row in each.rows[ranks[each.rows] < ranks[each.rows].max()]
    ]
    held = sum(int((ranks[each.rows] > 0).sum()) for each in across)
    seen = "1 image that measures was" if held == 1 else f"{held} images that measure were"
    yield Finding(
        "leak",
        "error",
        f"{_many(across, 'image')} in several splits ({_told(across)}): {seen} "
        "seen in training or in choosing",
        _path(dataset, int(across[0].rows[0])),
        mend.format("leaks.txt") + "; or keep copies together when splits are carved: "
        "data.source.group=COLUMN",
        len(across),
        "Networks know such images by heart, so accuracy on them says nothing.",
        _strips(dataset, across),
        tuple(out),
        "leaks.txt",
        _facts(across) | {"held_out_images": held},
    )


def _across_groups(dataset: Dataset, copies: Sequence[Copies], group: str) -> Iterator[Finding]:
    values = dataset.manifest.column(group)
    missing = dataset.manifest.table.column(group).is_null().to_numpy()
    shared = [
        each for each in copies if len({str(v) for v in values[each.rows][~missing[each.rows]]}) > 1
    ]
    if not shared:
        return
    yield Finding(
        "leak",
        "error",
        f"{_many(shared, 'image')} in several groups of '{group}' ({_told(shared)}): splitting by "
        "it does not keep copies apart",
        group,
        f"give all copies of an image one value of '{group}', then carve the splits again",
        len(shared),
        strips=_strips(dataset, shared),
        facts=_facts(shared),
    )


def _strips(dataset: Dataset, copies: Sequence[Copies]) -> tuple[Strip, ...]:
    labels, splits = dataset.manifest.labels, dataset.manifest.column("split")

    def told(row: int) -> str:
        """Split and class of an image."""
        return f"{splits[row]}: {dataset.classes[labels[row]]}"

    return tuple(
        Strip(
            {"bytes": "same file", "pixels": "same pixels", "near": "nearly the same"}.get(
                each.kind, "mirrored"
            ),
            tuple(int(row) for row in each.rows[:8]),
            tuple(told(row) for row in each.rows[:8]),
        )
        for each in copies[:_SHOWN]
    )


def _told(copies: Sequence[Copies]) -> str:
    words = {"bytes": "same bytes", "pixels": "same pixels", "near": "near", "mirrored": "mirrored"}
    counts = {kind: sum(each.kind == kind for each in copies) for kind in KINDS}
    return ", ".join(f"{count} {words[kind]}" for kind, count in counts.items() if count)


def _facts(copies: Sequence[Copies]) -> dict[str, int]:
    return {kind: sum(each.kind == kind for each in copies) for kind in KINDS}


def _many(copies: Sequence[Copies], noun: str) -> str:
    return f"{len(copies)} {noun}{'' if len(copies) == 1 else 's'}"


def _path(dataset: Dataset, row: int) -> str:
    return str(dataset.manifest.column("path")[row])
