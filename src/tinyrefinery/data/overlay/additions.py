"""New images that an overlay adds to the training images of a dataset.

A line with the verdict `add` has an image file, the SHA-256 of its bytes and a label. These images
are for training only. Validation and test images are chosen by people and don't change.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from tinyrefinery.data.blobs import Blobs, FileBlobs
from tinyrefinery.data.dataset import Dataset, Problem
from tinyrefinery.data.examine import examine
from tinyrefinery.data.images import RESIDENT_BYTES, EncodedImages, Images, ResidentImages
from tinyrefinery.data.manifest import Manifest
from tinyrefinery.data.overlay.decisions import Decision, newest_additions
from tinyrefinery.data.stamp import file_stamps
from tinyrefinery.errors import DataError, did_you_mean

_SHOWN = 3


def with_additions(dataset: Dataset, path: Path, decisions: Iterable[Decision]) -> Dataset:
    """Add the images of an overlay to a dataset's training split.

    Images that the data already has, in any split, are not added. Images whose file is missing,
    changed or broken are left out and listed as problems.

    Args:
        dataset: from its source.
        path: of the overlay; relative paths in it start from its folder.
        decisions: all lines of the overlay.

    Raises:
        DataError: if a line has a class that the data lacks, or all files are missing or broken.
    """
    added = newest_additions(decisions)
    ids = set(dataset.manifest.column("id"))
    new = {uid: decision for uid, decision in added.items() if uid not in ids}
    if not new:
        return dataset
    for decision in new.values():
        check_class(str(decision.label), decision, dataset.classes, path)
    files = {
        uid: os.path.normpath(path.parent / str(decision.file_name))
        for uid, decision in new.items()
    }
    home = f"additions {path.resolve()}"
    intact, images, problems = _open_images(files, dataset.images.channels, home)
    if not intact:
        reasons = "; ".join(f"{problem.where}: {problem.what}" for problem in problems[:_SHOWN])
        raise DataError(f"{path}: none of the {len(new)} images to add is readable: {reasons}")
    manifest = _append_rows(dataset.manifest, [new[uid] for uid in intact], files)
    duplicates = len(added) - len(new)
    what = f"{len(intact)} new training images"
    what += f"; {duplicates} are already in the data" if duplicates else ""
    problems = (*dataset.problems, Problem("additions", str(path), what), *problems)
    pixels = concatenate(dataset.images, images)
    # True crop labels are known for the data's own scenes only.
    return replace(dataset, manifest=manifest, images=pixels, truth=None, problems=problems)


def check_class(label: str, decision: Decision, classes: tuple[str, ...], path: Path) -> int:
    """Number of the class of a decision.

    Raises:
        DataError: if the data has no such class; names the line.
    """
    if label not in classes:
        raise DataError(
            f"{path}, line {decision.line}: no class '{label}'.{did_you_mean(label, classes)} "
            f"The classes are {', '.join(classes[:20])}"
        )
    return classes.index(label)


def _open_images(
    files: Mapping[str, str], channels: int, home: str
) -> tuple[list[str], EncodedImages, list[Problem]]:
    """Ids of the intact images, these images, and one problem for each of the others."""
    uids, blobs = list(files), FileBlobs(list(files.values()))
    stamps = file_stamps(files.values())
    findings, _ = examine(blobs, channels=channels, home=home, stamps=stamps, resident_bytes=0)
    problems, rows = [], []
    for row, uid in enumerate(uids):
        if findings.reasons[row]:
            problems.append(Problem("missing_addition", files[uid], findings.reasons[row]))
        elif findings.ids[row] != uid:
            what = "was changed after it was added; add it again, or undo the line"
            problems.append(Problem("missing_addition", files[uid], what))
        else:
            rows.append(row)
    intact = np.array(rows, np.int64)
    images = EncodedImages(blobs, findings.sizes[intact], channels, intact)
    return [uids[row] for row in rows], images, problems


def _append_rows(manifest: Manifest, new: list[Decision], files: Mapping[str, str]) -> Manifest:
    """The manifest with new rows at its end; columns that they lack are null."""
    texts = {
        "id": [decision.uid for decision in new],
        "path": [files[decision.uid] for decision in new],
        "split": ["train"] * len(new),
        "label_source": [decision.by for decision in new],
    }
    columns = {name: pa.array(values, pa.string()) for name, values in texts.items()}
    labels = [manifest.classes.index(str(decision.label)) for decision in new]
    columns["label"] = pa.array(labels, pa.int64())
    table = manifest.table
    if "label_source" not in table.column_names:
        table = table.append_column("label_source", pa.nulls(len(manifest), pa.string()))
    index = table.schema.get_field_index("label_source")
    if not pa.types.is_string(table.schema.field(index).type):
        table = table.set_column(index, "label_source", table.column(index).cast(pa.string()))
    table = pa.concat_tables([table, pa.table(columns)], promote_options="default")
    return Manifest(table.combine_chunks(), manifest.classes)


def concatenate(first: Images, second: EncodedImages) -> Images:
    """Concatenate images."""
    if isinstance(first, EncodedImages):
        blobs = ConcatenatedBlobs(first.blobs, second.blobs)
        rows = np.concatenate([first.rows, second.rows + len(first.blobs)])
        sizes = np.concatenate([first.sizes, second.sizes])
        fits = sizes.astype(np.int64).prod(axis=1).sum() * first.channels <= RESIDENT_BYTES
        # Decoded images are kept by their place among the files, which is the same here.
        return EncodedImages(blobs, sizes, first.channels, rows, first.kept if fits else None)
    if isinstance(first, ResidentImages) and (second.sizes == first.array.shape[2:]).all():
        pixels = np.stack([second.pixels(row) for row in range(len(second))])
        import torch

        new = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()).to(first.array.device)
        return ResidentImages(torch.cat([first.array, new]))
    return ConcatenatedImages(first, second)


class ConcatenatedBlobs:
    """Two sequences of image files, concatenated."""

    def __init__(self, first: Blobs, second: Blobs) -> None:
        self.first, self.second = first, second

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def __getitem__(self, row: int) -> bytes:
        """The bytes of one image file."""
        second_row = row - len(self.first)
        return self.first[row] if second_row < 0 else self.second[second_row]


class ConcatenatedImages:
    """Two sequences of images of different kinds, e.g. resident and encoded ones, concatenated."""

    def __init__(self, first: Images, second: Images) -> None:
        self.first, self.second = first, second
        self.channels = first.channels
        self.sizes = np.concatenate([first.sizes, second.sizes])

    def __len__(self) -> int:
        return len(self.sizes)

    def pixels(self, row: int) -> np.ndarray:
        """One image as uint8 (H, W, C)."""
        second_row = row - len(self.first)
        return self.first.pixels(row) if second_row < 0 else self.second.pixels(second_row)

    def select(self, rows: np.ndarray) -> Images:
        """The images of some rows, in that order."""
        rows = np.asarray(rows, np.int64)
        if rows.max(initial=-1) < len(self.first):
            return self.first.select(rows)
        return SelectedImages(self, rows)


class SelectedImages:
    """Some rows of other images."""

    def __init__(self, whole: Images, rows: np.ndarray) -> None:
        self.whole, self.rows = whole, rows
        self.channels, self.sizes = whole.channels, whole.sizes[rows]

    def __len__(self) -> int:
        return len(self.rows)

    def pixels(self, row: int) -> np.ndarray:
        """One image as uint8 (H, W, C)."""
        return self.whole.pixels(int(self.rows[row]))

    def select(self, rows: np.ndarray) -> Images:
        """The images of some rows, in that order."""
        return SelectedImages(self.whole, self.rows[np.asarray(rows, np.int64)])
