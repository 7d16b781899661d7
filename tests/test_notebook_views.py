"""Views in notebooks: complete, and nothing of the user's unescaped."""

import numpy as np
import pyarrow as pa
import torch

from tests.networks.runs import write_network
from tinyrefinery.audit.checks import Audit
from tinyrefinery.audit.finding import Finding
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.images import ResidentImages
from tinyrefinery.data.manifest import Manifest
from tinyrefinery.execution.chain import Chain, Generation
from tinyrefinery.networks.opening import open_network

EVIL = '<script>"x"</script>'


def check(text: str, *words: str) -> None:
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert all(word in text for word in words)


def test_a_dataset_shows_counts_and_pictures():
    columns = {
        "id": ["a", "b", "c"],
        "path": ["a", "b", "c"],
        "label": pa.array([0, 1, 1], pa.int64()),
        "split": ["train", "train", "test"],
    }
    images = ResidentImages(torch.zeros(3, 3, 4, 4, dtype=torch.uint8))
    data = Dataset("d", Manifest(pa.table(columns), (EVIL, "dog")), images)
    text = data._repr_html_()
    check(text, "d: 3 images, 2 classes", "<td>dog</td><td>1</td><td>1</td>")
    assert text.count("<img ") == 3


def test_a_chain_shows_its_generations():
    chain = Chain(2, 10, None)
    measured = {"test": {"top1": 0.75}}
    chain.add(Generation(EVIL, torch.nn.Identity(), 0.5, evaluation=measured))
    check(chain._repr_html_(), "<td>50.0 %</td><td>75.0 %</td>")
    assert "50.0%" in repr(chain)


def test_a_network_shows_classes_and_input(tmp_path):
    file = write_network(tmp_path / "n.safetensors", "any", ("no_person", "person", EVIL))
    check(open_network(file)._repr_html_(), "16x16 pixels", "3: no_person")


def test_an_audit_shows_its_findings():
    finding = Finding("leak", "error", EVIL, "here", "delete it")
    found = Audit((finding,), {}, (), pa.table({"x": np.arange(1)}))
    check(found._repr_html_(), "delete it")
