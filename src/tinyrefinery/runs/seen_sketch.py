"""Which images a network was trained or chosen on, small enough for the header of its file.

A network file that is copied out of its run has no list of images beside it. Its header carries
the smallest 1,024 of the identities instead, shortened to 40 bits: 7 kB of text. Up to 1,024
images, that is all of them. Beyond, it is an even sample (a bottom-k sketch), which covers the
identities up to its largest: of an image there, the sketch tells whether the network used it. Of
others, nothing is known.

Source: Cohen and Kaplan, "Summarizing data using bottom-k sketches", PODC 2007.
"""

import base64
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any, Literal

ENTRY = "seen"
"""Name of the sketch among the facts of a network's header."""
SIZE = 1024
"""Our choice: identities that are kept."""
_BYTES = 5
"""Of an identity that are kept. Of 10,000 strange images, one in 10^5 tests has a false match."""

Use = Literal["used", "unused", "unknown"]


@dataclass(frozen=True)
class SeenSketch:
    """What a network's header tells of the images that the network was trained or chosen on."""

    images: int
    """How many there were."""
    kept: frozenset[bytes]
    """The smallest of their shortened identities."""
    unknown_origin: tuple[str, ...]
    """Networks behind it whose training images are not known."""

    @cached_property
    def _largest(self) -> bytes:
        return max(self.kept)

    def counted_used(self, ids: Sequence[str]) -> list[str]:
        """Those of these images that must not count as held out.

        Where some were used, these are also all that the sketch does not cover.
        """
        uses = self.uses(ids)
        if "used" not in uses:
            return []
        return [id for id, use in zip(ids, uses, strict=True) if use != "unused"]

    def uses(self, ids: Sequence[str]) -> list[Use]:
        """Whether the network used each of these images; "unknown" where nothing is known."""
        return [self._use(_short(id)) for id in ids]

    def _use(self, short: bytes) -> Use:
        if short in self.kept:
            return "used"
        covered = self.images <= SIZE or short <= self._largest
        return "unused" if covered else "unknown"


def sketch_facts(ids: Collection[str], unknown_origin: Sequence[str] = ()) -> dict[str, Any]:
    """The sketch of these images, as plain data for a header. Equal images give equal facts."""
    shorts = sorted({_short(id) for id in ids})
    text = base64.b64encode(b"".join(shorts[:SIZE])).decode()
    return {"images": len(shorts), "kept": text, "unknown_origin": list(unknown_origin)}


def read_sketch(facts: Mapping[str, Any]) -> SeenSketch | None:
    """The sketch among the facts of a header; None where there is none, or nothing was used."""
    try:
        entry = facts[ENTRY]
        content = base64.b64decode(entry["kept"], validate=True)
        kept = frozenset(content[i : i + _BYTES] for i in range(0, len(content), _BYTES))
        unknown = tuple(str(name) for name in entry["unknown_origin"])
        return SeenSketch(int(entry["images"]), kept, unknown) if kept else None
    except (KeyError, TypeError, ValueError):
        return None


def _short(id: str) -> bytes:
    return sha256(id.encode()).digest()[:_BYTES]
