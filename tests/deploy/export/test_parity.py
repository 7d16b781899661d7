"""The comparison of an artifact with its network, against numbers by hand."""

import numpy as np
import pytest

from tinyrefinery.deploy.export.parity import compare, divergence

ONE = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]], np.float32)


def test_differences_and_drop_by_hand():
    other = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.7, 0.3]], np.float32)
    found = compare(ONE, other, np.array([0, 1, 0, 1]), "4 images", max_drop=0.5)
    assert found.probability == pytest.approx(0.2)
    assert found.agreement == 0.75
    # |log 0.6 - log 0.4| = 0.405, and the largest log-probability is log 0.1 = -2.303.
    assert found.logit == pytest.approx(0.4055 / 2.3026, abs=1e-4)
    assert found.drop.network == 0.75
    assert found.drop.artifact == 0.5
    assert found.drop.points == pytest.approx(25)
    assert found.drop.low < 25 < found.drop.high
    assert found.verdict == "UNPROVEN"


def test_verdict_of_a_float_artifact_is_by_its_logits():
    labels = np.array([0, 1, 0, 1])
    assert compare(ONE, ONE, labels, "", max_drop=None).verdict == "PASS"
    near = ONE * np.float32(1 + 5e-4)
    assert compare(ONE, near, labels, "", max_drop=None).verdict == "FAIL"


def test_a_network_that_amplifies_rounding_bounds_its_artifact_by_its_own_error():
    labels = np.array([0, 1, 0, 1])
    largest = np.log(10)  # of the smallest probability, 0.1
    exact = ONE * np.exp(1e-3 * largest)  # the network itself is off by 1e-3
    near, far = (ONE * np.exp(-share * largest) for share in (2e-3, 5e-3))

    def by(found, reference):
        return compare(ONE, found, labels, "", max_drop=None, exact=lambda: reference)

    found = by(near, exact)
    assert found.verdict == "PASS"
    assert found.rounding == pytest.approx(1e-3, rel=1e-2)
    assert found.bound == pytest.approx(4e-3, rel=1e-2)
    assert by(far, exact).verdict == "FAIL"
    # A network that is exact to 1e-6 keeps the bound of 1e-4.
    assert by(near, ONE * np.exp(1e-6)).bound == 1e-4
    assert by(near, ONE * np.exp(1e-6)).verdict == "FAIL"
    assert by(near, None).verdict == "FAIL"


def test_verdict_of_an_int8_artifact_is_by_the_interval():
    labels = np.zeros(2000, int)
    good, bad = np.tile([[0.9, 0.1]], (2000, 1)), np.tile([[0.1, 0.9]], (2000, 1))
    half = np.r_[good[:1000], bad[:1000]]
    assert compare(good, good, labels, "", max_drop=0.5).verdict == "PASS"
    assert compare(good, half, labels, "", max_drop=0.5).verdict == "FAIL"
    assert compare(good, half, labels, "", max_drop=60).verdict == "PASS"
    assert compare(good, good, None, "", max_drop=0.5).verdict == "UNPROVEN"


def test_divergence_by_hand():
    other = np.array([[0.5, 0.5]])
    expected = 0.9 * np.log(0.9 / 0.5) + 0.1 * np.log(0.1 / 0.5)
    assert divergence(ONE[:1], other) == pytest.approx(expected, rel=1e-6)
    assert divergence(ONE, ONE) == 0


def test_probabilities_of_zero_are_compared():
    zero = np.array([[1.0, 0.0]], np.float32)
    tiny = np.array([[1.0, 1e-38]], np.float32)
    assert compare(zero, tiny, None, "", max_drop=None).verdict == "PASS"


def test_images_needed_to_prove_a_small_drop():
    good, labels = np.eye(4)[np.arange(400) % 4], np.arange(400) % 4
    found = compare(good, good, labels, "", max_drop=0.5)
    assert found.verdict == "UNPROVEN"
    # No image was lost. The interval's end shrinks at least with the root of the number of images.
    many = found.images_needed
    assert many == pytest.approx(400 * (found.drop.high / 0.5) ** 2, abs=1)
    labels = np.arange(many) % 4
    assert compare(np.eye(4)[labels], np.eye(4)[labels], labels, "", max_drop=0.5).verdict == "PASS"
    bad = np.roll(good, 1, axis=1)
    assert compare(good, bad, labels[:400], "", max_drop=0.5).images_needed is None
