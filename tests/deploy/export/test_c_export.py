"""Export to C: sources that predict what the network predicts, or none."""

import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("ai_edge_litert")

from tests.deploy.export.test_export import PIXELS, by_hand
from tests.deploy.integer.tflm_reference import tflm_case
from tinyrefinery import export
from tinyrefinery.cli.main import app
from tinyrefinery.deploy.c_source.source_check import check_sources
from tinyrefinery.deploy.export.c_export import Expected, export_c
from tinyrefinery.deploy.integer.integer_lowering import plan_network
from tinyrefinery.deploy.integer.integer_run import run_plan
from tinyrefinery.errors import RecipeError

RECORD = {
    **{"version": "0.1.0", "network": "a run", "sha256": "00", "input": "normalized images"},
    **{"size": [5, 7], "calibration": "minmax", "classes": list("abcdefg"), "stage": "plain"},
    "vectors": {"file": "x"},
}

compiles = pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")


@compiles
def test_c_sources_predict_what_the_network_predicts(run, tmp_path, converter):
    for _ in range(2):  # like other artifacts, they are replaced by another export
        (done,) = export(run, "c", folder=tmp_path)
    artifact = tmp_path / done.record["from"]
    found = run_plan(plan_network(artifact), PIXELS)
    assert np.abs(found - by_hand(run)).max() < 0.1
    checked = check_sources(done.path.parent, "host")
    assert (checked.passed, checked.vectors, done.written) == (True, 2, True)
    record = json.loads((done.path.parent / "record.json").read_text())
    assert record["bytes"] == done.path.stat().st_size
    assert record["parity"]["verdict"] == done.parity.verdict
    assert record["size"]["zeroed"] >= record["arena"] > 0
    both = export(run, ["litert", "c"], folder=tmp_path, int8=True)
    assert [each.path for each in both] == [artifact, done.path]


def test_c_is_int8(run, tmp_path):
    with pytest.raises(RecipeError, match="--to c is int8: add --int8"):
        export(run, ["onnx", "c"], folder=tmp_path)
    with pytest.raises(RecipeError, match="leave --keep-float out"):
        export(run, "c", folder=tmp_path, keep_float=2)


def _expected(probabilities: np.ndarray, right: np.ndarray) -> Expected:
    return Expected(probabilities, right, "6 images", max_drop=0.5)


def test_sources_that_predict_something_else_are_not_written(tmp_path):
    path, images, outputs = tflm_case("mean", tmp_path)
    shares = (outputs.astype(np.float32) + 128) / 256
    classes = shares.argmax(axis=1)
    made = export_c(path, RECORD, images, _expected(shares, classes))
    assert (made.parity.agreement, made.parity.drop.points) == (1, 0)
    assert (made.path.name, made.path.exists()) == ("mean.c", True)
    assert "vectors" not in made.record
    shutil.rmtree(made.path.parent)
    other = np.roll(shares, 1, axis=1)
    made = export_c(path, RECORD, images, _expected(other, other.argmax(axis=1)))
    assert (made.parity.verdict, made.parity.agreement) == ("FAIL", 0)
    assert not made.path.parent.exists()


@compiles
def test_the_command_verifies_a_folder(tmp_path):
    path, images, outputs = tflm_case("mean", tmp_path)
    labels = outputs.argmax(axis=1)
    folder = export_c(path, RECORD, images, _expected(outputs / 256 + 0.5, labels)).path.parent
    done = CliRunner().invoke(app, ["verify", str(folder)])
    assert (done.exit_code, "host: PASS. 0 of 14 outputs" in done.output) == (0, True)
    check = folder / "mean_check.c"
    # The first number of the expected outputs, in the second table of numbers.
    head, tail = check.read_text().split("expected[VECTORS]", 1)
    first = str(int(outputs[0, 0]))
    check.write_text(f"{head}expected[VECTORS]{tail.replace(f' {first},', ' 99,', 1)}")
    done = CliRunner().invoke(app, ["verify", str(folder), "--on", "host"])
    assert (done.exit_code, "host: FAIL. 1 of 14" in done.output) == (1, True)
    done = CliRunner().invoke(app, ["verify", str(tmp_path)])
    assert (done.exit_code, "holds no C sources" in done.output) == (2, True)
