"""Pictures without labels that join the training images of a dataset, for refined labels only."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from tinyrefinery.data.blobs import FileBlobs
from tinyrefinery.data.copies.together import MOST, with_copies_joined
from tinyrefinery.data.dataset import Dataset, Problem
from tinyrefinery.data.examine import examine
from tinyrefinery.data.images import EncodedImages
from tinyrefinery.data.manifest import NO_LABEL, UNLABELLED, Manifest
from tinyrefinery.data.overlay.additions import concatenate
from tinyrefinery.data.sources.found_pictures import image_files
from tinyrefinery.data.stamp import file_stamps
from tinyrefinery.errors import DataError

_HELD_OUT = ("validation", "test")
log = logging.getLogger("tinyrefinery")


def with_unlabelled(dataset: Dataset, root: Path, *, near_copies: bool = True) -> Dataset:
    """Add the pictures below a folder to a dataset, in the split `unlabelled`, without a class.

    They come after all other rows, so those keep their numbers. Left out, and listed as problems,
    are broken pictures and copies of images that the dataset has already. So no image of its
    validation or test split is trained on.

    Args:
        dataset: the images with labels.
        root: the folder. Names of folders in it mean nothing.
        near_copies: leave out near copies of validation and test images too, see
            `data.copies.together`.

    Raises:
        DataError: when there is no such folder, or no picture in it is left.
    """
    if not root.is_dir():
        raise DataError(f"data.unlabelled: {root}: there is no such folder")
    paths, passed_over = image_files(root)
    if not paths:
        raise DataError(f"data.unlabelled: {root}: has no pictures. {_first(passed_over)}".strip())
    ids, images, problems = _open(paths, dataset.images.channels, root)
    problems += passed_over
    keep, copies = _new(ids, paths, dataset.manifest)
    problems += copies
    whole = _joined(dataset, keep, ids, paths, images)
    if near_copies:
        whole, near = _without_near_copies(whole)
        problems += near
    count = len(whole.manifest.rows(UNLABELLED))
    if not count:
        first = problems[0]
        raise DataError(
            f"data.unlabelled: {root}: none of its {len(paths)} pictures can be used. The first: "
            f"{first.where}: {first.what}"
        )
    log.info(f"data.unlabelled: {count} of {len(paths)} pictures join training with refined labels")
    return replace(whole, problems=(*dataset.problems, *problems))


def _first(problems: list[Problem]) -> str:
    """The first of some problems, for a message; empty without any."""
    return f"{problems[0].where}: {problems[0].what}" if problems else ""


def _open(
    paths: list[str], channels: int, root: Path
) -> tuple[np.ndarray, EncodedImages, list[Problem]]:
    """Ids of all pictures, empty for broken ones, the pictures, and one problem per broken one."""
    blobs, home = FileBlobs(paths), f"unlabelled {root.resolve()}"
    findings, _ = examine(
        blobs, channels=channels, home=home, stamps=file_stamps(paths), resident_bytes=0
    )
    broken = [bool(reason) for reason in findings.reasons]
    problems = [
        Problem("broken_unlabelled", path, reason)
        for path, reason in zip(paths, findings.reasons, strict=True)
        if reason
    ]
    ids = np.where(broken, "", np.array(findings.ids, object))
    return ids, EncodedImages(blobs, findings.sizes, channels, np.arange(len(paths))), problems


def _new(ids: np.ndarray, paths: list[str], manifest: Manifest) -> tuple[np.ndarray, list[Problem]]:
    """Places of pictures that are neither broken nor copies, and one problem per copy."""
    known = {
        uid: f"an image of the {split} split"
        for uid, split in zip(manifest.column("id"), manifest.column("split"), strict=True)
    }
    kept, problems = [], []
    for place, (uid, path) in enumerate(zip(ids, paths, strict=True)):
        if uid and uid in known:
            what = f"has the same bytes as {known[uid]}; left out"
            problems.append(Problem("copy_unlabelled", path, what))
        elif uid:
            known[uid] = path
            kept.append(place)
    return np.array(kept, np.int64), problems


def _joined(
    dataset: Dataset, keep: np.ndarray, ids: np.ndarray, paths: list[str], images: EncodedImages
) -> Dataset:
    """The dataset with the kept pictures at its end."""
    manifest = dataset.manifest
    new = pa.table(
        {
            "id": pa.array(ids[keep].tolist(), pa.string()),
            "path": pa.array([paths[place] for place in keep], pa.string()),
            "label": pa.array([NO_LABEL] * len(keep), pa.int64()),
            "split": pa.array([UNLABELLED] * len(keep), pa.string()),
        }
    )
    table = pa.concat_tables([manifest.table, new], promote_options="default").combine_chunks()
    pixels = concatenate(dataset.images, images.select(keep)) if len(keep) else dataset.images
    # True crop labels are known for the data's own scenes only.
    joined = Manifest(table, manifest.classes)
    return replace(dataset, manifest=joined, images=pixels, truth=None)


def _without_near_copies(dataset: Dataset) -> tuple[Dataset, list[Problem]]:
    """The dataset without unlabelled near copies of held-out images, and a problem for each."""
    manifest, n = dataset.manifest, len(dataset.manifest)
    if n > MOST:
        what = f"near copies of held-out images are not looked for in more than {MOST:,} images"
        return dataset, [Problem("copy_unlabelled", "data.unlabelled", what)]
    groups, _ = with_copies_joined(np.array([f"{row:09d}" for row in range(n)], object), dataset)
    splits = manifest.column("split")
    held_out = {groups[row]: row for row in np.flatnonzero(np.isin(splits, _HELD_OUT))}
    drop = [row for row in manifest.rows(UNLABELLED) if groups[row] in held_out]
    paths = manifest.column("path")
    problems = [
        Problem(
            "copy_unlabelled",
            str(paths[row]),
            f"is a near copy of {paths[held_out[groups[row]]]} of the "
            f"{splits[held_out[groups[row]]]} split; left out",
        )
        for row in drop
    ]
    return (dataset.select(np.setdiff1d(np.arange(n), drop)) if drop else dataset), problems
