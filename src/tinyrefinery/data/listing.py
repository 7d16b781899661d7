"""What a source found before any image was looked at, and how it becomes a data set."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np
import pyarrow as pa
import torch

from tinyrefinery.data import check
from tinyrefinery.data.blobs import Blobs
from tinyrefinery.data.dataset import Dataset, Problem
from tinyrefinery.data.decode import to_channels
from tinyrefinery.data.examine import examine
from tinyrefinery.data.images import EncodedImages, Images, ResidentImages
from tinyrefinery.data.manifest import REQUIRED, Manifest
from tinyrefinery.data.splits import carve
from tinyrefinery.errors import DataError
from tinyrefinery.names import nearest

RESIDENT_BYTES = 2 << 30  # our choice: fits a laptop, holds 150,000 images of 64x64 RGB twice over


class OpeningOptions(TypedDict, total=False):
    """What every source understands; `assemble` explains each and holds the defaults."""

    channels: Literal[1, 3]
    validation: float
    test: float
    seed: int
    group: str | None
    exclude: str | None
    strict: bool
    resident: Literal["auto", "always", "never"]
    resident_bytes: int


@dataclass(frozen=True)
class Listing:
    """Rows of a source in its own order.

    Attributes:
        name: of the data set, for people and for the cache.
        classes: class names; a label is an index into them.
        labels: (N,) int64, -1 where the source has none.
        splits: (N,) train, validation or test.
        paths: (N,) where a person finds each image.
        pixels: encoded images, or uint8 (N, H, W, C) where the source stores pixels.
        extras: further columns, N rows.
        stamps: a text an image that changes with its bytes, for the cache; None to use none.
        problems: what the source itself noticed.
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


def assemble(
    listing: Listing,
    *,
    channels: Literal[1, 3] = 3,
    validation: float = 0.1,
    test: float = 0.0,
    seed: int = 0,
    group: str | None = None,
    exclude: str | None = None,
    strict: bool = False,
    resident: Literal["auto", "always", "never"] = "auto",
    resident_bytes: int = RESIDENT_BYTES,
) -> Dataset:
    """Decode every image once, leave the broken ones out, carve the splits and check the rest.

    Args:
        listing: what the source found.
        channels: 3 to see RGB, 1 to see grey.
        validation: share of the training images that validate, where the source has no
            validation split; 0 for none. Labels that a network gave (`label_source` begins with
            `auto:`) stay in training.
        test: share of the training images that test, where the source has no test split.
        seed: of the carving.
        group: column whose values stay together when splits are carved; "group" by default, where
            there is one.
        exclude: a file of images to leave out before anything else is decided, one a line: its path
            or the SHA-256 of its bytes; empty lines and those with # in front count for nothing.
        strict: raise on any problem instead of leaving rows out and listing them.
        resident: keep decoded pixels in memory: `auto` when all have one size and fit.
        resident_bytes: what `auto` takes for fitting, 2 GiB by default.

    Raises:
        DataError: when there is nothing to train on, an option is wrong, or `strict` found a
            problem.
    """
    _check_options(listing, channels, validation, test, resident)
    limit = {"auto": resident_bytes, "always": 1 << 62, "never": 0}[resident]
    ids, reasons, images = _open_images(listing, channels, limit)
    problems = [*listing.problems, *check.broken_images(reasons, listing.paths)]
    problems += _unlabelled(listing, reasons)
    whole, told = _usable(listing, ids, reasons, exclude)
    if not whole.any():
        raise DataError(f"{listing.name}: no usable image. {_first(problems)}")
    if strict:
        check.refuse(listing.name, problems)
    rows = np.flatnonzero(whole)
    manifest = _manifest(listing, ids, rows)
    group = _group_column(listing, group)
    for split, share in (("test", test), ("validation", validation)):
        manifest = _carved(manifest, split, share, group, seed)
    kept, copies = check.copies_across_splits(manifest)
    manifest, rows = manifest.select(kept), rows[kept]
    problems += copies + _remaining(manifest, group, validation, test)
    if strict:
        check.refuse(listing.name, problems)
    if not len(manifest.rows("train")):
        raise DataError(f"{listing.name}: no training image is left. {_first(problems)}")
    chosen = images if len(rows) == len(images) else images.select(rows)
    _check_resident(listing.name, chosen, resident)
    return Dataset(listing.name, manifest, chosen, problems=tuple(problems + told))


def _usable(
    listing: Listing, ids: Sequence[str], reasons: Sequence[str], exclude: str | None
) -> tuple[np.ndarray, list[Problem]]:
    """Which images have pixels and a label and aren't excluded; what `strict` allows, as told."""
    whole = np.array([not reason for reason in reasons], bool) & (listing.labels >= 0)
    if exclude is None:
        return whole, []
    left_out = excluded(Path(exclude), listing.paths, ids)
    told = Problem("excluded", exclude, f"{(left_out & whole).sum()} images left out")
    return whole & ~left_out, [told]


def _check_resident(name: str, images: Images, resident: str) -> None:
    """Refuse images that must lie in memory decoded, as one array, and can't."""
    if resident == "always" and not isinstance(images, ResidentImages):
        raise DataError(
            f"{name}: resident: always needs images of one size; these have "
            f"{len(np.unique(images.sizes, axis=0))} sizes; resize them, or leave it at auto"
        )


def excluded(file: Path, paths: Sequence[str], ids: Sequence[str]) -> np.ndarray:
    """Which images a list leaves out, (N,) bool.

    Raises:
        DataError: when the file can't be read, or names none of these images.
    """
    try:
        lines = [line.strip() for line in file.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{file}: can't be read ({error}); exclude names a text file with a path or id a line"
        ) from error
    named = {line for line in lines if line and not line.startswith("#")}
    pairs = zip(paths, ids, strict=True)
    found = np.array([path in named or identity in named for path, identity in pairs], bool)
    if named and not found.any():
        raise DataError(
            f"{file}: none of its {len(named)} lines names an image of this data, e.g. "
            f"'{min(named)}' against '{paths[0]}'; write paths as the data's folder is given"
        )
    return found


def _open_images(
    listing: Listing, channels: int, limit: int
) -> tuple[list[str], list[str], Images]:
    """Identity of each image, why it is broken (or nothing), and the pixels."""
    source = listing.pixels
    if isinstance(source, np.ndarray):
        ids = [sha256(pixels.tobytes()).hexdigest() for pixels in source]
        planes = np.ascontiguousarray(to_channels(source, channels).transpose(0, 3, 1, 2))
        return ids, [""] * len(ids), ResidentImages(torch.from_numpy(planes))
    findings, kept = examine(
        source,
        channels=channels,
        home=listing.name,
        stamps=listing.stamps,
        resident_bytes=limit,
    )
    if kept is not None:
        return findings.ids, findings.reasons, ResidentImages(torch.from_numpy(kept))
    return findings.ids, findings.reasons, EncodedImages(source, findings.sizes, channels)


def _manifest(listing: Listing, ids: list[str], rows: np.ndarray) -> Manifest:
    columns = {
        "id": pa.array(ids, pa.string()),
        "path": pa.array(listing.paths, pa.string()),
        "label": pa.array(listing.labels, pa.int64()),
        "split": pa.array(listing.splits, pa.string()),
    }
    extras = pa.table({}) if listing.extras is None else listing.extras
    for name in extras.column_names:
        own = f"source_{name}" if name in REQUIRED else name
        columns[own] = extras.column(name)
    return Manifest(pa.table(columns).take(pa.array(rows)), listing.classes)


def _carved(manifest: Manifest, split: str, share: float, group: str | None, seed: int) -> Manifest:
    """The manifest with a share of its training rows moved to `split`, if that one is empty."""
    rows = manifest.rows("train")
    if share == 0 or len(manifest.rows(split)) or not len(rows):
        return manifest
    together = _together(manifest, group)
    if (auto := check.given_by_networks(manifest)).any():
        # What no person labelled measures nothing: it trains, and its whole group with it.
        rows = rows[~np.isin(together[rows], together[auto])]
    moved = rows[carve(together[rows], manifest.labels[rows], share, seed=seed, name=split)]
    splits = manifest.column("split").copy()
    splits[moved] = split
    at = manifest.table.schema.get_field_index("split")
    table = manifest.table.set_column(at, "split", pa.array(splits, pa.string()))
    return Manifest(table, manifest.classes)


def _together(manifest: Manifest, group: str | None) -> np.ndarray:
    """Name of what each image stays together with, (N,): its group, else its own content."""
    ids = manifest.column("id")
    if group is None:
        return ids.astype(str)
    missing = manifest.table.column(group).is_null().to_numpy()
    return np.where(missing, ids, manifest.column(group).astype(str))


def _remaining(
    manifest: Manifest, group: str | None, validation: float, test: float
) -> list[Problem]:
    problems = check.groups_across_splits(manifest, group) if group else []
    problems += check.conflicting_labels(manifest) + check.empty_classes(manifest)
    problems += check.measured_by_networks(manifest)
    for split, share in (("validation", validation), ("test", test)):
        if share and not len(manifest.rows(split)):
            what = "too few training images that people labelled to carve it from"
            problems.append(Problem("empty_split", split, what))
    return problems


def _unlabelled(listing: Listing, reasons: list[str]) -> list[Problem]:
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
            f"{listing.name}: no column '{group}' to group by; the further columns are {columns}."
            f"{nearest(group, columns)}"
        )
    return f"source_{group}" if group in REQUIRED else group


def _check_options(
    listing: Listing, channels: int, validation: float, test: float, resident: str
) -> None:
    name = listing.name
    if not len(listing.labels):
        raise DataError(f"{name}: no image at all")
    if len(listing.classes) < 2:
        raise DataError(
            f"{name}: there is one class only ({', '.join(listing.classes) or 'none'}); "
            "a classifier needs two or more"
        )
    if len(set(listing.classes)) < len(listing.classes):
        twice = sorted({c for c in listing.classes if listing.classes.count(c) > 1})
        raise DataError(f"{name}: class names stand twice: {twice}")
    if channels not in (1, 3):
        raise DataError(f"{name}: channels is {channels!r}; 3 means RGB and 1 grey")
    if resident not in ("auto", "always", "never"):
        raise DataError(f"{name}: resident is {resident!r}; it can be auto, always or never")
    if min(validation, test) < 0 or validation + test >= 1:
        raise DataError(
            f"{name}: validation is {validation} and test {test}; they are shares of the training "
            "images, from 0, and their sum is below 1"
        )
    if "train" not in set(listing.splits):
        raise DataError(
            f"{name}: no training split; found only {', '.join(sorted(set(listing.splits)))}"
        )


def _first(problems: list[Problem]) -> str:
    if not problems:
        return ""
    return f"First of {len(problems)} problems: {problems[0].where}: {problems[0].what}"
