"""Quantization tables of JPEG files, read from the bytes before the pixels (ITU-T T.81, annex B).

Pillow reads them too, and much more, which takes longer than decoding a picture of 32x32 pixels.
"""

_START = b"\xff\xd8\xff"
_SCAN, _TABLES = 0xDA, 0xDB
_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended and progressive
_PLAIN = (0xC4, 0xDD, 0xFE)  # Huffman tables, restart interval, comment
_JFIF, _JFIF_BYTES = 0xE0, 16
_MOST_PIXELS = 1 << 26  # Pillow warns of larger images


def plain_luma_sum(data: bytes) -> int | None:
    """The sum of the luma quantization table of a JPEG without EXIF and the like.

    Returns:
        None where the header has anything else than tables, a frame of 8 bits, a comment and JFIF's
        segment. Then only Pillow's reader can tell which facts the file has.
    """
    sums: dict[int, int] = {}
    frames, position = 0, 2
    if data[:3] != _START:
        return None
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        length = data[position + 2] << 8 | data[position + 3]
        segment = data[position + 4 : position + 2 + length]
        if len(segment) != length - 2:
            return None
        if marker == _SCAN:
            return sums[min(sums)] if sums and frames == 1 else None
        if not _read(marker, segment, sums):
            return None
        frames += marker in _FRAMES
        position += 2 + length
    return None


def _read(marker: int, segment: bytes, sums: dict[int, int]) -> bool:
    """Read one segment; False if it is not a plain one. `sums` gets the tables' sums by number."""
    if marker == _TABLES:
        return _add_tables(segment, sums)
    if marker in _FRAMES:
        return _is_common(segment)
    return marker in _PLAIN or (marker == _JFIF and len(segment) + 2 == _JFIF_BYTES)


def _add_tables(segment: bytes, sums: dict[int, int]) -> bool:
    """Add the sums of tables of 8 bits: each is a number below 16 and 64 values."""
    for at in range(0, len(segment), 65):
        if segment[at] > 3 or at + 65 > len(segment):
            return False
        sums[segment[at]] = sum(segment[at + 1 : at + 65])
    return True


def _is_common(frame: bytes) -> bool:
    """Whether a frame has 8 bits and one, three or four components."""
    if len(frame) < 6 or frame[0] != 8 or frame[5] not in (1, 3, 4):
        return False
    height, width = frame[1] << 8 | frame[2], frame[3] << 8 | frame[4]
    return len(frame) == 6 + 3 * frame[5] and 0 < height * width <= _MOST_PIXELS
