"""New images that an overlay adds to the training images of a data set, by path and digest.

A line with the verdict `add` names an image file, the SHA-256 of its bytes and a label. They only
ever train: what measures is chosen by people, and stays what it was.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from tinyrefinery.data.blobs import Blobs, FileBlobs
from tinyrefinery.data.dataset import Dataset, Problem
from tinyrefinery.data.examine import examine
from tinyrefinery.data.images import EncodedImages, Images, ResidentImages
from tinyrefinery.data.manifest import Manifest
from tinyrefinery.data.overlay.decisions import Decision, additions
from tinyrefinery.errors import DataError
from tinyrefinery.names import nearest

_SHOWN = 3


def with_additions(dataset: Dataset, path: Path, decisions: Iterable[Decision]) -> Dataset:
    """A data set with the images that an overlay adds, all of them in training.

    An image that the data has already, in any split, isn't added. One whose file is gone, changed
    or broken is left out, and told among the problems.

    Args:
        dataset: as its source has it.
        path: of the overlay; relative paths in it start from its folder.
        decisions: all of its lines.

    Raises:
        DataError: when a line names a class that the data lacks, or none of the files is there.
    """
    named = additions(decisions)
    there = set(dataset.manifest.column("id"))
    new = {uid: each for uid, each in named.items() if uid not in there}
    if not new:
        return dataset
    for each in new.values():
        check_class(str(each.label), each, dataset.classes, path)
    places = {uid: str(_place(each, path)) for uid, each in new.items()}
    home = f"additions {path.resolve()}"
    whole, images, problems = _opened(places, dataset.images.channels, home)
    if not whole:
        told = "; ".join(f"{each.where}: {each.what}" for each in problems[:_SHOWN])
        raise DataError(f"{path}: none of the {len(new)} images that it adds can be had: {told}")
    manifest = _joined_rows(dataset.manifest, [new[uid] for uid in whole], places)
    known = f"; {len(named) - len(new)} are in the data already" if len(named) > len(new) else ""
    what = f"{len(whole)} new images join training{known}"
    problems = (*dataset.problems, Problem("additions", str(path), what), *problems)
    pixels = joined(dataset.images, images)
    # The truth of crops is known of the data's own scenes only.
    return replace(dataset, manifest=manifest, images=pixels, truth=None, problems=problems)


def check_class(label: str, each: Decision, classes: tuple[str, ...], path: Path) -> int:
    """The number of a class that a decision names.

    Raises:
        DataError: when the data has no such class; it names the line.
    """
    if label not in classes:
        raise DataError(
            f"{path}, line {each.line}: no class '{label}'.{nearest(label, classes)} "
            f"The classes are {', '.join(classes[:20])}"
        )
    return classes.index(label)


def _place(each: Decision, overlay: Path) -> Path:
    return Path(os.path.normpath(overlay.parent / str(each.file_name)))


def _opened(
    places: Mapping[str, str], channels: int, home: str
) -> tuple[list[str], EncodedImages, list[Problem]]:
    """Ids of the sound images, these, and what is wrong with the others."""
    uids, blobs = list(places), FileBlobs(list(places.values()))
    stamps = [_stamp(path) for path in places.values()]
    findings, _ = examine(blobs, channels=channels, home=home, stamps=stamps, resident_bytes=0)
    problems, rows = [], []
    for row, uid in enumerate(uids):
        if findings.reasons[row]:
            problems.append(Problem("missing_addition", places[uid], findings.reasons[row]))
        elif findings.ids[row] != uid:
            what = "is another image than the one that was added; add it anew, or undo the line"
            problems.append(Problem("missing_addition", places[uid], what))
        else:
            rows.append(row)
    chosen = np.array(rows, np.int64)
    images = EncodedImages(blobs, findings.sizes[chosen], channels, chosen)
    return [uids[row] for row in rows], images, problems


def _stamp(path: str) -> str:
    """A text that changes with the file's bytes."""
    try:
        status = os.stat(path)
    except OSError:
        return f"{path} is gone"
    return f"{path} {status.st_size} {status.st_mtime_ns}"


def _joined_rows(manifest: Manifest, new: list[Decision], places: Mapping[str, str]) -> Manifest:
    """The manifest with rows at its end; columns that the new ones lack are null there."""
    texts = {
        "id": [each.uid for each in new],
        "path": [places[each.uid] for each in new],
        "split": ["train"] * len(new),
        "label_source": [each.by for each in new],
    }
    columns = {name: pa.array(values, pa.string()) for name, values in texts.items()}
    labels = [manifest.classes.index(str(each.label)) for each in new]
    columns["label"] = pa.array(labels, pa.int64())
    own = manifest.table
    if "label_source" not in own.column_names:
        own = own.append_column("label_source", pa.nulls(len(manifest), pa.string()))
    at = own.schema.get_field_index("label_source")
    if not pa.types.is_string(own.schema.field(at).type):
        own = own.set_column(at, "label_source", own.column(at).cast(pa.string()))
    table = pa.concat_tables([own, pa.table(columns)], promote_options="default")
    return Manifest(table.combine_chunks(), manifest.classes)


def joined(first: Images, second: EncodedImages) -> Images:
    """Images of two places as one, the first's before the second's."""
    if isinstance(first, EncodedImages):
        blobs = JoinedBlobs(first.blobs, second.blobs)
        rows = np.concatenate([first.rows, second.rows + len(first.blobs)])
        sizes = np.concatenate([first.sizes, second.sizes])
        return EncodedImages(blobs, sizes, first.channels, rows)
    if isinstance(first, ResidentImages) and (second.sizes == first.array.shape[2:]).all():
        pixels = np.stack([second.pixels(row) for row in range(len(second))])
        new = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()).to(first.array.device)
        return ResidentImages(torch.cat([first.array, new]))
    return JoinedImages(first, second)


class JoinedBlobs:
    """Image files of two places."""

    def __init__(self, first: Blobs, second: Blobs) -> None:
        self.first, self.second = first, second

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def __getitem__(self, row: int) -> bytes:
        """The bytes of one image file."""
        past = row - len(self.first)
        return self.first[row] if past < 0 else self.second[past]


class JoinedImages:
    """Images of two kinds, e.g. resident ones of one size and new ones of others."""

    def __init__(self, first: Images, second: Images) -> None:
        self.first, self.second = first, second
        self.channels = first.channels
        self.sizes = np.concatenate([first.sizes, second.sizes])

    def __len__(self) -> int:
        return len(self.sizes)

    def pixels(self, row: int) -> np.ndarray:
        """One image as uint8 (H, W, C)."""
        past = row - len(self.first)
        return self.first.pixels(row) if past < 0 else self.second.pixels(past)

    def select(self, rows: np.ndarray) -> Images:
        """The images of some rows, in that order."""
        return SelectedImages(self, np.asarray(rows, np.int64))


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
