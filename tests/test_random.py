"""Random streams: known answers, random access, independence."""

import numpy as np

from tinyrefinery import random


def test_philox_known_answers():
    # Random123's published vectors for philox4x64-10 (Salmon et al., 2011; file kat_vectors).
    # NumPy steps the counter before it draws, so the vector of counter c is drawn from c - 1.
    last = (1 << 256) - 1
    zero = np.random.Philox(key=0, counter=last).random_raw(4)
    assert [f"{w:016x}" for w in zero] == [
        "16554d9eca36314c",
        "db20fe9d672d0fdc",
        "d7e772cee186176b",
        "7e68b68aec7ba23b",
    ]
    ones = np.random.Philox(key=(1 << 128) - 1, counter=last - 1).random_raw(4)
    assert [f"{w:016x}" for w in ones] == [
        "87b092c3013fe90b",
        "438c3c67be8d0224",
        "9cc7d7c69cd777b6",
        "a09caebf594f0ba0",
    ]


def test_a_stream_is_frozen_for_good():
    # Stored labels belong to these draws: a change here makes every old label wrong.
    draws = random.uniform(7, "crop", 3, np.array([0, 70_000]), 3)
    reference = []
    for row in (0, 70_000):
        philox = np.random.Philox(key=random.key(7, "crop", 3))
        philox.advance(row)  # three draws fit into one counter step of four words
        reference.append(np.random.Generator(philox).random(4)[:3])
    np.testing.assert_array_equal(draws, reference)
    assert random.key(7, "crop", 3) == 0xBECEED65FA9AF0053B96B21ED7168041


def test_draws_belong_to_the_sample():
    everyone = random.uniform(0, "crop", 5, np.arange(70_000), 22)
    some = np.array([69_999, 3, 65_536, 3])
    np.testing.assert_array_equal(random.uniform(0, "crop", 5, some, 22), everyone[some])
    for row in (0, 65_535, 65_536):
        alone = random.uniform(0, "crop", 5, np.array([row]), 22)
        np.testing.assert_array_equal(alone[0], everyone[row])


def test_streams_differ_by_each_part_of_their_name():
    rows = np.arange(100)
    base = random.uniform(0, "crop", 0, rows, 4)
    for other in [(1, "crop", 0), (0, "flip", 0), (0, "crop", 1)]:
        assert abs(np.corrcoef(base.ravel(), random.uniform(*other, rows, 4).ravel())[0, 1]) < 0.2
        assert not np.array_equal(base, random.uniform(*other, rows, 4))


def test_many_integers_are_those_of_each_name():
    parts = ["", "a", "Ä", "same", "same"]
    found = random.integers(3, "split", parts)
    assert found.dtype == np.int64
    assert found.tolist() == [random.integer(3, "split", part) for part in parts]
    assert random.integers(3, "split", []).shape == (0,)


def test_draws_are_uniform():
    draws = random.uniform(0, "crop", 0, np.arange(50_000), 4)
    assert draws.min() >= 0
    assert draws.max() < 1
    counts = np.histogram(draws, bins=20, range=(0, 1))[0]
    chi2 = ((counts - 10_000) ** 2 / 10_000).sum()
    assert chi2 < 50  # 19 degrees of freedom: p < 1e-4 beyond


def test_permutation_is_one():
    order = random.permutation(1, "order", 2, 1000)
    assert sorted(order) == list(range(1000))
    assert not np.array_equal(order, random.permutation(1, "order", 3, 1000))
