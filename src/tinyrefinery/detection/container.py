"""Reading files by name from a folder or a zip."""

import os
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tinyrefinery.data.blobs import Blobs, FileBlobs, read_file
from tinyrefinery.data.walk import walk
from tinyrefinery.errors import DataError
from tinyrefinery.reading.limits import MOST_TEXT, inflate, too_many_bytes

_LOCAL_HEADER = 30  # bytes before the name (APPNOTE 4.3.7)
_STORED, _DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED


class Container(Protocol):
    """A folder or a zip."""

    names: tuple[str, ...]
    """All files except hidden ones, with `/` between folders, sorted."""

    def read(self, name: str) -> bytes:
        """Content of one text file.

        Raises:
            OSError: when it can't be read, or has more than `MOST_TEXT` bytes.
        """
        ...

    def blobs(self, names: Sequence[str]) -> Blobs:
        """Several files, read by number."""
        ...

    def stamp(self, name: str) -> str:
        """A text that changes if the file changes."""
        ...


def open_container(root: str | Path) -> Container:
    """Open a folder or a zip.

    Raises:
        DataError: when it is neither, or the zip is broken.
    """
    root = Path(root).expanduser()
    if root.is_dir():
        return FolderFiles(root)
    if not root.exists():
        raise DataError(f"{root}: no such folder or zip file")
    return ZipFiles(root)


class FolderFiles:
    """The files in a folder and its subfolders."""

    def __init__(self, root: Path) -> None:
        self.root = root
        paths = []
        for _, folder, names in walk([root]).folders:
            relative = Path(folder).relative_to(root)
            paths += [(relative / name).as_posix() for name in names if name[0] != "."]
        self.names = tuple(sorted(paths))

    def read(self, name: str) -> bytes:
        """Content of one file."""
        return read_file(self.root / name, MOST_TEXT)

    def blobs(self, names: Sequence[str]) -> Blobs:
        """Several files, read by number."""
        return FileBlobs([str(self.root / name) for name in names])

    def stamp(self, name: str) -> str:
        """Path, size and time of modification."""
        path = self.root / name
        try:
            status = path.stat()
        except OSError:  # a dangling link: reading it will raise the reason
            return f"{path}\x1fmissing"
        return f"{path.absolute()}\x1f{status.st_size}\x1f{status.st_mtime_ns}"


class ZipFiles:
    """The files in a zip.

    Raises:
        DataError: when it is not a zip, or its compression is not supported.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as file:
                infos = [info for info in file.infolist() if not info.is_dir()]
        except Exception as error:  # damaged zips raise almost anything
            raise DataError(f"{path}: neither a folder nor a valid zip file ({error})") from error
        for info in infos:
            if info.compress_type not in (_STORED, _DEFLATED) or info.flag_bits & 1:
                raise DataError(
                    f"{path}: '{info.filename}' is encrypted or has an unsupported compression: "
                    "unpack the zip and give the folder"
                )
        hidden = ("__MACOSX/",)
        self.infos = {
            info.filename: info
            for info in infos
            if not info.filename.startswith(hidden)
            and Path(info.filename).name[:1] not in ("", ".")
        }
        self.names = tuple(sorted(self.infos))

    def read(self, name: str) -> bytes:
        """Content of one file."""
        if reason := too_many_bytes(self.infos[name].file_size, MOST_TEXT):
            raise OSError(reason)
        return self.blobs([name])[0]

    def blobs(self, names: Sequence[str]) -> Blobs:
        """Several files, read by number."""
        return ZipBlobs(str(self.path), [self.infos[name] for name in names])

    def stamp(self, name: str) -> str:
        """Path of the zip, name, checksum and size."""
        info = self.infos[name]
        return f"{self.path.absolute()}\x1f{name}\x1f{info.CRC}\x1f{info.file_size}"


class ZipBlobs:
    """Members of a zip. Picklable and thread-safe, as it keeps no open file."""

    def __init__(self, path: str, members: Sequence[zipfile.ZipInfo]) -> None:
        self.path = path
        self.places = [
            (m.header_offset, m.compress_size, m.file_size, m.compress_type == _DEFLATED, m.CRC)
            for m in members
        ]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, row: int) -> bytes:
        """Bytes of one member.

        Raises:
            OSError: when they can't be read or are damaged.
        """
        offset, packed, size, deflated, checksum = self.places[row]
        if reason := too_many_bytes(max(packed, size)):
            raise OSError(reason)
        with open(self.path, "rb") as file:
            file.seek(offset)
            header = file.read(_LOCAL_HEADER)
            if len(header) < _LOCAL_HEADER:
                raise OSError("the zip is truncated")
            name, extra = struct.unpack("<HH", header[26:30])
            file.seek(name + extra, os.SEEK_CUR)
            data = file.read(packed)
        data = inflate(data, size) if deflated else data
        if zlib.crc32(data) != checksum:
            raise OSError("damaged in the zip (wrong checksum)")
        return data
