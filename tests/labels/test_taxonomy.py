"""Wu-Palmer against NLTK, published values and a hierarchy small enough to count by hand."""

import csv
import warnings
import zipfile

import numpy as np
import pytest
import torch
from timm.data import ImageNetInfo

from tests.real import real_data
from tinyrefinery.errors import DataError
from tinyrefinery.labels.taxonomy import (
    CategoryLabels,
    Taxonomy,
    choose_synsets,
    distributions,
    similarities,
    wu_palmer,
)
from tinyrefinery.labels.wordnet import read_wordnet
from tinyrefinery.options.labels import Taxonomy as Part

DEFAULT = Part.model_fields["temperature"].default

# root <- c <- y <- x <- a; a is a child of the root too; c <- b; root <- lone.
DATA = """  1 a licence, whose lines begin with blanks
00000001 03 n 01 root 0 000 | all there is
00000002 03 n 02 c 0 see 1 001 @ 00000001 n 0000 | third letter
00000003 03 n 01 y 0 001 @ 00000002 n 0000 | on the way
00000004 03 n 01 x 0 002 @ 00000003 n 0000 ~ 00000005 n 0000 | on the way, too
00000005 03 n 01 a 0 002 @ 00000004 n 0000 @ 00000001 n 0000 | with two parents
00000006 03 n 01 b 0 002 @i 00000002 n 0000 + 00000001 v 0101 | an instance; gloss
00000007 03 n 01 lone_wolf 0 001 @ 00000001 n 0000 | alone
00000008 03 n 01 island 0 000 | a root of its own
"""
INDEX = """  1 a licence
a n 1 1 @ 1 0 00000005
b n 1 1 @ 1 0 00000006
c n 1 1 @ 1 0 00000002
island n 1 0 1 0 00000008
lone_wolf n 1 1 @ 1 0 00000007
root n 1 1 ~ 1 0 00000001
see n 2 2 @ ~ 2 0 00000007 00000002
x n 1 1 @ 1 0 00000004
y n 1 1 @ 1 0 00000003
"""
CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


@pytest.fixture
def net(tmp_path):
    (tmp_path / "dict").mkdir()
    (tmp_path / "dict" / "data.noun").write_text(DATA)
    (tmp_path / "dict" / "index.noun").write_text(INDEX)
    return read_wordnet(tmp_path)


@pytest.fixture(scope="module")
def princeton():
    return read_wordnet(real_data("wordnet/wordnet30_nltk.zip"))


@pytest.fixture(scope="module")
def nltk(tmp_path_factory):
    pytest.importorskip("nltk")
    import nltk.data
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    folder = tmp_path_factory.mktemp("nltk_data")
    with zipfile.ZipFile(real_data("wordnet/wordnet30_nltk.zip")) as archive:
        archive.extractall(folder)
    nltk.data.path.insert(0, str(folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return WordNetCorpusReader(nltk.data.find("corpora/wordnet"), None)


def test_similarities_counted_by_hand(net):
    # a and b: their deepest common ancestor is c, two synsets from the root (itself and the root).
    # a to c: straight up x, y, c are 3 edges; by the root 2. b to c: 1.
    assert wu_palmer(net, 5, 6, "textbook") == pytest.approx(2 * 2 / (3 + 1 + 2 * 2))
    assert wu_palmer(net, 5, 6, "nltk") == pytest.approx(2 * 2 / (2 + 1 + 2 * 2))
    assert wu_palmer(net, 5, 7, "nltk") == pytest.approx(
        2 * 1 / (1 + 1 + 2)
    )  # only the root in common
    assert wu_palmer(net, 2, 6, "nltk") == pytest.approx(2 * 2 / (0 + 1 + 4))  # one above the other
    assert wu_palmer(net, 5, 5, "nltk") == 1
    assert wu_palmer(net, 5, 8, "nltk") == 0  # nothing in common


def test_published_values(princeton):
    dog, cat = princeton.named("dog.n.01"), princeton.named("cat.n.01")
    assert wu_palmer(princeton, dog.offset, cat.offset, "nltk") == pytest.approx(0.857142857)
    assert princeton.named("n02121620") == cat
    assert cat.wnid == "n02121620"
    assert princeton.name_of(dog) == "dog.n.01"
    assert dog.lemmas == ("dog", "domestic_dog", "Canis_familiaris")
    assert len(princeton.synsets) == 82_115  # WordNet 3.0's statistics, wnstats(7WN)
    assert len(princeton.senses) == 117_798


@pytest.mark.slow
def test_every_pair_is_nltk_s(princeton, nltk):
    """Synsets of several parents, where definitions part, among them."""
    many = [s for s in princeton.synsets.values() if len(s.parents) > 1]
    rng = np.random.default_rng(0)
    chosen = [many[i] for i in rng.choice(len(many), 25, replace=False)]
    chosen += [princeton.meanings(name)[0] for name in CIFAR]
    found, straight = (similarities(princeton, chosen, d) for d in ("nltk", "textbook"))
    theirs = [nltk.synset_from_pos_and_offset("n", s.offset) for s in chosen]
    for i, one in enumerate(theirs):
        for j, other in enumerate(theirs[:i]):
            assert found[i, j] == pytest.approx(one.wup_similarity(other)), (one, other)
    assert (straight < found).any()
    assert (straight <= found + 1e-12).all()


def own_share(similarity, temperature):
    """What labels leave to the class itself: mean, least and greatest."""
    own = distributions(similarity, temperature).diagonal()
    return own.mean(), own.min(), own.max()


def test_documented_shares_of_cifar(princeton):
    """docs/label-policies-and-losses.md: 0.93 at the default temperature, 0.69 at 0.1."""
    found = similarities(princeton, [princeton.meanings(name)[0] for name in CIFAR], "nltk")
    assert own_share(found, DEFAULT)[0] == pytest.approx(0.93, abs=0.005)
    assert own_share(found, 0.1)[0] == pytest.approx(0.69, abs=0.005)


@pytest.mark.slow
def test_documented_shares_of_imagenet(princeton):
    """docs/label-policies-and-losses.md and decision 0014; the 1,000 classes are timm's."""
    names = ImageNetInfo("imagenet-1k").label_names()
    assert len(names) == 1000
    found = similarities(princeton, [princeton.named(name) for name in names], "nltk")
    assert own_share(found, DEFAULT) == pytest.approx((0.54, 0.11, 1.00), abs=0.005)
    assert own_share(found, 0.1)[0] == pytest.approx(0.10, abs=0.005)
    others = (found.sum() - len(names)) / (len(names) * (len(names) - 1))
    assert others == pytest.approx(0.44, abs=0.005)
    assert 1 / found.sum(axis=1).mean() == pytest.approx(1 / 400, abs=5e-4)


def test_labels_are_distributions_that_follow_the_similarity(net):
    similarity = np.array([[1.0, 0.5, 0.2], [0.5, 1.0, 0.4], [0.2, 0.4, 1.0]])
    labels = distributions(similarity, 0.1)
    weights = np.exp([10, 5, 2])
    np.testing.assert_allclose(labels[0], weights / weights.sum())
    np.testing.assert_allclose(labels.sum(1), 1)
    assert distributions(similarity, 1e-3)[0, 0] == pytest.approx(1)
    policy = CategoryLabels(labels)
    batch = type("B", (), {"labels": torch.tensor([2, 0])})()
    torch.testing.assert_close(policy(batch), torch.tensor(labels[[2, 0]]).float())


def test_the_first_noun_a_wnid_or_the_recipe_choose(princeton):
    chosen = choose_synsets(princeton, CIFAR, {})
    assert [c.name for c in chosen][:5] == [
        *("airplane.n.01", "car.n.01", "bird.n.01", "cat.n.01", "deer.n.01")
    ]
    assert [c.meanings for c in chosen][3] == 8
    for name in ("Trucks", "English springer", "English_springer, English springer", "church-bell"):
        assert choose_synsets(princeton, [name], {})[0].by == "name"
    assert choose_synsets(princeton, ["women"], {})[0].name == "woman.n.01"
    crane = choose_synsets(princeton, ["crane", "b"], {}, ["n02012849", None])[0]
    assert (crane.name, crane.by) == ("crane.n.05", "wnid")
    assert choose_synsets(princeton, ["n02084071_dog"], {})[0].name == "dog.n.01"
    given = choose_synsets(princeton, ["crane"], {"crane": "crane.n.04"}, ["n02012849"])[0]
    assert (given.name, given.by) == ("crane.n.04", "recipe")


def test_what_has_no_synset_is_named_with_what_is_near(princeton):
    with pytest.raises(DataError) as caught:
        choose_synsets(princeton, ["cat", "airplnae", "zzqq", "dog"], {"dog": "dog.n.99"})
    text = str(caught.value)
    assert "'airplnae' (near: airplane" in text
    assert "'zzqq';" in text
    assert "'dog' = dog.n.99 (near: dog" in text
    assert "labels.synsets={airplnae: cat.n.01}" in text
    assert "'cat'" not in text
    with pytest.raises(DataError, match="has no class 'cta'; its classes are cat"):
        choose_synsets(princeton, ["cat"], {"cta": "cat.n.01"})


def test_what_was_chosen_can_be_read(net, tmp_path):
    choices = choose_synsets(net, ["a", "b", "lone wolf"], {})
    made = Taxonomy(Part(wordnet="", temperature=0.2), net, choices)
    made.save(tmp_path)
    with (tmp_path / "synsets.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["synset"] for row in rows] == ["a.n.01", "b.n.01", "lone_wolf.n.01"]
    assert rows[1]["gloss"] == "an instance; gloss"
    with (tmp_path / "similarity.csv").open() as file:
        cells = list(csv.reader(file))
    np.testing.assert_allclose(np.array(cells)[1:, 1:].astype(float), made.similarity, atol=1e-6)
    assert Taxonomy(Part(wordnet="", temperature=0.2), net, choices).digest == made.digest
    assert Taxonomy(Part(wordnet="", temperature=0.3), net, choices).digest != made.digest


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"can't be read from it \(No such file"),
        ({"data.noun": "what is this\n", "index.noun": INDEX}, "no WordNet noun files"),
        (
            {"data.noun": DATA.replace("00000001 03", "00000009 03"), "index.noun": INDEX},
            "don't fit",
        ),
    ],
)
def test_other_files_are_refused(tmp_path, files, message):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        read_wordnet(tmp_path)


def test_other_archives_are_refused(tmp_path):
    path = tmp_path / "wordnet.zip"
    with pytest.raises(DataError, match="No such file"):
        read_wordnet(path)
    path.write_text("no archive")
    with pytest.raises(DataError, match="not a zip file"):
        read_wordnet(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("corpora/wordnet/data.verb", "")
    with pytest.raises(DataError, match=r"has no data\.noun; name Princeton"):
        read_wordnet(path)
