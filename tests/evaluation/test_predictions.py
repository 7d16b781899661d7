"""Predictions: made in the right mode, kept bit for bit, refused when they make no sense."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tinyrefinery.data.augmentation import Crops
from tinyrefinery.errors import DataError
from tinyrefinery.evaluation.predictions import Predictions, predict

CLASSES = ("nought", "œuf\x1f", "<b>")


def made(n: int = 20, seed: int = 0) -> Predictions:
    random = np.random.default_rng(seed)
    return Predictions(
        ids=np.array([f"{i:064x}" for i in range(n)], dtype=object),
        rows=np.arange(n) + 5,
        labels=random.integers(0, 3, n),
        probabilities=random.dirichlet(np.ones(3), n).astype(np.float32),
        classes=CLASSES,
    )


def fake_view(n: int = 40) -> SimpleNamespace:
    """Something that renders as a `View` does."""
    images = torch.randn(n, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    manifest = SimpleNamespace(
        classes=CLASSES,
        labels=np.arange(n) % 3,
        column=lambda name: np.array([f"{name}{i}" for i in range(n)], dtype=object),
    )
    seen: list[tuple[list[int], int]] = []

    def crops(rows: np.ndarray, epoch: int) -> Crops:
        return Crops(np.zeros((len(rows), 4)), np.zeros(len(rows), bool))

    def render_many(
        rows: np.ndarray, epochs: list[int], draws: list[Crops]
    ) -> list[SimpleNamespace]:
        seen.extend((list(rows), epoch) for epoch in epochs)
        return [SimpleNamespace(images=images[torch.as_tensor(rows)]) for _ in epochs]

    dataset = SimpleNamespace(manifest=manifest)
    return SimpleNamespace(
        render_many=render_many, crops=crops, dataset=dataset, images=images, seen=seen
    )


def network(outputs: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.BatchNorm2d(2), nn.Flatten(), nn.Dropout(0.5), nn.Linear(32, outputs)]
    made = nn.Sequential(*layers).train()
    made[0].eval()  # a frozen layer must stay frozen
    made[0].running_mean.fill_(0.3)
    return made


@pytest.mark.parametrize("n", [0, 20])
def test_save_and_load(tmp_path, n):
    before, path = made(n), tmp_path / "new" / "predictions-test.parquet"
    before.save(path)
    after = Predictions.load(path)
    assert after.classes == CLASSES
    assert after.probabilities.dtype == np.float32
    for name in ("ids", "rows", "labels", "probabilities", "predicted"):
        assert np.array_equal(getattr(before, name), getattr(after, name)), name
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_columns_are_for_everybody(tmp_path):
    made().save(tmp_path / "p.parquet")
    import pandas

    frame = pandas.read_parquet(tmp_path / "p.parquet")
    assert list(frame.columns) == ["id", "row", "label", "predicted", "probabilities"]
    assert frame["predicted"].tolist() == [int(np.argmax(p)) for p in frame["probabilities"]]


@pytest.mark.parametrize("keep", [0, 100, -20])
def test_truncated_file_names_itself(tmp_path, keep):
    path = tmp_path / "p.parquet"
    made().save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"p\.parquet: no readable predictions"):
        Predictions.load(path)


def test_missing_and_foreign_files(tmp_path):
    import pandas

    with pytest.raises(DataError, match="no readable predictions"):
        Predictions.load(tmp_path / "none.parquet")
    pandas.DataFrame({"id": ["a"]}).to_parquet(tmp_path / "p.parquet")
    with pytest.raises(DataError, match="no readable predictions"):
        Predictions.load(tmp_path / "p.parquet")


def test_divergence_is_named():
    good = made()
    broken = good.probabilities.copy()
    broken[3, 1] = np.nan
    with pytest.raises(DataError, match=r"1 of 20 rows.*row 8.*learning rate"):
        Predictions(good.ids, good.rows, good.labels, broken, CLASSES)
    with pytest.raises(DataError, match="sizes don't match"):
        Predictions(good.ids[1:], good.rows, good.labels, good.probabilities, CLASSES)
    with pytest.raises(DataError, match="not one of the 3 classes"):
        Predictions(good.ids, good.rows, good.labels + 3, good.probabilities, CLASSES)


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_predict_is_the_networks_softmax(batch_size):
    view, net = fake_view(), network()
    rows = np.array([31, 2, 2, 17, 0, 39, 8, 9])
    got = predict(net, view, rows, batch_size)
    weights = net[3].weight.detach().double().numpy()
    normed = (view.images[rows].double().numpy() - 0.3) / np.sqrt(1 + 1e-5)
    logits = normed.reshape(8, -1) @ weights.T + net[3].bias.detach().double().numpy()
    reference = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(got.probabilities, reference, atol=1e-6)
    assert got.ids[0] == "id31"
    assert got.labels.tolist() == (rows % 3).tolist()
    assert [row for batch, _ in view.seen for row in batch] == rows.tolist()
    assert {epoch for _, epoch in view.seen} == {0}


def test_predict_leaves_the_network_as_it_was():
    net = network()
    modes = [m.training for m in net.modules()]
    state = {name: value.clone() for name, value in net.state_dict().items()}
    predict(net, fake_view(), np.arange(9), 4)
    assert [m.training for m in net.modules()] == modes
    assert all(torch.equal(state[name], value) for name, value in net.state_dict().items())
    with pytest.raises(DataError, match="4 classes but the data has 3"):
        predict(wide := network(outputs=4), fake_view(), np.arange(9))
    assert [m.training for m in wide.modules()] == modes


def test_half_precision_networks_give_float32_rows_that_sum_to_one():
    got = predict(network().bfloat16(), _bfloat16(fake_view()), np.arange(9))
    assert got.probabilities.dtype == np.float32


def _bfloat16(view: SimpleNamespace) -> SimpleNamespace:
    inner = view.render_many
    view.render_many = lambda *where: [
        SimpleNamespace(images=each.images.bfloat16()) for each in inner(*where)
    ]
    return view


def test_no_rows():
    assert len(predict(network(), fake_view(), np.empty(0, np.int64))) == 0


def test_reading_needs_no_torch():
    code = (
        "import sys, tinyrefinery.evaluation.predictions, tinyrefinery.evaluation.summary;"
        "import tinyrefinery.statistics.paired; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
