"""Labels of a category by its place in WordNet (Label Refinery, Table 5, "taxonomy").

Every crop of a class gets the same distribution: the more similar another class is by the
hierarchy of nouns, the more probability it has. Similarity is that of Wu and Palmer (1994,
arXiv cmp-lg/9406033), 2 N3 / (N1 + N2 + 2 N3), where N3 counts the synsets from the root to the
deepest common ancestor, and N1, N2 the edges from there to the two.

Where synsets have several hypernyms that is not yet a definition. As NLTK's `wup_similarity`, which
most people mean, the deepest ancestor is that with the longest shortest way to the root, and N3 its
longest way. Then `nltk` lets N1 and N2 be any shortest path, also by another ancestor; `textbook`
goes straight up. The two differ for about 3 % of the pairs of ImageNet's classes, by up to 0.10.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tinyrefinery.data.batches import Batch
from tinyrefinery.errors import DataError
from tinyrefinery.files import write_csv
from tinyrefinery.labels.wordnet import Synset, WordNet
from tinyrefinery.options.labels import Taxonomy as Options


@dataclass(frozen=True)
class Choice:
    """The synset of a class."""

    category: str
    synset: Synset
    name: str
    """Of the synset, e.g. cat.n.01."""
    by: str
    """How it was found: recipe, wnid or name."""
    meanings: int
    """Noun meanings of the class's name; above 1 a person should look."""


def wu_palmer(net: WordNet, one: int, other: int, definition: str) -> float:
    """Similarity of two synsets by offset, in (0, 1]; 0 where they have no common ancestor."""
    if one == other:
        return 1.0
    up_from_one, up_from_other = net.distances(one), net.distances(other)
    common = up_from_one.keys() & up_from_other.keys()
    if not common:
        return 0.0
    deepest = max(net.depths(offset)[0] for offset in common)
    equals = [offset for offset in common if net.depths(offset)[0] == deepest]
    ancestor = one if one in equals else min(equals, key=lambda o: net.name_of(net.synsets[o]))
    depth = net.depths(ancestor)[1] + 1
    if definition == "textbook":
        edges = up_from_one[ancestor] + up_from_other[ancestor]
    else:
        above = net.distances(ancestor)
        edges = sum(
            min(far + above[offset] for offset, far in way.items() if offset in above)
            for way in (up_from_one, up_from_other)
        )
    return 2 * depth / (edges + 2 * depth)


def similarities(net: WordNet, synsets: Sequence[Synset], definition: str) -> np.ndarray:
    """Wu-Palmer similarity of each pair, float64 (K, K), symmetric, 1 on the diagonal."""
    similarity = np.eye(len(synsets))
    for i, one in enumerate(synsets):
        for j, other in enumerate(synsets[:i]):
            value = wu_palmer(net, one.offset, other.offset, definition)
            similarity[i, j] = similarity[j, i] = value
    return similarity


def distributions(similarity: np.ndarray, temperature: float) -> np.ndarray:
    """Each class's label: softmax of its similarities over a temperature, (K, K), rows sum to one.

    Args:
        similarity: (K, K), at most 1.
        temperature: above 0; smaller gives the class itself more.
    """
    power = np.exp((similarity - similarity.max(axis=1, keepdims=True)) / temperature)
    return power / power.sum(axis=1, keepdims=True)


def choose_synsets(
    net: WordNet,
    classes: Sequence[str],
    given: Mapping[str, str],
    wnids: Sequence[str | None] | None = None,
) -> list[Choice]:
    """A synset for each class: the recipe's, else by wnid, else the most frequent of its name.

    Args:
        net: WordNet.
        classes: names, K of them; a wnid is a name too.
        given: synset (`cat.n.01` or a wnid) by class, from the recipe.
        wnids: of the classes where the data has them.

    Raises:
        DataError: naming every class that has none, with lemmas that are near, and the remedy.
    """
    unknown = [name for name in given if name not in classes]
    if unknown:
        raise DataError(
            f"labels.synsets: the data has no class {', '.join(map(repr, unknown))}; its classes "
            f"are {', '.join(classes[:20])}{', ...' if len(classes) > 20 else ''}"
        )
    choices, missing = [], []
    for number, category in enumerate(classes):
        choice = _choice(net, category, given.get(category), wnids[number] if wnids else None)
        if choice is None:
            missing.append(category)
        else:
            choices.append(choice)
    if missing:
        names = "; ".join(_with_near_lemmas(net, name, given.get(name)) for name in missing)
        raise DataError(
            f"labels: no synset for {names}. Write the synset in the recipe, e.g. "
            f"labels.synsets={{{missing[0]}: cat.n.01}}, or a wnid such as n02121620"
        )
    return choices


def _choice(net: WordNet, category: str, given: str | None, wnid: str | None) -> Choice | None:
    meanings = [m for part in (category, *category.split(",")) for m in net.meanings(part)]
    count = len(dict.fromkeys(meanings))
    for name, by in ((given, "recipe"), (wnid, "wnid"), (category, "wnid")):
        if name is not None and (synset := net.named(name)):
            return Choice(category, synset, net.name_of(synset), by, count)
        if given is not None:
            return None
    if not meanings:
        return None
    return Choice(category, meanings[0], net.name_of(meanings[0]), "name", count)


def _with_near_lemmas(net: WordNet, category: str, given: str | None) -> str:
    near = net.near(given.split(".")[0] if given else category)
    hint = f" (near: {', '.join(near)})" if near else ""
    return f"'{category}'" + (f" = {given}" if given else "") + hint


class Taxonomy:
    """Synsets of the classes, their similarities and the labels that follow."""

    def __init__(self, part: Options, net: WordNet, choices: Sequence[Choice]) -> None:
        """Compare the chosen synsets."""
        self.choices = choices
        synsets = [choice.synset for choice in choices]
        self.similarity = similarities(net, synsets, part.definition)
        self.labels = distributions(self.similarity, part.temperature)

    @property
    def digest(self) -> str:
        """SHA-256 of the labels, to eight digits, so that rounding of a machine doesn't show."""
        return sha256(np.round(self.labels * 1e8).astype(np.int64).tobytes()).hexdigest()

    def save(self, folder: Path) -> None:
        """Write `synsets.csv`, the synset of each class, and `similarity.csv`, (K, K)."""
        rows = [
            [
                c.category,
                c.name,
                c.synset.wnid,
                c.by,
                c.meanings,
                f"{probability:.4f}",
                c.synset.gloss,
            ]
            for c, probability in zip(self.choices, self.labels.diagonal(), strict=True)
        ]
        header = ["class", "synset", "wnid", "found_by", "meanings", "own_probability", "gloss"]
        write_csv(folder / "synsets.csv", header, rows)
        names = [c.category for c in self.choices]
        cells = [
            [name, *(f"{value:.6f}" for value in row)]
            for name, row in zip(names, self.similarity, strict=True)
        ]
        write_csv(folder / "similarity.csv", ["class", *names], cells)


class CategoryLabels:
    """One distribution for every crop of a class."""

    def __init__(self, labels: np.ndarray) -> None:
        """Label with `labels`, (K, K), one row per class, rows sum to one."""
        self.labels = torch.from_numpy(labels).float()

    def __call__(self, batch: Batch) -> Tensor:
        """Targets of the batch, (B, K) float32."""
        self.labels = self.labels.to(batch.labels.device)
        return self.labels[batch.labels]
