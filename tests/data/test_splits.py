"""Carving and subsets: shares, groups, determinism, and little change when images are added."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.images import ResidentImages
from tinyrefinery.data.manifest import Manifest
from tinyrefinery.data.splits import choose_stratified, split_named, subset
from tinyrefinery.errors import DataError


def names(n: int) -> np.ndarray:
    return np.array([f"image{i}" for i in range(n)])


def test_each_class_gives_its_share():
    labels = np.repeat([0, 1, 2], [100, 50, 20])
    chosen = choose_stratified(names(170), labels, 0.1, seed=0, name="validation")
    np.testing.assert_array_equal(np.bincount(labels[chosen]), [10, 5, 2])


def test_order_does_not_matter_and_seed_and_name_do():
    labels = np.repeat([0, 1], 100)
    order = np.random.default_rng(0).permutation(200)
    first = choose_stratified(names(200), labels, 0.2, seed=0, name="validation")
    again = choose_stratified(names(200)[order], labels[order], 0.2, seed=0, name="validation")
    np.testing.assert_array_equal(first[order], again)
    for other in ({"seed": 1, "name": "validation"}, {"seed": 0, "name": "test"}):
        assert (choose_stratified(names(200), labels, 0.2, **other) != first).sum() > 20


def test_adding_images_moves_only_those_at_the_edge():
    labels = np.zeros(1000, int)
    before = choose_stratified(names(990), labels[:990], 0.1, seed=0, name="validation")
    after = choose_stratified(names(1000), labels, 0.1, seed=0, name="validation")
    assert (before != after[:990]).sum() <= 2  # 99 chosen of 990, 100 of 1,000


def test_groups_stay_whole_and_copies_are_a_group():
    groups = np.array([f"patient{i // 7}" for i in range(700)])
    labels = np.arange(700) % 2
    chosen = choose_stratified(groups, labels, 0.2, seed=0, name="validation")
    per_group = chosen.reshape(100, 7).mean(1)
    assert set(per_group) == {0.0, 1.0}
    assert 0.17 <= chosen.mean() <= 0.23


def test_a_class_of_two_gives_one_and_a_class_of_one_none():
    labels = np.array([0, 0, 1])
    chosen = choose_stratified(names(3), labels, 0.1, seed=0, name="validation")
    assert chosen[:2].sum() == 1
    assert not chosen[2]


def test_a_huge_group_is_not_taken_for_a_small_share():
    groups = np.array(["huge"] * 90 + ["small"] * 10)
    for seed in range(8):
        chosen = choose_stratified(groups, np.zeros(100, int), 0.1, seed=seed, name="validation")
        assert not chosen[:90].any()


def test_share_zero_takes_nothing():
    assert not choose_stratified(names(5), np.zeros(5, int), 0.0, seed=0, name="x").any()


def test_words_for_splits():
    assert [split_named(word) for word in ("Train", "val", "dev", "test")] == [
        *("train", "validation", "validation", "test"),
    ]
    with pytest.raises(DataError, match=r"unknown split 'tets'.*Did you mean 'test'"):
        split_named("tets")


def dataset(counts: tuple[int, ...] = (60, 30, 10), tests: int = 5) -> Dataset:
    labels = np.concatenate([np.repeat(np.arange(len(counts)), counts), np.zeros(tests, int)])
    n = len(labels)
    table = pa.table(
        {
            "id": [f"{i:04d}" for i in range(n)],
            "path": [f"p{i}" for i in range(n)],
            "label": pa.array(labels, pa.int64()),
            "split": ["train"] * sum(counts) + ["test"] * tests,
        }
    )
    images = torch.arange(n, dtype=torch.uint8).reshape(n, 1, 1, 1)

    def truth(rows: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        return np.repeat(np.asarray(rows, float)[:, None], 3, 1)

    return Dataset("d", Manifest(table, ("a", "b", "c")), ResidentImages(images), truth)


def test_a_subset_keeps_proportions_pixels_truth_and_other_splits():
    whole = dataset()
    part = subset(whole, "train", 20, seed=3)
    rows = part.manifest.rows("train")
    np.testing.assert_array_equal(np.bincount(part.manifest.labels[rows]), [12, 6, 2])
    assert len(part.manifest.rows("test")) == 5
    numbers = part.manifest.column("id").astype(int)
    np.testing.assert_array_equal([part.images.pixels(r)[0, 0, 0] for r in range(25)], numbers)
    assert part.truth is not None
    seen = part.truth(np.array([0, 7]), np.zeros((2, 4)))[:, 0]
    np.testing.assert_array_equal(seen, numbers[[0, 7]])


def test_subsets_nest_and_depend_on_the_seed():
    whole = dataset((50, 50))
    small, large, other = (
        set(subset(whole, "train", n, seed=seed).manifest.column("id"))
        for n, seed in ((20, 0), (40, 0), (20, 1))
    )
    assert small < large
    assert small != other


def test_a_subset_of_odd_size_is_exact():
    for n in (1, 2, 3, 7, 99):
        assert len(subset(dataset(), "train", n).manifest.rows("train")) == n
    whole = dataset()
    assert subset(whole, "train", 100) is whole
    with pytest.raises(DataError, match="empty"):
        subset(whole, "train", 0)
