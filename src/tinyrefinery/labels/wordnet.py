"""The nouns of WordNet, read from Princeton's own files (wndb(5WN), wninput(5WN)).

`data.noun` holds the synsets with their hypernyms, `index.noun` the synsets of each lemma, the most
frequent first. They come as a folder or as a zip file: Princeton's `dict`, or NLTK's
`corpora/wordnet.zip`. Version 3.0 is the one that ImageNet's numbers (wnids) are of.
"""

import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

from tinyrefinery.errors import DataError
from tinyrefinery.reading.limits import too_many_bytes

REMEDY = (
    "name Princeton's `dict` folder of WordNet 3.0, or the wordnet.zip that "
    "`python -m nltk.downloader wordnet` fetches"
)
# Endings of plurals and what they come from (morphy(7WN)).
_PLURALS = (
    *(("s", ""), ("ses", "s"), ("xes", "x"), ("zes", "z")),
    *(("ches", "ch"), ("shes", "sh"), ("men", "man"), ("ies", "y")),
)


@dataclass(frozen=True)
class Synset:
    """One meaning."""

    offset: int
    """Its number in `data.noun`, which is the number of ImageNet's wnid."""
    lemmas: tuple[str, ...]
    """Words for it, `_` for blanks."""
    parents: tuple[int, ...]
    """Offsets of its hypernyms, of instances too."""
    gloss: str

    @property
    def wnid(self) -> str:
        """As ImageNet writes it, e.g. n02084071."""
        return f"n{self.offset:08d}"


class WordNet:
    """Nouns, their meanings and the hierarchy of these."""

    def __init__(self, synsets: Mapping[int, Synset], senses: Mapping[str, Sequence[int]]) -> None:
        """Hold what was read.

        Args:
            synsets: by offset.
            senses: offsets of a lemma's synsets, the most frequent first; lemmas in lower case.
        """
        self.synsets, self.senses = synsets, senses
        self._distances: dict[int, dict[int, int]] = {}
        self._depths: dict[int, tuple[int, int]] = {}

    def named(self, name: str) -> Synset | None:
        """The synset of a wnid (`n02121620`, `n02121620 cat`) or a name (`cat.n.01`), if any."""
        if wnid := re.match(r"n(\d{8})(?![0-9a-zA-Z])", name):
            return self.synsets.get(int(wnid[1]))
        parts = re.fullmatch(r"(.+)\.n\.(\d+)", name)
        if not parts:
            return None
        senses = self.senses.get(parts[1].lower(), ())
        number = int(parts[2])
        return self.synsets[senses[number - 1]] if 1 <= number <= len(senses) else None

    def name_of(self, synset: Synset) -> str:
        """As people write it, by its first lemma: cat.n.01."""
        lemma = synset.lemmas[0].lower()
        return f"{lemma}.n.{list(self.senses[lemma]).index(synset.offset) + 1:02d}"

    def meanings(self, word: str) -> list[Synset]:
        """Synsets of a word or of the word whose plural it is, the most frequent first."""
        plain = re.sub(r"[\s_-]+", "_", word.strip().lower())
        forms = [plain, plain.replace("_", "-"), plain.replace("_", "")]
        forms += [
            form[: len(form) - len(ending)] + root
            for form in (plain,)
            for ending, root in _PLURALS
            if form.endswith(ending) and len(form) > len(ending) + 1
        ]
        for form in forms:
            if form in self.senses:
                return [self.synsets[offset] for offset in self.senses[form]]
        return []

    def near(self, word: str) -> list[str]:
        """Lemmas that are written nearly like a word, the nearest first."""
        plain = re.sub(r"[\s_-]+", "_", word.strip().lower())
        alike = (lemma for lemma in self.senses if abs(len(lemma) - len(plain)) <= 3)
        parts = [part for part in plain.split("_") if part in self.senses and part != plain]
        return [*get_close_matches(plain, alike, n=3, cutoff=0.75), *reversed(parts)][:4]

    def distances(self, offset: int) -> dict[int, int]:
        """Edges on the shortest way up to each ancestor, the synset itself (0) among them."""
        if offset not in self._distances:
            # Level by level, so that the first distance of a synset is its shortest.
            distances, level, distance = {}, [offset], 0
            while level:
                fresh = [synset for synset in dict.fromkeys(level) if synset not in distances]
                distances |= dict.fromkeys(fresh, distance)
                level = [parent for synset in fresh for parent in self.synsets[synset].parents]
                distance += 1
            self._distances[offset] = distances
        return self._distances[offset]

    def depths(self, offset: int) -> tuple[int, int]:
        """Edges on the shortest and on the longest way up to a root."""
        if offset not in self._depths:
            above = [self.depths(parent) for parent in self.synsets[offset].parents]
            shortest = 1 + min((depths[0] for depths in above), default=-1)
            longest = 1 + max((depths[1] for depths in above), default=-1)
            self._depths[offset] = shortest, longest
        return self._depths[offset]

    @cached_property
    def version(self) -> str:
        """How many synsets and lemmas there are, for messages."""
        return f"{len(self.synsets):,} noun synsets, {len(self.senses):,} lemmas"


def read_wordnet(path: Path) -> WordNet:
    """Read the nouns from a folder or zip file.

    Raises:
        DataError: when they aren't there, or are no WordNet files.
    """
    data, index = (_text(path, name).splitlines() for name in ("data.noun", "index.noun"))
    try:
        synsets = {synset.offset: synset for synset in map(_synset, _entries(data))}
        senses = dict(map(_senses, _entries(index)))
        missing = {p for synset in synsets.values() for p in synset.parents} - synsets.keys()
        missing |= {offset for offsets in senses.values() for offset in offsets} - synsets.keys()
    except (ValueError, IndexError) as error:
        raise DataError(f"{path}: no WordNet noun files ({error}); {REMEDY}") from error
    if missing or not synsets:
        raise DataError(
            f"{path}: data.noun and index.noun don't fit together ({len(missing)} synsets are "
            f"named but missing); {REMEDY}"
        )
    return WordNet(synsets, senses)


def _entries(lines: Iterable[str]) -> Iterable[str]:
    """Without the license, whose lines begin with blanks."""
    return (line for line in lines if line and not line.startswith(" "))


def _synset(line: str) -> Synset:
    """Fields: offset file type count(hex) [word id]... count [symbol offset pos source]..."""
    facts, _, gloss = line.partition("|")
    fields = facts.split()
    words = int(fields[3], 16)
    after = 4 + 2 * words
    pointers = fields[after + 1 : after + 1 + 4 * int(fields[after])]
    parents = tuple(
        int(pointers[i + 1]) for i in range(0, len(pointers), 4) if pointers[i] in ("@", "@i")
    )
    return Synset(int(fields[0]), tuple(fields[4:after:2]), parents, gloss.strip())


def _senses(line: str) -> tuple[str, tuple[int, ...]]:
    """Fields: lemma pos count count(symbols) symbol... senses tagged offset..."""
    fields = line.split()
    return fields[0], tuple(int(offset) for offset in fields[len(fields) - int(fields[2]) :])


def _text(path: Path, name: str) -> str:
    try:
        if path.is_dir():
            places = [path / inner / name for inner in ("", "dict", "wordnet", "corpora/wordnet")]
            file = next((place for place in places if place.is_file()), places[0])
            return file.read_text(encoding="utf-8")
        with zipfile.ZipFile(path) as archive:
            inside = [path for path in archive.namelist() if path.split("/")[-1] == name]
            if not inside:
                raise DataError(f"{path}: has no {name}; {REMEDY}")
            if reason := too_many_bytes(archive.getinfo(inside[0]).file_size):
                raise OSError(reason)
            return archive.read(inside[0]).decode()
    except DataError:
        raise
    except Exception as error:  # damaged zips raise almost anything
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: WordNet can't be read from it ({reason}); {REMEDY}") from error
