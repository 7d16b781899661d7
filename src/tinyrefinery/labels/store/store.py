"""The label store: refined labels of whole crop streams, on disk.

A store is a folder that serves one set of facts (`identity`): images, crops, refiner, BN plan and
form. It holds `manifest.json`, `rows.parquet` (which sample each record belongs to), `probes.npz`
(a few crops and their labels, to see whether they come out alike here) and a file of records a
stream. A stream is what one epoch draws: its number is the epoch's, or goes around in a pool.

A stream's file is named by the digest of its content, keyed by the store: a changed byte, and a
file from another store, don't go with their name. Files are written aside and renamed, so many
processes may write into one store, in any order, and be killed at any moment.
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

from tinyrefinery.errors import LabelStoreError, StorageError
from tinyrefinery.files import write_atomic, writing
from tinyrefinery.labels.store import identity
from tinyrefinery.labels.store.encodings import Form
from tinyrefinery.labels.store.identity import Facts

_STREAM = re.compile(r"stream-(\d{5,})\.([0-9a-f]{32})\.labels")
_NAME_DIGITS = 16  # of the key, in the folder's name


class LabelStore:
    """A folder of label streams for one set of facts."""

    def __init__(self, folder: Path) -> None:
        """Open the store in `folder`; streams are checked as they are read.

        Raises:
            LabelStoreError: when it is no store, or its manifest was changed.
        """
        self.folder = Path(folder)
        manifest = self._manifest()
        self.facts: Facts = manifest["facts"]
        self.key, self._probes = manifest["key"], manifest["probes"]
        self.made_with: dict[str, Any] = manifest["made_with"]
        labels, classes = self.facts["labels"], self.facts["classes"]
        self.form = Form(labels["form"], len(classes), labels["top"])

    @classmethod
    def place(cls, root: Path, facts: Facts) -> Path:
        """Where under `root` the store of these facts is."""
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
        """Make the empty store of `facts` under `root`, or open it where somebody just did.

        Args:
            root: folder of stores.
            facts: what the labels depend on (`identity.facts_of`).
            rows: manifest rows in the order of the records, (N,).
            ids: their samples' ids, (N,) strings.
            probes: crops and labels by which to recognize the pixels, small arrays.
            made_with: machine and versions, for people.

        Raises:
            StorageError: when it can't be written.
        """
        folder = cls.place(root, facts)
        aside = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}.part")
        try:
            with writing(aside / "probes.npz") as path, path.open("wb") as file:
                np.savez(file, **probes)  # type: ignore[arg-type]
            digest = blake2b((aside / "probes.npz").read_bytes(), digest_size=16).hexdigest()
            table = pa.table({"row": pa.array(rows, pa.int64()), "id": pa.array(ids, pa.string())})
            with writing(aside / "rows.parquet") as path:
                pq.write_table(table, path)
            whole = {"key": identity.key(facts), "facts": facts, "probes": digest}
            whole |= {"made_with": dict(made_with)}
            write_atomic(aside / "manifest.json", json.dumps(whole, indent=1))
            aside.rename(folder)
        except (OSError, StorageError) as error:
            if not (folder / "manifest.json").exists():  # or another process was first
                cause = error.__cause__ or error
                raise StorageError(
                    f"{folder}: can't be made ({getattr(cause, 'strerror', None) or cause}); free "
                    "some space, or choose another folder for labels.store"
                ) from error
        finally:
            rmtree(aside, ignore_errors=True)
        return cls(folder)

    def _manifest(self) -> dict[str, Any]:
        path = self.folder / "manifest.json"
        try:
            manifest = json.loads(path.read_text())
            key, facts = manifest["key"], manifest.get("facts", {})
            whole = {"facts", "probes", "made_with"} <= manifest.keys()
            version = facts.get("format")
            _ = manifest.get("made_with", {}).keys()
        except OSError as error:
            raise LabelStoreError(
                f"{self.folder}: no label store ({path.name}: {error.strerror})"
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LabelStoreError(f"{path}: not a readable manifest; {_REMAKE}") from error
        if whole and version != identity.FORMAT:
            raise LabelStoreError(
                f"{path}: of format {version}, which this version can't read (it reads "
                f"{identity.FORMAT}); {_REMAKE}"
            )
        if not whole or identity.key(facts) != key:
            raise LabelStoreError(f"{path}: was changed since the store was made; {_REMAKE}")
        return manifest

    @cached_property
    def probes(self) -> dict[str, np.ndarray]:
        """Crops and labels by which to recognize the pixels.

        Raises:
            LabelStoreError: when the file is damaged or missing.
        """
        path = self.folder / "probes.npz"
        try:
            if blake2b(path.read_bytes(), digest_size=16).hexdigest() != self._probes:
                raise LabelStoreError(f"{path}: was changed since the store was made; {_REMAKE}")
            with np.load(path) as arrays:
                return dict(arrays)
        except OSError as error:
            raise LabelStoreError(f"{path}: can't be read ({error.strerror}); {_REMAKE}") from error

    @cached_property
    def samples(self) -> pa.Table:
        """Manifest `row` and sample `id` of each record.

        Raises:
            LabelStoreError: when the file is damaged or missing.
        """
        path = self.folder / "rows.parquet"
        try:
            table = pq.read_table(path)
            rows, ids = (table.column(name).to_numpy() for name in ("row", "id"))
            digest = identity.rows_digest(rows, ids)
        # Arrow raises its own error for ids that are no text any more, and others by what is off.
        except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
            what = " ".join(str(error).split())
            raise LabelStoreError(f"{path}: not readable ({what}); {_REMAKE}") from error
        if digest != self.facts["data"]["digest"]:
            raise LabelStoreError(f"{path}: was changed since the store was made; {_REMAKE}")
        return table

    def __len__(self) -> int:
        """Labels of one stream."""
        return self.facts["data"]["rows"]

    @property
    def bytes_a_stream(self) -> int:
        """Size of a stream's file."""
        return len(self) * self.form.bytes

    def streams(self) -> dict[int, Path]:
        """The streams that are there, by number."""
        # Where two machines have made a stream, the last by name counts for all.
        return dict(sorted(self._files()))

    def _files(self) -> list[tuple[int, Path]]:
        """Number and file of every stream, by name."""
        paths = sorted(self.folder.glob("stream-*.labels"))
        return [(int(m[1]), path) for path in paths if (m := _STREAM.fullmatch(path.name))]

    def read(self, stream: int) -> Tensor | None:
        """Records of a stream, uint8 (N, bytes), mapped from its file; None where it isn't there.

        Raises:
            LabelStoreError: when the file is not what was written into this store.
        """
        path = self.streams().get(stream)
        return None if path is None else self._read(stream, path)

    def _read(self, stream: int, path: Path) -> Tensor:
        try:
            size = path.stat().st_size
            if size != self.bytes_a_stream:
                raise LabelStoreError(
                    f"{path}: has {size} bytes instead of {self.bytes_a_stream}; {_AGAIN}"
                )
            # Mapped privately: nothing that happens to the tensor reaches the file.
            records = torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8)
        except (OSError, RuntimeError) as error:  # the latter by torch, where it can't open a file
            what = getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise LabelStoreError(
                f"{path}: can't be read ({what}); make it readable, or {_AGAIN}"
            ) from error
        if self._digest(stream, records) != path.name.split(".")[1]:
            raise LabelStoreError(
                f"{path}: its content is not what was written into this store; {_AGAIN}"
            )
        return records.view(len(self), self.form.bytes)

    def write(self, stream: int, records: Tensor) -> None:
        """Keep a stream, uint8 (N, bytes) in the order of `samples`.

        Raises:
            StorageError: when there is no space.
        """
        if records.shape != (len(self), self.form.bytes) or records.dtype != torch.uint8:
            raise ValueError(f"records {records.dtype} {tuple(records.shape)} are no whole stream")
        flat = records.contiguous().view(-1)
        name = f"stream-{stream:05d}.{self._digest(stream, flat)}.labels"
        write_atomic(self.folder / name, flat.numpy().tobytes())

    def made(self, stream: int, make: Callable[[], Tensor]) -> Tensor:
        """Records of a stream, made by `make` where it isn't there; by one process at a time."""
        if (records := self.read(stream)) is not None:
            return records
        lock = FileLock(self.folder / f".stream-{stream:05d}.lock")
        try:
            lock.acquire()
        except OSError as error:
            raise StorageError(
                f"{self.folder}: labels can't be added ({error.strerror or error}); make it "
                "writable, or choose another folder for labels.store"
            ) from error
        try:
            for litter in self.folder.glob(f".stream-{stream:05d}.*.part"):
                litter.unlink(missing_ok=True)  # of a process that was killed while writing
            if (records := self.read(stream)) is not None:
                return records
            self.write(stream, make())
        finally:
            lock.release()
        records = self.read(stream)
        assert records is not None
        return records

    def verify(self) -> list[str]:
        """Check every byte; what is wrong, a line each (none: all is well)."""
        wrong = []
        checks: list[Callable[[], Any]] = [lambda: self.probes, lambda: self.samples]
        checks += [lambda each=each: self._read(*each) for each in self._files()]
        for check in checks:
            try:
                check()
            except LabelStoreError as error:
                wrong.append(str(error))
        return wrong

    def _digest(self, stream: int, records: Tensor) -> str:
        state = blake2b(digest_size=16, key=bytes.fromhex(self.key), person=b"%d" % stream)
        state.update(records.numpy().data)
        return state.hexdigest()


_REMAKE = "delete the folder, and the labels are made again"
_AGAIN = "delete the file, and its labels are made again"
