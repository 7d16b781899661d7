"""WebDataset tar shards: files of one sample share a name up to the first dot."""

import json
import os
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from glob import glob
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pyarrow as pa

from tinyrefinery.data.blobs import SliceBlobs
from tinyrefinery.data.class_names import number_labels
from tinyrefinery.data.dataset import Dataset, Problem
from tinyrefinery.data.listing import Listing, OpeningOptions, assemble
from tinyrefinery.data.sources.folder import ENDINGS
from tinyrefinery.data.splits import split_named
from tinyrefinery.errors import DataError

Shards = str | Path | Sequence[str | Path]
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


def open_webdataset(
    path: Shards | Mapping[str, Shards],
    *,
    classes: Sequence[str] | None = None,
    **options: Unpack[OpeningOptions],
) -> Dataset:
    """Open tar shards of images (`KEY.jpg`, ...) with labels (`KEY.cls`, or `label` in `KEY.json`).

    Images are read from the shards when they are needed, hence the shards must not be compressed.
    Scalars in `KEY.json` become columns of the manifest.

    Args:
        path: a shard, a pattern ("train-*.tar", "train-{000..009}.tar") or a list of these, for the
            training split; or a mapping from split names to such.
        classes: names of the classes 0, 1, ...; else see `number_labels`.
        **options: see `assemble`.

    Raises:
        DataError: when a shard is missing, truncated or compressed, or a label can't be read, and
            as `assemble`.
    """
    parts = path if isinstance(path, Mapping) else {"train": path}
    shards = [(file, split_named(word)) for word, s in parts.items() for file in _files(s)]
    samples = [
        (number, split, sample)
        for number, (file, split) in enumerate(shards)
        for sample in _samples(file)
    ]
    first = shards[0][0]
    if not samples:
        raise DataError(f"{first}: the shards hold no image ({len(shards)} looked through)")
    files = [file for file, _ in shards]
    stamps = [_stamp(file) for file in files]
    spans = np.array([(n, s["offset"], s["size"]) for n, _, s in samples], np.int64)
    labels, names = number_labels(
        _label_column([s["label"] for _, _, s in samples], str(first)),
        None if classes is None else list(classes),
        f"{first}, labels",
    )
    listing = Listing(
        str(first),
        names,
        labels,
        [split for _, split, _ in samples],
        [f"{files[n]}, {s['name']}" for n, _, s in samples],
        SliceBlobs(files, spans),
        extras=pa.Table.from_pylist([s["extras"] for _, _, s in samples]),
        stamps=[f"{stamps[n]}\x1f{s['offset']}" for n, _, s in samples],
        problems=tuple(
            Problem("ignored_files", f"{files[n]}, {s['name']}", "second image of one sample")
            for n, _, s in samples
            if s["again"]
        ),
    )
    return assemble(listing, **options)


def _files(given: Shards) -> list[str]:
    found: list[str] = []
    for each in [given] if isinstance(given, str | Path) else given:
        text = os.path.expanduser(str(each))
        names = list(_expanded(text))
        matches = [m for n in names for m in ([n] if os.path.exists(n) else sorted(glob(n)))]
        if not matches:
            raise DataError(f"{each}: no such shard, or pattern that matches one")
        found += matches
    if not found:
        raise DataError("no shard was named")
    return found


def _expanded(text: str) -> Iterator[str]:
    """Names that a {first..last} range stands for, zero-padded as its first number."""
    match = _RANGE.search(text)
    if match is None:
        yield text
        return
    first, last = match.groups()
    for number in range(int(first), int(last) + 1):
        yield from _expanded(text.replace(match.group(), f"{number:0{len(first)}}", 1))


def _stamp(file: str) -> str:
    status = os.stat(file)
    return f"{os.path.abspath(file)}\x1f{status.st_size}\x1f{status.st_mtime_ns}"


def _samples(file: str) -> list[dict[str, Any]]:
    """Samples with an image: name, offset, size, label (None without one), extras, again."""
    samples: dict[str, dict[str, Any]] = {}
    try:
        with tarfile.open(file, "r:") as tar:
            for member in tar:
                if member.isfile():
                    _note(samples, tar, member, file)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(
            f"{file}: truncated, compressed, or no tar file ({error}); shards must be plain .tar"
        ) from error
    return [sample for sample in samples.values() if "offset" in sample]


def _note(
    samples: dict[str, dict[str, Any]], tar: tarfile.TarFile, member: tarfile.TarInfo, file: str
) -> None:
    folder, _, base = member.name.rpartition("/")
    key, _, kind = base.partition(".")
    if base.startswith("."):
        return
    empty = {"label": None, "extras": {}, "again": False}
    sample = samples.setdefault(f"{folder}/{key}", empty)
    kind = kind.lower()
    if "." + kind.rpartition(".")[2] in ENDINGS:
        if "offset" in sample:
            sample["again"] = True
        else:
            sample.update(name=member.name, offset=member.offset_data, size=member.size)
    elif kind in ("cls", "json"):
        content = tar.extractfile(member)
        _read_label(sample, kind, content.read() if content else b"", f"{file}, {member.name}")


def _read_label(sample: dict[str, Any], kind: str, content: bytes, where: str) -> None:
    try:
        if kind == "cls":
            text = content.decode().strip()
            sample["label"] = int(text) if text.lstrip("-").isdigit() else text or None
        else:
            fields = json.loads(content)
            label = fields.pop("label", None)
            sample["label"] = label if sample["label"] is None else sample["label"]
            scalar = {k: v for k, v in fields.items() if isinstance(v, str | int | float)}
            sample["extras"] = scalar
    except (ValueError, AttributeError) as error:
        raise DataError(f"{where}: can't be read ({error})") from error


def _label_column(labels: list[Any], where: str) -> pa.ChunkedArray:
    try:
        return pa.chunked_array([pa.array(labels)])
    except pa.ArrowException as error:
        raise DataError(f"{where}: some labels are numbers and some are texts") from error
