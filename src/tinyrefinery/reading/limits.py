"""Limits of what is decoded and unpacked, the same for every format, checked before the work.

A file of 3 kB can declare a picture of 65,500 x 65,500 pixels, and 1 MB of a zip can unpack to
gigabytes.
"""

import zlib

MOST_PIXELS = 178_956_970
"""Of one picture: 512 MiB in RGB. Pillow refuses larger pictures too."""
MOST_BYTES = 256 << 20
"""Of one file in an archive, unpacked, and of one encoded picture."""
MOST_TEXT = 16 << 20
"""Bytes of one annotation or label file."""


def too_many_pixels(height: int, width: int) -> str | None:
    """Why a picture of this size is not decoded; None if it may be."""
    if height * width <= MOST_PIXELS:
        return None
    return f"too large: it declares {width:,} x {height:,} pixels, {too_large_remedy()}"


def too_large_remedy() -> str:
    """The rule for pictures, for messages."""
    return f"more than {MOST_PIXELS:,} in all. Shrink it or leave it out"


def too_many_bytes(size: int, most: int = MOST_BYTES) -> str | None:
    """Why a file of `size` bytes is not read; None if it may be."""
    if size <= most:
        return None
    return f"too large: it has {size:,} bytes unpacked, more than {most:,}"


def inflate(data: bytes, size: int) -> bytes:
    """Unpack raw deflated data that are declared to have `size` bytes.

    Raises:
        OSError: if they are damaged, too large, or don't have that size.
    """
    if reason := too_many_bytes(size):
        raise OSError(reason)
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        unpacked = unpacker.decompress(data, size + 1)
    except zlib.error as error:
        raise OSError(f"damaged in the zip ({error})") from error
    if len(unpacked) != size:
        raise OSError("damaged in the zip (it does not have the declared size)")
    return unpacked
