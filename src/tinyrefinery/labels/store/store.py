"""The label store: refined labels of whole crop streams, on disk.

A store is a folder for one set of facts (`identity`): images, crops, refiner, BN plan and form. It
holds `manifest.json`, `rows.parquet` (the sample of each record), `probes.npz` (a few crops and
their labels, to check that other machines agree) and one file of records per stream. A stream is
the crops of one epoch. Its number is the epoch's, or the epoch's modulo the size of a crop pool.

The name of a stream's file contains the digest of its content, keyed by the store. So damaged files
and files from other stores are detected. Files are written to temporary names and renamed. So many
processes can write to one store, in any order, and be killed at any time.
"""

import json
import re
from collections.abc import Callable, Mapping
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from shutil import rmtree
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from filelock import FileLock
from torch import Tensor

from tinyrefinery.errors import DataError, LabelStoreError, StorageError
from tinyrefinery.files import atomic_file, write_atomic
from tinyrefinery.labels.store import identity
from tinyrefinery.labels.store.encodings import Form
from tinyrefinery.labels.store.identity import Facts
from tinyrefinery.reading.json_text import parse_json_object

_STREAM = re.compile(r"stream-(\d{5,})\.([0-9a-f]{32})\.labels")
_NAME_DIGITS = 16  # digits of the key in the folder's name


class LabelStore:
    """A folder of label streams for one set of facts."""

    def __init__(self, folder: Path) -> None:
        """Open the store in `folder`. Streams are verified when they are read.

        Raises:
            LabelStoreError: if it is not a store, or its manifest was modified.
        """
        self.folder = Path(folder)
        manifest = self._manifest()
        self.facts: Facts = manifest["facts"]
        self.key, self._probes = manifest["key"], manifest["probes"]
        self.made_with: dict[str, Any] = manifest["made_with"]
        labels, classes = self.facts["labels"], self.facts["classes"]
        self.form = Form(labels["form"], len(classes), labels["top"])

    @classmethod
    def folder_of(cls, root: Path, facts: Facts) -> Path:
        """Folder of the store for these facts under `root`."""
        return Path(root) / identity.key(facts)[:_NAME_DIGITS]

    @classmethod
    def create(
        cls,
        root: Path,
        facts: Facts,
        rows: np.ndarray,
        ids: np.ndarray,
        probes: Mapping[str, np.ndarray],
        made_with: Mapping[str, Any],
    ) -> "LabelStore":
        """Create an empty store for `facts` under `root`. If another process was first, open it.

        Args:
            root: folder of stores.
            facts: everything the labels depend on (`identity.facts_of`).
            rows: manifest rows in the order of the records, (N,).
            ids: ids of their samples, (N,) strings.
            probes: a few crops and their labels, small arrays.
            made_with: machine and versions, for information.

        Raises:
            StorageError: if it is not writable.
        """
        folder = cls.folder_of(root, facts)
        temporary = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}.part")
        try:
            with atomic_file(temporary / "probes.npz") as path, path.open("wb") as file:
                np.savez(file, **probes)  # type: ignore[arg-type]
            digest = blake2b((temporary / "probes.npz").read_bytes(), digest_size=16).hexdigest()
            table = pa.table({"row": pa.array(rows, pa.int64()), "id": pa.array(ids, pa.string())})
            with atomic_file(temporary / "rows.parquet") as path:
                pq.write_table(table, path)
            manifest = {"key": identity.key(facts), "facts": facts, "probes": digest}
            manifest |= {"made_with": dict(made_with)}
            write_atomic(temporary / "manifest.json", json.dumps(manifest, indent=1))
            temporary.rename(folder)
        except (OSError, StorageError) as error:
            # The rename also fails if another process has just created the store: then open that.
            if not (folder / "manifest.json").exists():
                cause = error.__cause__ or error
                raise StorageError(
                    f"{folder}: can't create it ({getattr(cause, 'strerror', None) or cause}). "
                    "Free some disk space, or choose another folder for labels.store."
                ) from error
        finally:
            rmtree(temporary, ignore_errors=True)
        return cls(folder)

    def _manifest(self) -> dict[str, Any]:
        path = self.folder / "manifest.json"
        try:
            manifest = parse_json_object(path.read_bytes(), path)
            key, facts = manifest["key"], manifest.get("facts", {})
            complete = {"facts", "probes", "made_with"} <= manifest.keys()
            version = facts.get("format")
            _ = manifest.get("made_with", {}).keys()
        except OSError as error:
            raise LabelStoreError(
                f"{self.folder}: not a label store ({path.name}: {error.strerror})"
            ) from error
        except (DataError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise LabelStoreError(f"{path}: not a readable manifest. {_DELETE_STORE}") from error
        # Check the format before the key: another format may compute keys differently.
        if complete and version != identity.FORMAT:
            raise LabelStoreError(
                f"{path}: has format {version}, but this version reads format {identity.FORMAT}. "
                f"{_DELETE_STORE}"
            )
        if not complete or identity.key(facts) != key:
            raise LabelStoreError(f"{path}: {_MODIFIED}")
        return manifest

    @cached_property
    def probes(self) -> dict[str, np.ndarray]:
        """Probe crops and their labels.

        Raises:
            LabelStoreError: if the file is damaged or missing.
        """
        path = self.folder / "probes.npz"
        try:
            if blake2b(path.read_bytes(), digest_size=16).hexdigest() != self._probes:
                raise LabelStoreError(f"{path}: {_MODIFIED}")
            with np.load(path) as arrays:
                return dict(arrays)
        except OSError as error:
            reason = error.strerror
            raise LabelStoreError(f"{path}: can't be read ({reason}). {_DELETE_STORE}") from error

    @cached_property
    def samples(self) -> pa.Table:
        """Manifest `row` and sample `id` of each record.

        Raises:
            LabelStoreError: if the file is damaged or missing.
        """
        path = self.folder / "rows.parquet"
        try:
            table = pq.read_table(path)
            rows, ids = (table.column(name).to_numpy() for name in ("row", "id"))
            digest = identity.rows_digest(rows, ids)
        except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise LabelStoreError(f"{path}: not readable ({reason}). {_DELETE_STORE}") from error
        if digest != self.facts["data"]["digest"]:
            raise LabelStoreError(f"{path}: {_MODIFIED}")
        return table

    def __len__(self) -> int:
        """Labels per stream."""
        return self.facts["data"]["rows"]

    @property
    def bytes_per_stream(self) -> int:
        """Size of a stream's file."""
        return len(self) * self.form.bytes

    def streams(self) -> dict[int, Path]:
        """The stored streams: number -> file."""
        # Two machines may have written different files for one stream: all readers take the last.
        return dict(sorted(self._files()))

    def _files(self) -> list[tuple[int, Path]]:
        """Number and path of all stream files, ordered by name."""
        paths = sorted(self.folder.glob("stream-*.labels"))
        return [(int(m[1]), path) for path in paths if (m := _STREAM.fullmatch(path.name))]

    def read(self, stream: int) -> Tensor | None:
        """Records of a stream, (N, bytes) uint8, memory-mapped; None if the stream is missing.

        Raises:
            LabelStoreError: if the file is damaged or not from this store.
        """
        path = self.streams().get(stream)
        return None if path is None else self._read(stream, path)

    def _read(self, stream: int, path: Path) -> Tensor:
        try:
            size = path.stat().st_size
            if size != self.bytes_per_stream:
                raise LabelStoreError(
                    f"{path}: has {size} bytes instead of {self.bytes_per_stream}. {_DELETE_STREAM}"
                )
            # A private mapping: changes of the tensor don't reach the file.
            records = torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8)
        except (OSError, RuntimeError) as error:  # torch raises RuntimeError if it can't open it
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise LabelStoreError(
                f"{path}: can't be read ({reason}). Make it readable. Or: {_DELETE_STREAM}"
            ) from error
        if self._digest(stream, records) != path.name.split(".")[1]:
            raise LabelStoreError(
                f"{path}: its content differs from what was written to this store. {_DELETE_STREAM}"
            )
        return records.view(len(self), self.form.bytes)  # (N * bytes,) -> (N, bytes)

    def write(self, stream: int, records: Tensor) -> None:
        """Store a stream, (N, bytes) uint8 in the order of `samples`.

        Raises:
            StorageError: if it is not writable.
        """
        if records.shape != (len(self), self.form.bytes) or records.dtype != torch.uint8:
            shape = (len(self), self.form.bytes)
            raise ValueError(f"records {records.dtype} {tuple(records.shape)}: expected {shape}")
        flat = records.contiguous().view(-1)
        name = f"stream-{stream:05d}.{self._digest(stream, flat)}.labels"
        write_atomic(self.folder / name, flat.numpy().tobytes())

    def get_or_create(self, stream: int, make: Callable[[], Tensor]) -> Tensor:
        """Read a stream, or compute it with `make` and store it, in one process at a time."""
        if (records := self.read(stream)) is not None:
            return records
        lock = FileLock(self.folder / f".stream-{stream:05d}.lock")
        try:
            lock.acquire()
        except OSError as error:
            raise StorageError(
                f"{self.folder}: can't add labels ({error.strerror or error}). Make the folder "
                "writable, or choose another one for labels.store."
            ) from error
        try:
            for leftover in self.folder.glob(f".stream-{stream:05d}.*.part"):
                leftover.unlink(missing_ok=True)  # from a process that was killed while writing
            # Another process may have written the stream while this one waited for the lock.
            if (records := self.read(stream)) is not None:
                return records
            self.write(stream, make())
        finally:
            lock.release()
        records = self.read(stream)
        assert records is not None
        return records

    def verify(self) -> list[str]:
        """Verify all files; returns one error message per damaged file."""
        errors = []
        checks: list[Callable[[], Any]] = [lambda: self.probes, lambda: self.samples]
        checks += [lambda file=file: self._read(*file) for file in self._files()]
        for check in checks:
            try:
                check()
            except LabelStoreError as error:
                errors.append(str(error))
        return errors

    def _digest(self, stream: int, records: Tensor) -> str:
        state = blake2b(digest_size=16, key=bytes.fromhex(self.key), person=b"%d" % stream)
        state.update(records.numpy().data)
        return state.hexdigest()


_DELETE_STORE = "To recompute the labels, delete the folder."
_DELETE_STREAM = "To recompute its labels, delete the file."
_MODIFIED = f"was modified after the store was created. {_DELETE_STORE}"
