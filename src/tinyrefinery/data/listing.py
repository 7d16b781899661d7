"""A source's listing of images, and how it becomes a dataset."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa

from tinyrefinery.data import opening_checks as check
from tinyrefinery.data.blobs import Blobs
from tinyrefinery.data.copies.together import keep_together
from tinyrefinery.data.dataset import Dataset, Problem
from tinyrefinery.data.decode import to_channels
from tinyrefinery.data.examine import examine
from tinyrefinery.data.images import RESIDENT_BYTES, EncodedImages, Images, ResidentImages
from tinyrefinery.data.manifest import REQUIRED, Manifest
from tinyrefinery.data.shrunk import MUCH_LARGER, SMALLEST
from tinyrefinery.data.splits import choose_stratified
from tinyrefinery.errors import DataError, did_you_mean
from tinyrefinery.options.sources import Opened
from tinyrefinery.reading.json_text import read_text


@dataclass(frozen=True)
class Listing:
    """All images of a source, in its order, before any is decoded.

    Attributes:
        name: of the dataset, for messages and the cache.
        classes: class names; a label is an index into them.
        labels: (N,) int64, -1 for a missing label.
        splits: (N,) train, validation or test.
        paths: (N,) file or other place of each image.
        pixels: encoded images, or uint8 (N, H, W, C) for sources that store pixels.
        extras: further columns, N rows.
        stamps: one text per image that changes with its bytes, for the cache; None for no cache.
        problems: found by the source itself.
    """

    name: str
    classes: tuple[str, ...]
    labels: np.ndarray = field(repr=False)
    splits: Sequence[str] = field(repr=False)
    paths: Sequence[str] = field(repr=False)
    pixels: Blobs | np.ndarray = field(repr=False)
    extras: pa.Table | None = field(default=None, repr=False)
    stamps: list[str] | None = field(default=None, repr=False)
    problems: tuple[Problem, ...] = ()


def assemble(listing: Listing, part: Opened) -> Dataset:
    """Decode all images once, leave out the broken ones, split off validation and test, and check.

    Args:
        listing: the source's images.
        part: the options that all sources share.

    Raises:
        DataError: if there is nothing to train on, or `strict` is set and there is a problem.
    """
    _check_listing(listing)
    ids, reasons, empty, images = _open_images(listing, part.channels, part.resident)
    problems = [*listing.problems, *check.broken_images(reasons, listing.paths)]
    problems += check.empty_images(*empty, listing.paths)
    problems += _missing_labels(listing, reasons)
    usable, notes = _usable(listing, ids, reasons, part.exclude)
    notes += check.alike_classes(listing.classes)
    if not usable.any():
        raise DataError(f"{listing.name}: no usable image. {_first(problems)}")
    if part.strict:
        check.raise_problems(listing.name, problems)
    rows = np.flatnonzero(usable)
    manifest = _manifest(listing, ids, rows)
    group = _group_column(listing, part.group)
    images = images if len(rows) == len(images) else images.select(rows)
    # Test first, so that the validation share doesn't change the test images.
    shares = {"test": part.test, "validation": part.validation}
    shares = {
        split: share for split, share in shares.items() if share and not len(manifest.rows(split))
    }
    groups = _groups(manifest, group)
    if shares and part.near_copies == "together":
        groups, joined = keep_together(groups, Dataset(listing.name, manifest, images))
        notes += joined
    for split, share in shares.items():
        manifest = _split_off(manifest, split, share, groups, part.seed)
    kept, copies = check.copies_across_splits(manifest)
    if len(kept) < len(manifest):
        manifest, images = manifest.select(kept), images.select(kept)
    problems += copies + _problems_of_splits(manifest, group, part.validation, part.test)
    if part.strict:
        check.raise_problems(listing.name, problems)
    if not len(manifest.rows("train")):
        raise DataError(f"{listing.name}: no training image is left. {_first(problems)}")
    _check_resident(listing.name, images, part.resident)
    return Dataset(listing.name, manifest, images, problems=tuple(problems + notes))


def _usable(
    listing: Listing, ids: Sequence[str], reasons: Sequence[str], exclude: str | None
) -> tuple[np.ndarray, list[Problem]]:
    """Images with pixels and a label that aren't excluded, (N,) bool, and notes for the user."""
    usable = np.array([not reason for reason in reasons], bool) & (listing.labels >= 0)
    if exclude is None:
        return usable, []
    left_out = exclusion_mask(Path(exclude), listing.paths, ids)
    note = Problem("excluded", exclude, f"{(left_out & usable).sum()} images left out")
    return usable & ~left_out, [note]


def _check_resident(name: str, images: Images, resident: str) -> None:
    """Raise an error if images must be resident but have several sizes."""
    if resident == "always" and not isinstance(images, ResidentImages):
        raise DataError(
            f"{name}: resident: always needs images of one size, but these have "
            f"{len(np.unique(images.sizes, axis=0))} sizes; resize them, or set resident: auto"
        )


def exclusion_mask(file: Path, paths: Sequence[str], ids: Sequence[str]) -> np.ndarray:
    """Whether a list of excluded images contains each image, (N,) bool.

    Raises:
        DataError: if the file can't be read, or lists none of these images.
    """
    text = read_text(file, "exclude takes a text file with one path or id per line.")
    lines = [line.strip() for line in text.splitlines()]
    entries = {line for line in lines if line and not line.startswith("#")}
    pairs = zip(paths, ids, strict=True)
    matches = np.array([path in entries or uid in entries for path, uid in pairs], bool)
    if entries and not matches.any():
        raise DataError(
            f"{file}: none of its {len(entries)} lines is an image of this data. It lists e.g. "
            f"'{min(entries)}', while the data has e.g. '{paths[0]}'."
        )
    return matches


def _open_images(
    listing: Listing, channels: int, resident: str
) -> tuple[list[str], list[str], tuple[np.ndarray, np.ndarray], Images]:
    """Ids, why images are broken (empty for intact ones), the facts of `empty_images`, pixels."""
    source = listing.pixels
    if isinstance(source, np.ndarray):
        ids = [sha256(pixels.tobytes()).hexdigest() for pixels in source]
        planes = np.ascontiguousarray(to_channels(source, channels).transpose(0, 3, 1, 2))
        one_color = (source == source[:, :1, :1]).all(axis=(1, 2, 3))  # (N,)
        facts = one_color, source.max(axis=(1, 2, 3))
        return ids, [""] * len(ids), facts, _resident(planes)
    findings, array = examine(
        source,
        channels=channels,
        home=listing.name,
        stamps=listing.stamps,
        resident_bytes={"auto": RESIDENT_BYTES, "always": 1 << 62, "never": 0}[resident],
        # Views shrink larger images once, also those of one size.
        resident_side=MUCH_LARGER * SMALLEST if resident == "auto" else None,
    )
    if array is not None:
        images: Images = _resident(array)
    else:
        decoded = int(np.prod(findings.sizes.astype(np.int64), axis=1).sum()) * channels  # bytes
        keep = resident != "never" and decoded <= RESIDENT_BYTES
        images = EncodedImages(source, findings.sizes, channels, kept={} if keep else None)
    facts = findings.one_color, np.where(findings.intact, findings.brightest, 255)
    return findings.ids, findings.reasons, facts, images


def _resident(planes: np.ndarray) -> ResidentImages:
    """Images uint8 (N, C, H, W) in memory. Only these need torch, which takes seconds to import."""
    import torch

    return ResidentImages(torch.from_numpy(planes))


def _manifest(listing: Listing, ids: list[str], rows: np.ndarray) -> Manifest:
    columns = {
        "id": pa.array(ids, pa.string()),
        "path": pa.array(listing.paths, pa.string()),
        "label": pa.array(listing.labels, pa.int64()),
        "split": pa.array(listing.splits, pa.string()),
    }
    extras = pa.table({}) if listing.extras is None else listing.extras
    for name in extras.column_names:
        columns[f"source_{name}" if name in REQUIRED else name] = extras.column(name)
    return Manifest(pa.table(columns).take(pa.array(rows)), listing.classes)


def _split_off(
    manifest: Manifest, split: str, share: float, groups: np.ndarray, seed: int
) -> Manifest:
    """Move a share of the training rows to `split`, without dividing groups (N,)."""
    rows = manifest.rows("train")
    if not len(rows):
        return manifest
    if (auto := check.labels_from_networks(manifest)).any():
        # Labels from a network must not measure networks. Their whole groups stay in training.
        rows = rows[~np.isin(groups[rows], groups[auto])]
    chosen = rows[
        choose_stratified(groups[rows], manifest.labels[rows], share, seed=seed, name=split)
    ]
    splits = manifest.column("split").copy()
    splits[chosen] = split
    index = manifest.table.schema.get_field_index("split")
    table = manifest.table.set_column(index, "split", pa.array(splits, pa.string()))
    return Manifest(table, manifest.classes)


def _groups(manifest: Manifest, group: str | None) -> np.ndarray:
    """The group of each image, (N,) text. Without one, copies of an image are its group."""
    ids = manifest.column("id")
    if group is None:
        return ids.astype(str)
    missing = manifest.table.column(group).is_null().to_numpy()
    return np.where(missing, ids, manifest.column(group).astype(str))


def _problems_of_splits(
    manifest: Manifest, group: str | None, validation: float, test: float
) -> list[Problem]:
    problems = check.groups_across_splits(manifest, group) if group else []
    problems += check.conflicting_labels(manifest) + check.empty_classes(manifest)
    problems += check.held_out_labels_from_networks(manifest)
    for split, share in (("validation", validation), ("test", test)):
        if share and not len(manifest.rows(split)):
            what = "too few training images with human labels to split it off"
            problems.append(Problem("empty_split", split, what))
    return problems


def _missing_labels(listing: Listing, reasons: list[str]) -> list[Problem]:
    return [
        Problem("missing_label", path, "has no label; left out")
        for path, label, reason in zip(listing.paths, listing.labels, reasons, strict=True)
        if label < 0 and not reason
    ]


def _group_column(listing: Listing, group: str | None) -> str | None:
    columns = listing.extras.column_names if listing.extras is not None else []
    if group is None:
        return "group" if "group" in columns else None
    if group not in columns:
        raise DataError(
            f"{listing.name}: no column '{group}' to group by. The further columns are {columns}."
            f"{did_you_mean(group, columns)}"
        )
    return f"source_{group}" if group in REQUIRED else group


def _check_listing(listing: Listing) -> None:
    name = listing.name
    if not len(listing.labels):
        raise DataError(f"{name}: there are no images")
    if len(listing.classes) < 2:
        raise DataError(
            f"{name}: there is one class only ({', '.join(listing.classes) or 'none'}); "
            "a classifier needs at least two"
        )
    if len(set(listing.classes)) < len(listing.classes):
        duplicates = sorted({c for c in listing.classes if listing.classes.count(c) > 1})
        raise DataError(f"{name}: duplicate class names: {duplicates}")
    if "train" not in set(listing.splits):
        raise DataError(f"{name}: no training split, only {', '.join(sorted(set(listing.splits)))}")


def _first(problems: list[Problem]) -> str:
    if not problems:
        return ""
    return f"First of {len(problems)} problems: {problems[0].where}: {problems[0].what}"
