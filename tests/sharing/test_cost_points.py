"""Points of accuracy and cost come from records, and only equal images share a panel."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.reports.fake_run import write_fake_run
from tests.running import stage_folder
from tinyrefinery.cli.main import app
from tinyrefinery.deploy.export.side_files import Vectors, write_artifact
from tinyrefinery.errors import DataError
from tinyrefinery.reports.pareto import literature
from tinyrefinery.reports.pareto_page import pareto_lines
from tinyrefinery.sharing.cost_points import UNKNOWN_DATA, cost_points

COST = {"flash": 300, "arena": {"head": 1000, "tail": 500}, "macs": 9000}


def write_record(path, digest, drop=True):
    lost = {"network": 0.5, "artifact": 0.4, "points": 10.0, "low": 2.0, "high": 19.0}
    parity = {"images": "40 validation images", "n": 40, "drop": lost if drop else None}
    facts = {"digest": digest, "target": "litert", "precision": "int8", "parity": parity}
    vectors = Vectors(np.zeros((1, 4, 4, 1), np.uint8), np.ones((1, 10), np.float32), 0.1)
    write_artifact(path, b"artifact", vectors, facts | {"cost": COST})
    return path


def test_every_stage_has_a_point_of_its_measures(chain_run):
    panels = cost_points([chain_run]).panels
    (points,) = panels.values()
    assert list(panels) == ["street-numbers, test images"]
    for name, point in zip(("plain", "refined"), points, strict=True):
        stage = stage_folder(chain_run, name)
        measured = json.loads((stage / "evaluation.json").read_text())
        assert point.top1 == pytest.approx(100 * measured["test"]["top1"])
        assert point.interval == pytest.approx([100 * e for e in measured["test"]["top1_interval"]])
        assert point.macs == pytest.approx(measured["cost"]["macs"] / 1e6)
        assert point.bytes == (stage / "model.safetensors").stat().st_size
        assert point.ram is None


def test_an_artifact_is_beside_its_network_on_the_images_of_its_check(chain_run, tmp_path):
    key = json.loads((stage_folder(chain_run, "refined") / "stage.json").read_text())["key"]
    write_record(tmp_path / "exports/net.tflite", key)
    panels = cost_points([chain_run], [tmp_path / "exports"]).panels
    artifact, network = panels["street-numbers, 40 validation images"]
    assert (artifact.name, artifact.top1, artifact.ram, artifact.bytes) == (
        "net.tflite",
        40,
        1500,
        8,
    )
    assert (network.top1, network.n) == (50, 40)
    assert len(panels) == 2


def test_an_artifact_alone_has_unknown_data(tmp_path):
    path = write_record(tmp_path / "net.tflite", "of nobody")
    assert list(cost_points([path]).panels) == [f"{UNKNOWN_DATA}, 40 validation images"]


def test_what_has_no_accuracy_is_named(tmp_path):
    path = write_record(tmp_path / "net.tflite", "of nobody", drop=False)
    with pytest.raises(DataError, match=r"net\.tflite: left out"):
        cost_points([path])


@pytest.mark.parametrize("data", ["cifar10", "imagenet", "street numbers"])
def test_published_networks_are_of_the_same_data(tmp_path, data, monkeypatch):
    from tinyrefinery.sharing import cost_points as module

    real = module.card_facts

    def of(network, **options):
        from dataclasses import replace

        from tinyrefinery.sharing.data_facts import ImageFacts

        images = ImageFacts(data, data, "", "0" * 64, {}, {})
        return replace(real(network, **options), data=images)

    run = write_fake_run(tmp_path / "run", seeds=(0,))
    for file in run.glob("stages/*/done.json"):
        (file.parent / "model.safetensors").write_bytes(file.parent.name.encode())
    monkeypatch.setattr(module, "card_facts", of)
    (points,) = cost_points([run]).panels.values()
    published = [point for point in points if point.family != "ours"]
    assert published == literature(data)
    assert bool(published) == (data != "street numbers")


def test_every_published_point_of_cifar10_has_a_source():
    points = literature("cifar10")
    assert len(points) == 3
    assert all(point.source for point in points)
    assert all("not an MLPerf result" in p.source for p in points if "MLPerf" in p.family)


def test_lines_are_by_cost_and_the_front_is_marked():
    lines = pareto_lines(literature("cifar10"), "bytes")
    assert [line.on_front for line in lines] == [
        True,
        True,
        False,
    ]  # the last has no size on record
    assert lines[-1].bytes == "–"
    assert lines[0].name == "MLPerf Tiny models ResNet8 int8"


def test_the_command_prints_a_table_and_writes_a_page(chain_run, tmp_path):
    arguments = ["pareto", chain_run, "--against", "macs", "--out", tmp_path / "page.html"]
    found = CliRunner().invoke(app, [str(each) for each in arguments])
    assert found.exit_code == 0, found.output
    assert "street-numbers, test images" in found.output
    page = (tmp_path / "page.html").read_text()
    assert "<svg" in page
    assert "Accuracy against multiply-accumulates" in page


def test_an_unknown_cost_is_refused(chain_run):
    found = CliRunner().invoke(app, ["pareto", str(chain_run), "--against", "price"])
    assert found.exit_code == 2
    assert "parameters" in found.output
