"""A seeded mutator of files: what disks, copies, editors and odd programs do to good input."""


def damage(path, random):
    """Damage a file in one of the ways that disks, copies and editors do."""
    content = bytearray(path.read_bytes())
    kind = random.integers(7)
    place = int(random.integers(len(content) + 1))
    if kind == 0:
        content = content[:place]
    elif kind == 1:
        content[place : place + 64] = bytes(len(content[place : place + 64]))
    elif kind == 2:
        content[place:place] = random.bytes(int(random.integers(1, 40)))
    elif kind == 3:
        content = bytearray(random.bytes(max(1, len(content))))
    elif kind == 4:
        path.unlink()
        return "deleted"
    elif content:
        content[min(place, len(content) - 1)] ^= 1 << int(random.integers(8))
    path.write_bytes(content)
    return "damaged"


ODD = (
    *(b"\x00", b"\xff\xfe", b"\r", b"\t", b'"', b"'", b"[", b"{", b"}]", b"&a [*a]", b"<", b"<!--"),
    *(b"nan", b"-1", b"9" * 30, b"1e999", b"null", b"true", b"2001-99-99", b"../../x", b"\\"),
    *(b"C:\\x.png", b"." * 5, b"[" * 3000, "é−日".encode(), "é".encode("latin-1"), b"\xed\xa0\x80"),
)
"""Pieces of text that readers stumble over."""


def distort(path, random):
    """Damage a file as `damage` does, or as its author might have written it wrongly."""
    if random.random() < 0.4:
        return damage(path, random)
    content = path.read_bytes()
    place = int(random.integers(len(content) + 1))
    lines = content.split(b"\n")
    line = int(random.integers(len(lines)))
    kind = int(random.integers(5))
    if kind == 0:  # something odd between two characters
        content = content[:place] + ODD[random.integers(len(ODD))] + content[place:]
    elif kind == 1:  # something odd instead of a few
        end = place + int(random.integers(1, 20))
        content = content[:place] + ODD[random.integers(len(ODD))] + content[end:]
    elif kind == 2:  # a line twice
        content = b"\n".join([*lines[:line], lines[line], *lines[line:]])
    elif kind == 3:  # a line less
        content = b"\n".join([*lines[:line], *lines[line + 1 :]])
    else:  # saved by an editor that uses UTF-16
        content = content.decode("latin-1").encode("utf-16")
    path.write_bytes(content)
    return f"distorted ({kind})"
