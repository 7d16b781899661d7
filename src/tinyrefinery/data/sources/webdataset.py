"""WebDataset tar shards, where files of a sample have the same name up to the first dot."""

import os
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from glob import glob
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from tinyrefinery.data.blobs import SliceBlobs
from tinyrefinery.data.class_names import number_labels
from tinyrefinery.data.dataset import Dataset, Problem
from tinyrefinery.data.listing import Listing, assemble
from tinyrefinery.data.sources.found_pictures import ENDINGS
from tinyrefinery.data.splits import holds_splits, split_named, splits_of_files
from tinyrefinery.data.stamp import file_stamps
from tinyrefinery.errors import DataError
from tinyrefinery.options.sources import WebDataset
from tinyrefinery.reading.json_text import parse_json_object
from tinyrefinery.reading.limits import MOST_TEXT, too_many_bytes

_MOST_SHARDS = 100_000
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


def open_webdataset(part: WebDataset) -> Dataset:
    """Open tar shards of images (`KEY.jpg`, ...) with labels (`KEY.cls`, or `label` in `KEY.json`).

    Images are read from the shards on demand, so shards must not be compressed. Scalars in
    `KEY.json` become columns of the manifest. For classes without names see `number_labels`.

    Without a mapping from splits to shards, the shards of a pattern are those of the splits that
    their names begin with, and a field `split` that has validation or test names the split of each
    sample.

    Raises:
        DataError: if a shard is missing, truncated or compressed, or a label can't be read, and as
            `assemble`.
    """
    shards = _shards(part.path)
    samples: list[tuple[int, str, dict[str, Any]]] = []
    without: list[Problem] = []
    for number, (file, split) in enumerate(shards):
        found, problems = _samples(file)
        samples += [(number, split, sample) for sample in found]
        without += problems
    first = shards[0][0]
    if not samples:
        others = f": {without[0].what}" if without else ""
        raise DataError(f"{first}: no images in {len(shards)} shards{others}")
    if not isinstance(part.path, Mapping) and {split for _, split, _ in samples} == {"train"}:
        samples = _with_split_fields(samples, str(first))
    files = [file for file, _ in shards]
    stamps = file_stamps(files)
    spans = np.array([(n, s["offset"], s["size"]) for n, _, s in samples], np.int64)
    labels, names = number_labels(
        _label_column([s["label"] for _, _, s in samples], str(first)),
        None if part.classes is None else list(part.classes),
        f"{first}, labels",
    )
    listing = Listing(
        str(first),
        names,
        labels,
        [split for _, split, _ in samples],
        [f"{files[n]}, {s['name']}" for n, _, s in samples],
        SliceBlobs(files, spans),
        extras=_extras_table([s["extras"] for _, _, s in samples], str(first)),
        stamps=[f"{stamps[n]}\x1f{s['offset']}" for n, _, s in samples],
        problems=(*_second_images(samples, files), *without),
    )
    return assemble(listing, part)


def _second_images(
    samples: Sequence[tuple[int, str, dict[str, Any]]], files: Sequence[str]
) -> list[Problem]:
    what = "second image of one sample"
    return [
        Problem("ignored_files", f"{files[n]}, {s['name']}", what)
        for n, _, s in samples
        if s["has_second_image"]
    ]


def _with_split_fields(
    samples: list[tuple[int, str, dict[str, Any]]], where: str
) -> list[tuple[int, str, dict[str, Any]]]:
    """The samples with the splits of their fields `split`, where those name several."""
    words = [sample["extras"].get("split") for _, _, sample in samples]
    if not holds_splits(words):
        return samples
    named = [split_named(str(word), f"{where}, field 'split'") for word in words]
    return [(n, split, sample) for (n, _, sample), split in zip(samples, named, strict=True)]


def _shards(path: str | Sequence[str] | Mapping[str, str]) -> list[tuple[str, str]]:
    """All shards, each with its split: that of the mapping, or of their names."""
    if isinstance(path, Mapping):
        return [(file, split) for split, files in path.items() for file in _files(files)]
    files = _files(path)
    splits = splits_of_files(files, path) if isinstance(path, str) else ["train"] * len(files)
    return list(zip(files, splits, strict=True))


def _files(shards: str | Sequence[str]) -> list[str]:
    """The files for a shard, pattern, or list of these."""
    files: list[str] = []
    for item in [shards] if isinstance(shards, str) else shards:
        names = list(islice(_expand_range(os.path.expanduser(item)), _MOST_SHARDS + 1))
        if len(names) > _MOST_SHARDS:
            raise DataError(
                f"{item}: stands for more than {_MOST_SHARDS:,} shards. Give a smaller range"
            )
        matches = [m for n in names for m in ([n] if os.path.exists(n) else sorted(glob(n)))]
        if not matches:
            raise DataError(f"{item}: no such shard, and no file matches this pattern")
        files += matches
    return files


def _expand_range(text: str) -> Iterator[str]:
    """All names of a {first..last} range, zero-padded like its first number."""
    match = _RANGE.search(text)
    if match is None:
        yield text
        return
    first, last = match.groups()
    for number in range(int(first), int(last) + 1):
        yield from _expand_range(text.replace(match.group(), f"{number:0{len(first)}}", 1))


def _samples(file: str) -> tuple[list[dict[str, Any]], list[Problem]]:
    """Samples with an image, and a problem that counts those without one.

    A sample has name, offset, size, label or None, extras and has_second_image.
    """
    samples: dict[str, dict[str, Any]] = {}
    try:
        end = 0
        with tarfile.open(file, "r:") as tar:
            for member in tar:
                end = tar.offset  # behind the member's content, which may be sparse
                if member.isfile():
                    _add_member(samples, tar, member, file)
        _check_end(file, end)
    except (tarfile.TarError, OSError, EOFError, ValueError, OverflowError) as error:
        raise DataError(
            f"{file}: truncated, compressed, or not a tar file ({error}). Shards must be "
            "uncompressed .tar files."
        ) from error
    found = [sample for sample in samples.values() if "offset" in sample]
    for sample in found:
        _check_dots(sample, file)
    others = [sample["other"] for sample in samples.values() if "offset" not in sample]
    if not others:
        return found, []
    what = f"{len(others)} of its samples have no image that can be read, e.g. {others[0]}"
    return found, [Problem("ignored_files", file, what)]


def _check_dots(sample: dict[str, Any], file: str) -> None:
    """Refuse an image without a label where a file that looks like its label has dots in its name.

    Raises:
        DataError: names the file, and how to name it.
    """
    _, _, base = sample["name"].rpartition("/")
    stem, label = base.rpartition(".")[0], sample.get("dotted")
    if sample["label"] is None and label and "." in stem:
        raise DataError(
            f"{file}: {label} belongs to no image. In WebDataset a sample's name ends at the first "
            f"dot, so all files of '{base.partition('.')[0]}' are one sample. Name the files "
            f"without further dots, e.g. {stem.replace('.', '_')}.cls"
        )


def _add_member(
    samples: dict[str, dict[str, Any]], tar: tarfile.TarFile, member: tarfile.TarInfo, file: str
) -> None:
    """Add a file of a shard to its sample: an image's position, or a label's content."""
    folder, _, base = member.name.rpartition("/")
    key, _, kind = base.partition(".")
    if base.startswith("."):
        return
    empty = {"label": None, "extras": {}, "has_second_image": False}
    sample = samples.setdefault(f"{folder}/{key}", empty)
    sample.setdefault("other", member.name)
    kind = kind.lower()
    if "." + kind.rpartition(".")[2] in ENDINGS:
        if "offset" in sample:
            sample["has_second_image"] = True
        else:
            sample.update(name=member.name, offset=member.offset_data, size=member.size)
    elif kind.endswith((".cls", ".json")):
        sample.setdefault("dotted", member.name)
    elif kind in ("cls", "json"):
        if reason := too_many_bytes(member.size, MOST_TEXT):
            raise DataError(f"{file}, {member.name}: {reason}")
        content = tar.extractfile(member)
        _read_label(sample, kind, content.read() if content else b"", f"{file}, {member.name}")


def _read_label(sample: dict[str, Any], kind: str, content: bytes, where: str) -> None:
    try:
        if kind == "cls":
            text = content.decode("utf-8-sig").strip()
            sample["label"] = int(text) if text.lstrip("-").isdigit() else text or None
        else:
            fields = parse_json_object(content, where)
            label = fields.pop("label", None)
            sample["label"] = label if sample["label"] is None else sample["label"]
            scalars = {k: v for k, v in fields.items() if isinstance(v, str | int | float)}
            sample["extras"] = scalars
    except (ValueError, AttributeError) as error:
        raise DataError(f"{where}: can't be read ({error})") from error


def _label_column(labels: list[Any], where: str) -> pa.ChunkedArray:
    try:
        return pa.chunked_array([pa.array(labels)])
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise DataError(f"{where}: labels must be all numbers or all texts") from error


def _extras_table(extras: Sequence[Mapping[str, Any]], where: str) -> pa.Table:
    """All fields of all samples; null where a sample lacks one.

    Raises:
        DataError: if a field has values of several kinds.
    """
    columns = {}
    for name in dict.fromkeys(name for fields in extras for name in fields):
        values = [fields.get(name) for fields in extras]
        try:
            columns[name] = pa.array(values)
        except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
            kinds = sorted({type(value).__name__ for value in values if value is not None})
            raise DataError(
                f"{where}: the field '{name}' in the samples' JSON is {' and '.join(kinds)}. Write "
                "it as one kind everywhere"
            ) from error
    return pa.table(columns)


def _check_end(file: str, end: int) -> None:
    """Check that a tar file is whole, and that nothing follows its end mark.

    Python's reader also accepts a file that was cut off between two members.

    Args:
        file: the shard.
        end: offset behind the last member in bytes.

    Raises:
        DataError: if it is not.
    """
    with open(file, "rb") as tar:
        tar.seek(end)
        mark = tar.read(tarfile.BLOCKSIZE)
        if len(mark) < tarfile.BLOCKSIZE or any(mark):
            raise DataError(f"{file}: truncated: the tar file has no end mark. Copy it again")
        while chunk := tar.read(1 << 20):
            if any(chunk):
                raise DataError(
                    f"{file}: has content after its end mark, as if several tar files were joined. "
                    "Give them as shards of their own"
                )
