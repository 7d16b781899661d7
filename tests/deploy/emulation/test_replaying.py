"""Artifacts on other processors: the real compilers, emulators and library where they are there.

`TINYREFINERY_TFLM` names a source tree of tflite-micro. Without it, or without the compilers and
emulators, the slow tests are skipped.
"""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("ai_edge_litert")

from tests.deploy.bundle.test_bundle import artifact  # noqa: F401  a fixture
from tinyrefinery.cli.main import app
from tinyrefinery.deploy.emulation.replaying import replay
from tinyrefinery.deploy.emulation.tflm_library import include_folders
from tinyrefinery.deploy.export.side_files import Vectors, read_record, read_vectors, write_artifact
from tinyrefinery.deploy.toolchain.processors import PROCESSORS, find_processor
from tinyrefinery.errors import DataError, RefineryError

TREE = os.environ.get("TINYREFINERY_TFLM")


@pytest.mark.slow
@pytest.mark.skipif(TREE is None, reason="TINYREFINERY_TFLM is not set")
@pytest.mark.parametrize("name", PROCESSORS)
def test_a_processor_predicts_what_litert_predicts(artifact, name):  # noqa: F811
    if PROCESSORS[name].missing:
        pytest.skip(f"{PROCESSORS[name].missing} not found")
    found = replay(artifact, name, TREE or "", print)
    assert (found.passed, found.n) == (True, 3)
    assert found.difference <= 1e-6
    if PROCESSORS[name].bare:
        # 4x3 outputs of 4 filters with 3x3x3 weights, and 4x48 products: more instructions.
        assert found.instructions is not None
        assert found.instructions > 4 * 3 * 4 * 27 + 4 * 48
    record, content = read_record(artifact), artifact.read_bytes()
    vectors = read_vectors(artifact, record)
    changed = vectors.outputs.copy()
    changed[1, 2] += 0.01
    facts = {name: value for name, value in record.items() if name not in ("bytes", "vectors")}
    write_artifact(artifact, content, Vectors(vectors.inputs, changed, 1e-6), facts)
    again = replay(artifact, name, TREE or "", print)
    assert (again.passed, again.same) == (False, 2)


def test_a_name_that_is_not_a_processor():
    with pytest.raises(RefineryError, match=r"cortex-m44.*cortex-m4"):
        find_processor("cortex-m44")


def test_a_missing_compiler_is_named_with_its_package(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda program: None)
    with pytest.raises(
        DataError, match=r"aarch64-linux-gnu-g\+\+.*qemu-aarch64 not found.*qemu-user"
    ):
        find_processor("aarch64")


def test_a_folder_that_is_not_the_library(tmp_path):
    with pytest.raises(DataError, match="not a source tree of LiteRT for Microcontrollers"):
        include_folders(tmp_path)
    header = tmp_path / "tensorflow/lite/micro/micro_interpreter.h"
    header.parent.mkdir(parents=True)
    header.touch()
    with pytest.raises(DataError, match=r"has no flatbuffers.*third_party_downloads"):
        include_folders(tmp_path)


def test_the_command_needs_the_library(tmp_path: Path, monkeypatch):
    monkeypatch.delenv("TINYREFINERY_TFLM", raising=False)
    done = CliRunner().invoke(app, ["verify", str(tmp_path / "a.tflite"), "--on", "cortex-m4"])
    assert done.exit_code == 2
    assert "--tflm FOLDER" in done.output
