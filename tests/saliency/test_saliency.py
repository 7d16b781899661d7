"""Maps of runs: the same as those made by hand; overlays of a page stay within their budget."""

import numpy as np
import pytest
import torch

from tests.networks.runs import write_network
from tinyrefinery.data_tests.session import run_tests
from tinyrefinery.errors import DataError, RefineryError
from tinyrefinery.evaluation import cost
from tinyrefinery.models.network_file import load_network
from tinyrefinery.networks.opening import open_network
from tinyrefinery.networks.stored_predictions import pictures
from tinyrefinery.options.perturbation import Perturbation
from tinyrefinery.saliency import picking
from tinyrefinery.saliency.explainer import Explainer, MapSettings, page_overlay
from tinyrefinery.saliency.maps import occlusion

TESTS = """
tests:
  all: {at_least: 1}
  dim: {perturb: {gain: 0.5}, metric: flip_rate, at_most: 0}
  fine: {at_least: 0}
"""


@pytest.fixture
def network(run):
    return open_network(run)


@pytest.fixture
def session(run, tmp_path, network):
    path = tmp_path / "data_tests.yaml"
    path.write_text(TESTS)
    return run_tests(path, network)


def by_hand(network, seen, wanted, window, stride):
    """Occlusion of pictures that are normalized here, by the file's own network."""
    net, info = load_network(network.file)
    pixels = torch.from_numpy(seen).permute(0, 3, 1, 2).float() / 255
    images = (pixels - info.mean[0]) / info.std[0]
    return occlusion(lambda x: net(x).softmax(1), images, wanted, window=window, stride=stride)


def test_maps_are_those_of_the_networks_input(network):
    data = picking.data_to_show(network)
    found = Explainer(network, data, MapSettings("occlusion", 4, 4)).explain([3, 100, 7])
    show = pictures(network, data)
    seen = np.stack([show(row, None)[1] for row in (3, 100, 7)])
    np.testing.assert_array_equal(found.inputs, seen)
    said = found.probabilities.argmax(axis=1)
    assert (found.classes == said).all()
    # pictures are rounded to whole grey levels, the network's input is not
    np.testing.assert_allclose(found.maps, by_hand(network, seen, said, 4, 4), atol=0.02)
    given = Explainer(network, data, MapSettings("occlusion", 4, 4)).explain(
        [3], classes=[1 - said[0]]
    )
    np.testing.assert_allclose(given.maps[0], -found.maps[0], atol=1e-6)  # of two classes


def test_a_perturbed_image_is_looked_at_as_it_was_tested(network):
    data = picking.data_to_show(network)
    plain = Explainer(network, data).explain([5])
    dim = Explainer(network, data).explain([5], Perturbation(gain=0.5))
    np.testing.assert_allclose(dim.inputs, np.rint(0.5 * plain.inputs), atol=1)
    assert not np.allclose(dim.maps, plain.maps)


def test_the_most_confident_errors_come_first(network):
    data = picking.data_to_show(network)
    picked = picking.most_confident_errors(network, data, "test", 5)
    said = Explainer(network, data).explain(picked.rows).probabilities
    labels = data.manifest.labels[picked.rows]
    assert (said.argmax(axis=1) != labels).all()
    sure = said.max(axis=1) - said[np.arange(len(labels)), labels]
    assert (np.diff(sure) <= 1e-6).all()
    assert set(data.manifest.column("split")[picked.rows]) == {"test"}
    more = picking.most_confident_errors(network, data, "any", 10_000)
    assert f"the most confident of {len(more.rows):,} errors among 240 images" in more.why


def test_failures_of_a_test(session):
    picked = picking.failures_of(session, "dim", 3)
    assert picked.rows.tolist() == list(session.results[1].worst[:3])
    assert picked.how == Perturbation(gain=0.5)
    with pytest.raises(RefineryError, match="Did you mean 'dim'"):
        picking.failures_of(session, "dmi", 3)


def test_what_can_not_be_shown_is_reported(network, tmp_path):
    data = picking.data_to_show(network)
    with pytest.raises(DataError, match="no row 240; the data has rows 0 to 239"):
        picking.given_rows(data, [3, 240])
    with pytest.raises(DataError, match="no image in split 'tset'; splits: train, validation"):
        picking.most_confident_errors(network, data, "tset", 3)
    file = open_network(write_network(tmp_path / "shipped.safetensors", "shipped"))
    with pytest.raises(RefineryError, match=r"Name the images, e\.g\. data\.source\.root"):
        picking.data_to_show(file)
    with pytest.raises(RefineryError, match=r"only data\.source\.NAME=VALUE"):
        picking.data_to_show(network, ["seed=3"])
    with pytest.raises(RefineryError, match="data"):
        picking.data_to_show(network, ["data.source.rot=photos"])


def test_overrides_name_other_data(network, photos, tmp_path):
    file = open_network(write_network(tmp_path / "shipped.safetensors", "shipped"))
    data = picking.data_to_show(file, [f"data.source.root={photos}"])
    assert len(data.manifest) == 240
    scenes = ["data.source.name=street_numbers", "data.source.train=5", "data.source.test=5"]
    with pytest.raises(RefineryError, match="has no output for some of the data"):
        picking.data_to_show(network, scenes)


def test_overlays_of_a_page_stay_within_the_budget(session):
    results = [each for each in session.results if each.worst]
    explainer = Explainer(session.network, session.data)
    net, info = load_network(session.network.file)
    assert explainer.macs == (1 + 49) * cost.macs(net, 1, info.size)  # 16 pixels: 4 wide, 2 apart
    allowed = 2
    overlay = page_overlay(session, budget=explainer.macs * len(session.results) * allowed + 1)
    for result in results:
        made = [overlay(result, row) is not None for row in result.worst[:5]]
        assert made[:2] == [True, True]
        assert sum(made) < 5
    assert page_overlay(session, budget=0)(results[0], results[0].worst[0]) is None
    picture = page_overlay(session)(results[0], results[0].worst[0])
    assert picture is not None
    assert picture.shape == (16, 16, 4)
    assert picture.dtype == np.uint8
