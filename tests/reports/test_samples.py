"""Samples: the most probable classes of each label, with the distance from crop truth."""

import io
from base64 import b64decode

import numpy as np
import pytest
from PIL import Image
from scipy.stats import entropy

from tinyrefinery.pages.inline import data_uri
from tinyrefinery.reports.samples import read_samples


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_come_back(channels):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    image = Image.open(io.BytesIO(b64decode(data_uri(pixels).split(",")[1])))
    assert np.array_equal(np.asarray(image).reshape(5, 7, channels), pixels)


def test_labels_in_order(run):
    samples = read_samples(run / "samples.npz", most=5)
    arrays = np.load(run / "samples.npz")
    assert len(samples) == 5
    for i, sample in enumerate(samples):
        titles = [label.title for label in sample.labels]
        assert titles == ["ground truth", "true label", "large", "refined"]
        assert len(sample.labels[0].bars) == 1
        assert sample.labels[0].bars[0].right
        large, truth = arrays["labels_large"][i], arrays["truth"][i]
        shown = [bar.probability for bar in sample.labels[2].bars]
        assert shown == sorted(large, reverse=True)[:5]
        assert sample.labels[2].rest == pytest.approx(1 - sum(shown))
        mixed = 0.999 * large + 0.001 / len(large)
        assert sample.labels[2].kl == pytest.approx(entropy(truth, mixed))
        assert sample.labels[1].kl is None


def test_without_crop_truth(run):
    arrays = dict(np.load(run / "samples.npz"))
    del arrays["truth"]
    np.savez(run / "samples.npz", **arrays)
    labels = read_samples(run / "samples.npz")[0].labels
    assert [label.title for label in labels] == ["ground truth", "large", "refined"]
    assert all(label.kl is None for label in labels)
