"""Networks behind HTTP endpoints."""

import threading

import numpy as np
import pytest
import torch

from tests.networks.endpoint import FACTS, Endpoint, by_color, serving
from tinyrefinery.errors import CheckpointError
from tinyrefinery.models import http_network
from tinyrefinery.networks.opening import open_network


@pytest.fixture
def endpoint(monkeypatch):
    monkeypatch.setattr(http_network, "WAITS", (0.0, 0.0))
    with serving(Endpoint()) as server:
        yield server


def test_pictures_arrive_unchanged_and_probabilities_come_back(endpoint):
    network = open_network(endpoint.url)
    pixels = np.random.default_rng(0).integers(0, 256, (45, 3, 16, 16), dtype=np.uint8)
    found = network.load()(torch.from_numpy(pixels) / 255).softmax(1)
    assert endpoint.posts == [20, 20, 5]  # as many at once as it takes
    sent = np.concatenate(endpoint.pictures)
    assert (sent == pixels.transpose(0, 2, 3, 1)).all()
    np.testing.assert_allclose(found, by_color(sent), atol=1e-6)
    assert (network.info.classes, network.info.size) == (tuple(FACTS["classes"]), (16, 16))


def test_gray_pictures():
    facts = FACTS | {"channels": 1}
    with serving(Endpoint(facts, lambda pixels: np.full((len(pixels), 10), 0.1))) as server:
        open_network(server.url).load()(torch.rand(2, 1, 16, 16))
        assert server.pictures[0].shape == (2, 16, 16)


def test_a_busy_server_is_tried_again(endpoint):
    network = open_network(endpoint.url).load()
    endpoint.failures = [503, 429]
    assert network(torch.rand(3, 3, 16, 16)).shape == (3, 10)
    endpoint.failures = [503, 503, 503]
    with pytest.raises(CheckpointError, match=f"{endpoint.url}: .*HTTP 503.*Check that it runs"):
        network(torch.rand(3, 3, 16, 16))


def test_a_refusal_is_not_repeated(endpoint):
    endpoint.failures = [404]
    with pytest.raises(CheckpointError, match="HTTP 404"):
        open_network(endpoint.url)
    assert endpoint.failures == []
    open_network(endpoint.url)


def test_a_server_that_hangs(endpoint, monkeypatch):
    network = open_network(endpoint.url).load()
    monkeypatch.setattr(http_network, "SECONDS", 0.2)
    wait = threading.Event()
    endpoint.predict = lambda pixels: wait.wait(5) or by_color(pixels)
    with pytest.raises(CheckpointError, match=r"doesn't answer .*timed out"):
        network(torch.rand(1, 3, 16, 16))
    wait.set()


def test_no_server(monkeypatch):
    monkeypatch.setattr(http_network, "WAITS", ())
    with serving(Endpoint()) as server:
        url = server.url
    with pytest.raises(CheckpointError, match=f"{url}: the endpoint doesn't answer"):
        open_network(url)


@pytest.mark.parametrize(
    ("facts", "names"),
    [
        ({"classes": ["a"]}, "classes"),
        ({"size": [16]}, "size"),
        ({"version": None}, "version"),
        ({"channels": 4}, "channels"),
        ({"batch": 0, "size": "16"}, "size, batch"),
    ],
)
def test_wrong_facts(facts, names):
    endpoint = Endpoint(FACTS | facts)
    refused = pytest.raises(CheckpointError, match=f"no valid {names}")
    with serving(endpoint) as server, refused:
        open_network(server.url)


@pytest.mark.parametrize(
    ("predict", "message"),
    [
        (lambda p: np.full((len(p), 9), 1 / 9), r"shape \(1, 9\) for 1 pictures and 10 classes"),
        (lambda p: np.full((len(p), 10), 0.2), "must sum to 1"),
        (lambda p: np.full((len(p), 10), np.nan), "wrong probabilities"),
        (lambda p: np.array(["x"]), "no valid probabilities"),
    ],
)
def test_wrong_probabilities(predict, message):
    with serving(Endpoint(predict=predict)) as server:
        network = open_network(server.url).load()
        with pytest.raises(CheckpointError, match=message):
            network(torch.rand(1, 3, 16, 16))


def test_the_version_is_part_of_the_identity():
    digests = set()
    for version in ("1", "2", "1"):
        with serving(Endpoint(FACTS | {"version": version})) as server:
            digests.add(open_network(server.url).digest)
    assert len(digests) == 2
