"""What a file declares is checked before it is decoded or unpacked, by one rule for each format."""

import resource
import struct
import zipfile
import zlib

import pytest

from tests.data.pictures import encoded, pixels
from tinyrefinery.data.blobs import FileBlobs
from tinyrefinery.data.decode import BrokenImageError, decode
from tinyrefinery.detection.container import open_container
from tinyrefinery.errors import DataError
from tinyrefinery.labels import wordnet
from tinyrefinery.reading import limits


def jpeg(height, width):
    """A small JPEG whose header declares another size (SOF segment, ITU-T T.81, B.2.2)."""
    data = bytearray(encoded(pixels(1), "jpeg"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def png(height, width):
    data = bytearray(encoded(pixels(1), "png"))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def bmp(height, width):
    data = bytearray(encoded(pixels(1), "bmp"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def gif(height, width):
    data = bytearray(encoded(pixels(1), "gif"))
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


def ppm(height, width):
    return f"P6 {width} {height} 255\n".encode() + bytes(300)


def tiff(height, width):
    data = bytearray(encoded(pixels(1), "tiff"))
    start = struct.unpack("<I", data[4:8])[0]
    (entries,) = struct.unpack("<H", data[start : start + 2])
    for entry in range(start + 2, start + 2 + 12 * entries, 12):
        side = {256: width, 257: height}.get(struct.unpack("<H", data[entry : entry + 2])[0])
        if side is not None:
            data[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, side)
    return bytes(data)


@pytest.mark.parametrize("form", [jpeg, png, bmp, gif, ppm, tiff])
@pytest.mark.parametrize("size", [(65_500, 65_500), (14_000, 14_000)])
def test_a_picture_that_declares_too_many_pixels_is_named_as_too_large(form, size):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BrokenImageError, match=r"too large: it declares [\d,x ]+ pixels.*Shrink"):
        decode(form(*size))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


@pytest.mark.parametrize("form", [jpeg, png, ppm])
def test_a_picture_that_declares_fewer_is_read_or_damaged(form):
    with pytest.raises(BrokenImageError, match="damaged"):
        decode(form(3000, 3000))


def bomb(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, size in members.items():
            with file.open(name, "w", force_zip64=False) as member:
                for _ in range(size >> 20):
                    member.write(bytes(1 << 20))
    return path


def test_a_zip_is_bounded_before_it_is_unpacked(tmp_path):
    names = ("Annotations/a.xml", "JPEGImages/a.jpg")
    path = bomb(tmp_path / "voc.zip", dict.fromkeys(names, 300 << 20))
    assert path.stat().st_size < 1 << 20
    files = open_container(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(OSError, match="too large"):
        files.read(names[0])
    with pytest.raises(OSError, match="too large"):
        files.blobs([names[1]])[0]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_a_zip_that_unpacks_to_more_than_it_declares_is_damaged(tmp_path):
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    data = packer.compress(bytes(50 << 20)) + packer.flush()
    with pytest.raises(OSError, match="declared size"):
        limits.inflate(data, 1000)


def test_wordnet_zips_too(tmp_path):
    path = bomb(tmp_path / "wordnet.zip", {"data.noun": 300 << 20, "index.noun": 1 << 20})
    with pytest.raises(DataError, match=r"wordnet\.zip.*too large"):
        wordnet._text(path, "data.noun")


def test_a_large_file_is_not_read_as_a_picture(tmp_path):
    path = tmp_path / "a.jpg"
    with path.open("wb") as file:
        file.truncate(limits.MOST_BYTES + 1)  # sparse
    with pytest.raises(OSError, match="too large"):
        FileBlobs([str(path)])[0]


@pytest.mark.parametrize("name", [".", "a\0b", ".."])
def test_zip_members_without_a_name(tmp_path, name):
    path = tmp_path / "voc.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(zipfile.ZipInfo(name), b"x")
        file.writestr("a.txt", b"y")
    assert "a.txt" in open_container(path).names
