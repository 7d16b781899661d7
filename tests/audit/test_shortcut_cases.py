"""The cases that a shortcut finder must tell apart, on generated images and on CIFAR-10.

A, B, B2: two classes, balanced and not, no shortcut. C: a share of one class is dark. C9: the same
under imbalance. D: one class of ten is dark. E, F: nothing planted; CIFAR-10 itself has blue ships.
"""

from functools import cache

import numpy as np
import pytest

from tests.real import real_data
from tinyrefinery.audit.association import Column
from tinyrefinery.audit.shortcuts import find_shortcuts
from tinyrefinery.data.open import open_data
from tinyrefinery.data.properties.measure import pixel_properties
from tinyrefinery.data.properties.property_names import MEASURES

NAMES = list(MEASURES)[3:]
CIFAR = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
CAT, DOG = 3, 5
DARKNESS = {"brightness", "contrast", "sharpness", "entropy", "border", "colorfulness"}


@cache
def images(kind):
    """Pixels uint8 (N, 32, 32, 3) and labels of ten classes."""
    if kind == "cifar":
        data = open_data("parquet", path=str(real_data("cifar10/train.parquet")), validation=0.0)
        return data.images.array.permute(0, 2, 3, 1).numpy(), data.manifest.labels
    rng = np.random.default_rng(0)
    n = 20_000
    labels = np.arange(n) % 10
    light = rng.uniform(60, 200, (n, 1, 1, 3)) + rng.normal(0, 15, (n, 1, 1, 1))
    coarse = rng.normal(0, 40, (n, 8, 8, 3)) * rng.uniform(0.4, 1.2, (n, 1, 1, 1))
    texture = np.kron(coarse, np.ones((1, 4, 4, 1)))
    return np.clip(light + texture, 0, 255).astype(np.uint8), labels


def found(kind, counts, dark=0.0, seed=0):
    """Shortcuts among so many images of each class, a share of the cats dark."""
    pixels, labels = images(kind)
    rng = np.random.default_rng(seed)
    of = {label: np.flatnonzero(labels == label) for label in counts}
    rows = np.concatenate([rng.permutation(of[label])[:n] for label, n in counts.items()])
    some = pixels[rows].copy()
    cats = np.flatnonzero(labels[rows] == CAT)
    chosen = rng.permutation(cats)[: round(dark * len(cats))]
    some[chosen] = some[chosen] // 4
    measured = pixel_properties(some)
    columns = [Column(name, measured[:, i]) for i, name in enumerate(NAMES)]
    classes = sorted(counts)
    given = np.searchsorted(classes, labels[rows])
    names = [CIFAR[label] for label in classes]
    shortcuts, _ = find_shortcuts(columns, given, names)
    return [(each.cue.column, each.cue.kind, names[each.label], each) for each in shortcuts]


BOTH = pytest.mark.parametrize("kind", ["generated", "cifar"])


@BOTH
@pytest.mark.parametrize(
    "counts",
    [
        pytest.param({CAT: 1000, DOG: 1000}, id="A"),
        pytest.param({CAT: 1800, DOG: 200}, id="B"),
        pytest.param({CAT: 200, DOG: 1800}, id="B the other way"),
        pytest.param({CAT: 1600, DOG: 400}, id="B2"),
    ],
)
def test_without_a_shortcut_there_is_no_alarm(kind, counts):
    for seed in range(3):
        assert found(kind, counts, seed=seed) == []


@BOTH
@pytest.mark.parametrize("share", [0.15, 0.3, 0.6, 1.0])
def test_dark_cats_are_told(kind, share):
    alarms = found(kind, {CAT: 600, DOG: 600}, share)
    column, side, name, first = alarms[0]
    assert column in DARKNESS
    assert (side, name) in {("low", "cat"), ("high", "dog")}
    told = {column for column, *_ in alarms} | {c for *_, each in alarms for c in each.also}
    assert {"brightness", "contrast", "sharpness"} <= told
    assert first.low > 0.5


@BOTH
@pytest.mark.parametrize("counts", [{CAT: 200, DOG: 1800}, {CAT: 1800, DOG: 200}])
def test_dark_cats_are_told_under_imbalance(kind, counts):
    alarms = found(kind, counts, 1.0)
    column, side, name, first = alarms[0]
    assert column in DARKNESS
    assert (side, name) in {("low", "cat"), ("high", "dog")}
    assert abs(first.auc - 0.5) > 0.45


@BOTH
def test_one_dark_class_of_ten_is_named(kind):
    alarms = found(kind, dict.fromkeys(range(10), 400), 1.0)
    column, side, name, first = alarms[0]
    assert (name, side) == ("cat", "low")
    assert column in DARKNESS
    assert first.auc < 0.05


def test_ten_classes_of_no_pattern_give_no_alarm():
    for seed in range(3):
        assert found("generated", dict.fromkeys(range(10), 400), seed=seed) == []


def test_the_blue_of_ships_is_found_in_cifar():
    alarms = found("cifar", dict.fromkeys(range(10), 400))
    ship = next(
        each for column, _, name, each in alarms if (column, name) == ("yellow_blue", "ship")
    )
    assert ship.auc < 0.25
    assert ship.cue.kind == "low"


def test_sky_and_sea_tell_vehicles_from_animals():
    pixels, labels = images("cifar")
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(labels))[:4000]
    measured = pixel_properties(pixels[rows])
    columns = [Column(name, measured[:, i]) for i, name in enumerate(NAMES)]
    vehicle = np.isin(labels[rows], [0, 1, 8, 9]).astype(int)
    shortcuts, _ = find_shortcuts(columns, vehicle, ["animal", "vehicle"])
    first = next(each for each in shortcuts if each.cue.column == "yellow_blue")
    assert abs(first.auc - 0.5) > 0.25
