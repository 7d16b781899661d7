"""`verify` notices every change of an artifact."""

import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest

from tinyrefinery import export
from tinyrefinery.deploy.export.side_files import record_file, vectors_file
from tinyrefinery.deploy.export.verification import verify
from tinyrefinery.errors import CheckpointError

FLIPS = 1000
SCRIPT = Path(__file__).parents[3] / "benchmarks" / "bit_flips.py"


@pytest.fixture(scope="module")
def _exported(tmp_path_factory, _folder):
    (done,) = export(_folder / "run", folder=tmp_path_factory.mktemp("artifact"))
    return done.path


@pytest.fixture
def artifact(_exported, tmp_path):
    for path in (_exported, record_file(_exported), vectors_file(_exported)):
        shutil.copy(path, tmp_path)
    return tmp_path / _exported.name


def test_an_artifact_replays_its_vectors(artifact):
    found = verify(artifact)
    assert found.passed
    assert found.same_class == found.n > 0


def test_every_flipped_bit_is_noticed(artifact):
    content = bytearray(artifact.read_bytes())
    for place in np.random.default_rng(0).integers(0, 8 * len(content), FLIPS):
        byte, bit = divmod(int(place), 8)
        content[byte] ^= 1 << bit
        artifact.write_bytes(content)
        with pytest.raises(CheckpointError, match="SHA-256"):
            verify(artifact)
        content[byte] ^= 1 << bit
    artifact.write_bytes(content)
    assert verify(artifact).passed


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnx", "litert"])
def test_every_flipped_bit_of_the_weights_is_noticed(run, tmp_path, target, request):
    if target == "litert":
        request.getfixturevalue("converter")
    (done,) = export(run, target, folder=tmp_path, int8=True)
    measure = runpy.run_path(str(SCRIPT))["measure"]
    total, weights, flips, noticed, shown = measure(done.path)
    assert 0 < weights < total
    assert noticed == flips == FLIPS
    assert shown < flips  # the test vectors alone don't notice all of them


def test_a_file_that_is_cut_short(artifact):
    artifact.write_bytes(artifact.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="cut short"):
        verify(artifact)


def test_vectors_of_another_artifact(artifact):
    vectors_file(artifact).write_bytes(vectors_file(artifact).read_bytes() + b"x")
    with pytest.raises(CheckpointError, match=r"vectors\.npz: differs"):
        verify(artifact)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "holds list"),
        ('{"format": 1}', "is damaged"),
        ('{"format": 1, "bytes": "9", "sha256": "0", "vectors": {"sha256": "0"}}', "is damaged"),
    ],
)
def test_a_damaged_record(artifact, content, reason):
    record_file(artifact).write_text(content)
    with pytest.raises(CheckpointError, match=rf"\.json: .*{reason}.*Export it again"):
        verify(artifact)


def test_what_is_missing(artifact):
    record_file(artifact).unlink()
    with pytest.raises(CheckpointError, match=r"\.json: there is no such file.*export"):
        verify(artifact)
    with pytest.raises(CheckpointError, match="there is no such file"):
        verify(artifact.with_name("other.onnx"))


def test_a_runtime_that_fails_gets_one_message(artifact, monkeypatch):
    def fail(self, encoded):
        raise RuntimeError("no kernel")

    monkeypatch.setattr("tinyrefinery.models.onnx_file.OnnxNetwork.infer", fail)
    with pytest.raises(CheckpointError, match=r"\.onnx: its runtime can't run it \(no kernel\)"):
        verify(artifact)


def test_other_predictions_do_not_pass(artifact, monkeypatch):
    path = "tinyrefinery.deploy.export.verification.predict_one_by_one"
    monkeypatch.setattr(path, lambda network, inputs: np.full((len(inputs), 2), 0.5))
    found = verify(artifact)
    assert not found.passed
