"""Weights by each reading, against equations 3 and 6 in float64 on the same feature maps."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from tinyrefinery.data.batches import View, shuffled
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.images import ResidentImages
from tinyrefinery.data.manifest import Manifest
from tinyrefinery.data.open import open_data
from tinyrefinery.errors import DataError
from tinyrefinery.models import create
from tinyrefinery.options.crops import Center
from tinyrefinery.variance.bias_weights import READINGS, bias_weights


@pytest.fixture(scope="module")
def seen():
    """A view, its rows, a network, and its feature maps in float64."""
    data = open_data("street_numbers", train=8, validation=8, test=25, digits=1, width=32)
    torch.manual_seed(0)
    network = create("street_cnn", 10, size=24, channels=1, widths=[4, 8]).eval()
    view = View(data, Center(size=24), 0, (0.5,), (0.2,))
    rows = data.manifest.rows("test")
    with torch.inference_mode():
        # As in training, whoever shares a batch is drawn.
        maps = network.forward_features(view.render(shuffled(rows, 0, 0), 0).images)
    return view, rows, network, maps.double().numpy()


def test_each_reading_is_its_formula(seen):
    view, rows, network, maps = seen
    found = bias_weights(network, view, rows, batch=8)
    assert found.keys() == READINGS.keys()
    floor, expected = np.inf, {name: [] for name in READINGS}
    for start in (0, 8, 16):  # the 25th fills no batch
        part = maps[start : start + 8]
        v = part.reshape(8, -1).var(axis=1, ddof=1)
        floor = min(floor, v.min())
        z = {
            "paper": np.exp(0.3 * (v - part.min()) / (part.max() - part.min())) - 0.3,
            "variances": np.exp(0.3 * (v - v.min()) / np.ptp(v)) - 0.3,
            "running_minimum": np.exp(0.3 * (v - floor) / np.ptp(v)) - 0.3,
            "checkpoints": np.exp(0.3 * (v - floor) / np.ptp(v)) - 1 + 0.3,
        }
        for name in ("paper", "variances"):
            z[name] = z[name].clip(0.5, 1.5)
        for name, values in z.items():
            expected[name] += list(values)
    # As printed, v is scaled from the least activation, not from the least variance.
    for name in ("variances", "running_minimum", "checkpoints", "paper"):
        np.testing.assert_allclose(found[name], expected[name], rtol=2e-4, err_msg=name)


def test_too_few_images_are_told(seen):
    view, rows, network, _ = seen
    with pytest.raises(DataError, match="batch of 128 images, but there are 25"):
        bias_weights(network, view, rows)


class Painted(nn.Module):
    """Feature maps whose variance is that of the image, and nothing else."""

    def forward_features(self, images):
        return images


def test_batches_are_mixed_whatever_the_order_of_the_images():
    """Sorted by class, each batch would fill the whole range of weights by itself."""
    contrast = np.repeat([10, 60, 110], 128)[:, None, None]  # of three classes, in a folder's order
    noise = np.random.default_rng(0).integers(-1, 2, (384, 8, 8)) * contrast + 128
    images = torch.from_numpy(noise[:, None].astype(np.uint8))
    table = pa.table(
        {
            "id": [f"{n:03}" for n in range(384)],
            "path": [str(n) for n in range(384)],
            "label": np.repeat([0, 1, 2], 128),
            "split": ["test"] * 384,
        }
    )
    data = Dataset("sorted", Manifest(table, ("a", "b", "c")), ResidentImages(images), None, ())
    view = View(data, Center(size=8), 0, (0.5,), (0.2,))
    found = bias_weights(Painted(), view, np.arange(384))["variances"]
    assert found.shape == (384,)
    third = np.sort(found)[:128]  # the class of least contrast is weighed least, all of it
    assert third.max() < 0.75
