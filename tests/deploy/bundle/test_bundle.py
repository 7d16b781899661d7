"""Bundles: their C is compiled here, their script is run, and both give what LiteRT gives."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("ai_edge_litert")

from tests.device.litert_files import Writer
from tinyrefinery.data.decode import decode
from tinyrefinery.deploy.bundle import bundling
from tinyrefinery.deploy.bundle.bundling import write_bundle
from tinyrefinery.deploy.bundle.tflm_operators import register_methods
from tinyrefinery.deploy.c_source.c_text import c_string
from tinyrefinery.deploy.c_source.source_check import check_sources
from tinyrefinery.deploy.export.side_files import (
    Vectors,
    read_record,
    read_vectors,
    vectors_file,
    write_artifact,
)
from tinyrefinery.errors import CheckpointError, DataError
from tinyrefinery.models.litert_file import LiteRtNetwork

STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
NAMES = ["cat", 'a "quoted" ??/ name', "back\\slash\n7", "žlutý kůň"]
MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]

compiles = pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """A LiteRT file of two layers with its record and three vectors."""
    writer = Writer()
    start = writer.tensor((1, 8, 6, 3))
    image = writer.conv(start, 4, stride=2)
    pooled = writer.operator("RESHAPE", "ReshapeOptions", [image], (1, 4 * 4 * 3), newShape=[1, 48])
    weights = np.random.default_rng(0).integers(-127, 127, (4, 48)).astype(np.int8)
    dense = [
        pooled,
        writer.tensor((4, 48), weights),
        writer.tensor((4,), np.arange(4, dtype=np.int32)),
    ]
    end = writer.operator("FULLY_CONNECTED", "FullyConnectedOptions", dense, (1, 4))
    path = writer.write(tmp_path / "net.tflite", [start], [end])
    inputs = np.random.default_rng(1).integers(-128, 128, (3, 8, 6, 3)).astype(np.int8)
    network = LiteRtNetwork(path)
    outputs = np.concatenate([network.infer(inputs[i : i + 1]) for i in range(3)])
    facts = {
        **{"classes": NAMES, "size": [8, 6], "channels": 3, "mean": MEAN, "std": STD},
        **{"resize": 9, "input": "(pixels / 255 - mean) / std", "output": "probabilities"},
        **{"preprocessing": "metadata", "network": "a run */ refined", "version": "0.1.0"},
    }
    write_artifact(path, path.read_bytes(), Vectors(inputs, outputs, 1e-6), facts)
    return path


def run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@compiles
def test_the_model_and_its_vectors_are_the_same_in_c(artifact, tmp_path):
    made = write_bundle(artifact, "mcu", tmp_path / "mcu", vectors=3)
    (tmp_path / "dump.cc").write_text(
        '#include <cstdio>\n#include "model_data.h"\n#include "test_vectors.h"\n'
        "int main() {\n"
        "  std::fwrite(classifier_model, 1, CLASSIFIER_MODEL_BYTES, stdout);\n"
        "  std::fwrite(classifier_test_images, 1, sizeof classifier_test_images, stdout);\n"
        "  std::fwrite(classifier_test_outputs, 1, sizeof classifier_test_outputs, stdout);\n"
        "}\n"
    )
    files = [made.folder / name for name in ("model_data.cc", "test_vectors.cc")]
    program = tmp_path / "dump"
    run(
        "g++", "-std=c++17", *STRICT, "-I", made.folder, tmp_path / "dump.cc", *files, "-o", program
    )
    written = subprocess.run([program], capture_output=True, check=True).stdout
    with np.load(vectors_file(artifact)) as vectors:
        expected = vectors["inputs"].tobytes() + vectors["outputs"].tobytes()
    assert written == artifact.read_bytes() + expected


@compiles
def test_the_header_is_c99(artifact, tmp_path):
    made = write_bundle(artifact, "mcu", tmp_path / "mcu")
    for name in ("classifier.h", "model_data.h", "test_vectors.h"):
        (tmp_path / "use.c").write_text(f'#include "{name}"\nint main(void) {{ return 0; }}\n')
        run("gcc", "-std=c99", *STRICT, "-fsyntax-only", "-I", made.folder, tmp_path / "use.c")


@compiles
def test_strings_are_what_the_compiler_reads(tmp_path):
    texts = [*NAMES, "\x01" + "7", "100%", "?", ""]
    lines = "".join(f"std::puts({c_string(text)}); std::putchar(0);" for text in texts)
    (tmp_path / "say.cc").write_text(f"#include <cstdio>\nint main() {{ {lines} }}\n")
    run("g++", "-std=c++14", "-trigraphs", *STRICT, tmp_path / "say.cc", "-o", tmp_path / "say")
    said = subprocess.run([tmp_path / "say"], capture_output=True, check=True).stdout
    assert said.decode().split("\n\0")[:-1] == texts


def test_the_readme_lists_what_the_firmware_needs(artifact, tmp_path):
    made = write_bundle(artifact, "mcu", tmp_path / "mcu")
    text = (made.folder / "README.md").read_text()
    assert "CONV_2D, FULLY_CONNECTED, RESHAPE" in text
    assert "resize its shorter side to 9 pixels, then cut out the middle 6x8" in text
    source = (made.folder / "classifier.cc").read_text()
    assert "MicroMutableOpResolver<3>" in source
    for method in ("AddConv2D()", "AddFullyConnected()", "AddReshape()"):
        assert method in source
    assert "#define CLASSIFIER_TEST_VECTORS 2" in (made.folder / "test_vectors.h").read_text()


def test_methods_have_the_names_of_the_library():
    kinds = ["CONV_2D", "BATCH_MATMUL", "PADV2", "L2_POOL_2D", "RELU6", "SPLIT_V", "CONV_2D"]
    assert register_methods(kinds, "net") == [
        *("AddBatchMatMul", "AddConv2D", "AddL2Pool2D", "AddPadV2", "AddRelu6", "AddSplitV")
    ]
    with pytest.raises(DataError, match=r"net: .* has no operator GELU.*--for pi"):
        register_methods(["GELU", "ADD"], "net")


def test_the_script_replays_its_vectors_without_this_package(artifact, tmp_path):
    made = write_bundle(artifact, "pi", tmp_path / "pi")
    script = [sys.executable, "-I", "classify.py"]
    assert run(*script, "--check", cwd=made.folder).startswith("PASS: 3 test vectors")
    assert "median" in run(*script, "--time", cwd=made.folder)
    with np.load(made.folder / "vectors.npz") as file:
        changed = {name: file[name].copy() for name in file.files}
    changed["outputs"][1, 2] += 0.01
    np.savez(made.folder / "vectors.npz", **changed)
    done = subprocess.run([*script, "--check"], cwd=made.folder, capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stdout.startswith(b"FAIL")


def test_the_script_reads_a_picture_as_this_package_does(artifact, tmp_path):
    made = write_bundle(artifact, "pi", tmp_path / "pi")
    pixels = np.random.default_rng(3).integers(0, 255, (40, 24, 3), np.uint8)
    smooth = Image.fromarray(pixels).resize((18, 30)).resize((72, 120))
    picture = tmp_path / "picture.png"
    smooth.save(picture)
    code = (
        "import sys, numpy as np; sys.path.insert(0, '.'); import classify; "
        f"np.save('read.npy', classify.read_picture({str(picture)!r}))"
    )
    run(sys.executable, "-c", code, cwd=made.folder)
    read = np.load(made.folder / "read.npy")
    # torchvision: the shorter side 72 becomes 9, so the longer one 15; then the middle 8x6.
    from torchvision.transforms import v2

    whole = v2.functional.to_image(decode(picture.read_bytes(), 3))
    resized = v2.functional.resize(whole, [9], antialias=True)
    expected = v2.functional.center_crop(resized, [8, 6]).permute(1, 2, 0).numpy()
    assert read.shape == (8, 6, 3)
    assert np.abs(read.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("change", ["cut", "record", "vectors", "onnx", "count"])
def test_bad_input_is_one_message_and_writes_nothing(artifact, tmp_path, change):
    count = None
    if change == "cut":
        artifact.write_bytes(artifact.read_bytes()[:-8])
    elif change == "record":
        artifact.with_name("net.tflite.json").unlink()
    elif change == "vectors":
        vectors_file(artifact).write_bytes(b"x")
    elif change == "onnx":
        artifact = artifact.rename(tmp_path / "net.onnx")
    else:
        count = 9
    with pytest.raises((CheckpointError, DataError)):
        write_bundle(artifact, "mcu", tmp_path / "mcu", vectors=count)
    assert not (tmp_path / "mcu").exists()


def test_files_of_the_user_are_kept(artifact, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/Makefile").write_text("all:")
    with pytest.raises(DataError, match="mine: is not empty"):
        write_bundle(artifact, "mcu", tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["Makefile"]
    assert (tmp_path / "mine/Makefile").read_text() == "all:"


def test_an_interrupted_bundle_leaves_nothing(artifact, tmp_path, monkeypatch):
    def interrupted(path, data):
        if path.name == "classifier.h":
            raise KeyboardInterrupt
        path.write_bytes(data.encode())

    before = sorted(path.name for path in tmp_path.iterdir())
    monkeypatch.setattr(bundling, "write_atomic", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_bundle(artifact, "mcu", tmp_path / "mcu")
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("change", [{"mean": None}, {"size": 8}, {"parity": {"verdict": "PASS"}}])
def test_a_damaged_record_is_one_message(artifact, tmp_path, change):
    path = artifact.with_name("net.tflite.json")
    record = json.loads(path.read_text()) | change
    record = {name: value for name, value in record.items() if value is not None}
    path.write_text(json.dumps(record))
    with pytest.raises(CheckpointError, match=r"net.tflite.json: is damaged"):
        write_bundle(artifact, "mcu", tmp_path / "mcu")


def test_a_file_without_class_names(artifact, tmp_path):
    record = json.loads(artifact.with_name("net.tflite.json").read_text())
    del record["classes"]
    artifact.with_name("net.tflite.json").write_text(json.dumps(record))
    with pytest.raises(DataError, match="names no classes"):
        write_bundle(artifact, "pi", tmp_path / "pi")


@compiles
@pytest.mark.skipif("TINYREFINERY_TFLM" not in os.environ, reason="TINYREFINERY_TFLM is not set")
def test_the_runner_gives_what_litert_gives(artifact, tmp_path):
    """Against the real library: TINYREFINERY_TFLM names a folder with libtflm.a and the sources."""
    tflm = Path(os.environ["TINYREFINERY_TFLM"])
    made = write_bundle(artifact, "mcu", tmp_path / "mcu", vectors=3)
    places = [tflm / part for part in ("tflite-micro", "flatbuffers/include", "gemmlowp", "ruy")]
    system = [word for place in places for word in ("-isystem", str(place))]
    own = [made.folder / f"{n}.cc" for n in ("classifier", "model_data", "test_vectors", "check")]
    options = ["-std=c++17", "-fno-rtti", "-DTF_LITE_STATIC_MEMORY", *STRICT, *system]
    run("g++", *options, *own, tflm / "libtflm.a", "-o", tmp_path / "check")
    said = run(tmp_path / "check")
    assert said.startswith("PASS: 3 of 3 test vectors")
    used, stated = (int(word) for word in said.split("arena: ")[1].split() if word.isdigit())
    assert used <= stated


@compiles
def test_the_bundle_in_c_computes_by_itself(artifact, tmp_path):
    made = write_bundle(artifact, "c", tmp_path / "c", vectors=3)
    assert [file.name for file in made.files] == [
        *("Makefile", "README.md", "net.c", "net.h", "net_check.c")
    ]
    found = check_sources(made.folder, "host", ("-O2", "-Werror"))
    assert (found.different, found.vectors, found.outputs) == (0, 3, 12)
    run("gcc", "-std=c99", *STRICT, "-fsyntax-only", "-trigraphs", made.folder / "net.c")
    readme = (made.folder / "README.md").read_text("utf-8")
    assert "resize its shorter side to 9 pixels, then cut out the middle 6x8" in readme


@compiles
def test_a_whole_tolerance_is_a_float_in_c(artifact, tmp_path):
    record, content = read_record(artifact), artifact.read_bytes()
    vectors = read_vectors(artifact, record)
    facts = {name: value for name, value in record.items() if name not in ("bytes", "vectors")}
    write_artifact(artifact, content, Vectors(vectors.inputs, vectors.outputs, 1.0), facts)
    made = write_bundle(artifact, "mcu", tmp_path / "mcu")
    (tmp_path / "use.cc").write_text(
        '#include "test_vectors.h"\nfloat use() { return CLASSIFIER_TEST_TOLERANCE; }\n'
    )
    run("g++", *STRICT, "-fsyntax-only", "-I", made.folder, tmp_path / "use.cc")
