"""What is exported predicts what the network predicts, in a runtime of its own."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from tests.networks.runs import CLASSES
from tinyrefinery import export, open_network
from tinyrefinery.cli import export as cli_export
from tinyrefinery.deploy.export.artifact_facts import artifact_facts
from tinyrefinery.deploy.export.exportable import Exportable
from tinyrefinery.deploy.export.exporting import recipe_budget
from tinyrefinery.deploy.export.side_files import failed_file, record_file, vectors_file
from tinyrefinery.device import tool_environment
from tinyrefinery.device.device_cost import device_cost
from tinyrefinery.device.ethos import VELA
from tinyrefinery.errors import CheckpointError, DataError, RecipeError, RefineryError
from tinyrefinery.models.network_file import load_network
from tinyrefinery.options.budget import Budget

PIXELS = np.random.default_rng(3).integers(0, 256, (8, 16, 16, 1), dtype=np.uint8)


def by_hand(run):
    """Probabilities of the run's network for the pixels: its file, normalized by the recipe."""
    network, _ = load_network(open_network(run).file)
    images = torch.from_numpy((PIXELS / 255 - 0.5) / 0.25).float().permute(0, 3, 1, 2)
    with torch.no_grad():
        return network(images).softmax(dim=1).numpy()


def by_onnx(path, pixels=PIXELS):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"image": p[None]})[0] for p in pixels])


def by_litert(path, pixels=PIXELS):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    found = []
    for image in pixels:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        output = interpreter.get_output_details()[0]["index"]
        found.append(interpreter.get_tensor(output).copy())
    return np.concatenate(found)


def test_onnx_takes_pixels_and_gives_the_networks_probabilities(run, tmp_path):
    (done,) = export(run, folder=tmp_path)
    assert done.path.name == f"{open_network(run).slug}.onnx"
    np.testing.assert_allclose(by_onnx(done.path), by_hand(run), atol=1e-6)
    assert done.parity.verdict == "PASS"
    assert "validation images" in done.parity.images
    record = json.loads(record_file(done.path).read_text())
    assert record["classes"] == list(CLASSES)
    assert record["mean"] == [0.5]
    assert record["digest"] == open_network(run).digest
    assert record["recipe"]
    model = onnx.load(done.path)
    assert json.loads(model.metadata_props[0].value)["classes"] == list(CLASSES)
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    assert str(tmp_path.parent).encode() not in done.path.read_bytes()
    assert b".py" not in done.path.read_bytes()  # no notes of the exporter
    with np.load(vectors_file(done.path)) as vectors:
        assert vectors["inputs"].dtype == np.uint8
        np.testing.assert_allclose(by_onnx(done.path, vectors["inputs"]), vectors["outputs"])


def test_litert_takes_pixels_and_gives_the_networks_probabilities(run, tmp_path, converter):
    (done,) = export(run, "litert", folder=tmp_path)
    np.testing.assert_allclose(by_litert(done.path), by_hand(run), atol=1e-6)
    assert done.parity.verdict == "PASS"


@pytest.mark.parametrize("target", ["onnx", "litert"])
def test_artifacts_open_like_any_network(run, tmp_path, target, request):
    if target == "litert":
        request.getfixturevalue("converter")
    (done,) = export(run, target, folder=tmp_path)
    network = open_network(done.path)
    assert network.classes == CLASSES
    images = torch.from_numpy((PIXELS / 255 - 0.5) / 0.25).float().permute(0, 3, 1, 2)
    found = network.load()(images).softmax(dim=1).numpy()
    np.testing.assert_allclose(found, by_hand(run), atol=1e-6)


def test_int8_onnx_is_per_channel_and_near(run, tmp_path):
    (done,) = export(run, folder=tmp_path, int8=True)
    assert np.abs(by_onnx(done.path) - by_hand(run)).max() < 0.1
    model = onnx.load(done.path)
    values = {v.name: onnx.numpy_helper.to_array(v) for v in model.graph.initializer}
    scales = [v for name, v in values.items() if name.endswith("_scale") and v.ndim == 1]
    assert any(len(v) > 1 for v in scales)
    assert done.record["calibration"] in ("minmax", "percentile", "entropy")
    assert done.parity.drop.low <= done.parity.drop.points <= done.parity.drop.high


def test_int8_litert_has_integers_only_between_pixels_and_softmax(run, tmp_path, converter):
    from ai_edge_litert.interpreter import Interpreter

    (done,) = export(run, "litert", folder=tmp_path, int8=True)
    assert np.abs(by_litert(done.path) - by_hand(run)).max() < 0.1
    interpreter = Interpreter(model_path=str(done.path))
    taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    assert taken["dtype"] is np.uint8
    # The scale stands for the normalization by 0.5 and 0.25. A whole pixel stands for 0.
    assert taken["quantization"] == (pytest.approx(1 / (255 * 0.25)), pytest.approx(127.5, abs=0.5))
    assert given["dtype"] is np.float32
    tensors = interpreter.get_tensor_details()
    floats = [t["name"] for t in tensors if t["dtype"] is np.float32]
    assert len(floats) == 2  # the logits and the probabilities
    scales = [len(t["quantization_parameters"]["scales"]) for t in tensors]
    assert max(scales) > 1  # per channel


def test_fine_tuning_leaves_the_run_and_measures_against_it(run, tmp_path):
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    (plain,) = export(run, folder=tmp_path / "plain", int8=True)
    assert plain.parity.verdict == "UNPROVEN"  # too few images to prove anything
    (done,) = export(run, folder=tmp_path / "tuned", int8=True, fine_tune=1)
    assert {p: p.read_bytes() for p in before} == before
    assert done.path.name == plain.path.name
    assert done.parity.drop.network == plain.parity.drop.network
    assert done.parity.drop.high <= plain.parity.drop.high
    (folder,) = (tmp_path / "tuned").glob("*.fine-tuned-1")
    tuned = open_network(folder)
    (stage,) = tuned.recipe.stages
    assert stage.labels.by == (open_network(run, stage="plain").source,)  # as in the run
    assert stage.epochs == 1
    if "fine_tuned" in done.record:  # it was the better one
        assert done.record["digest"] == tuned.digest
        assert tmp_path / "tuned" / done.record["fine_tuned"]["network"] == tuned.file
    assert ("fine_tuned" in done.record) != (done.rejected == ("--fine-tune",))
    # What did not help is told, and not advised again.
    told = " ".join(cli_export._lines(replace(plain, rejected=("--fine-tune",))))
    assert "no better on these images, and left out: --fine-tune" in told
    assert "--fine-tune 2" not in told
    assert "--keep-float 3" in told
    assert "--fine-tune 2" in " ".join(cli_export._lines(plain))


def test_fine_tuning_needs_int8_and_a_run(run, tmp_path):
    with pytest.raises(RecipeError, match="add --int8"):
        export(run, folder=tmp_path, fine_tune=1)
    file = tmp_path / "alone.safetensors"
    file.write_bytes(open_network(run).file.read_bytes())
    with pytest.raises(DataError, match=r"is in no run.*Name a run folder"):
        export(file, folder=tmp_path, int8=True, fine_tune=1)


def test_normalization_can_stay_outside(run, tmp_path):
    (done,) = export(run, folder=tmp_path, preprocessing="metadata")
    images = ((PIXELS / 255 - 0.5) / 0.25).astype(np.float32)
    np.testing.assert_allclose(by_onnx(done.path, images), by_hand(run), atol=1e-6)
    assert done.record["mean"] == [0.5]
    network = open_network(done.path)
    found = network.load()(torch.from_numpy(images).permute(0, 3, 1, 2)).softmax(dim=1)
    np.testing.assert_allclose(found.numpy(), by_hand(run), atol=1e-6)


def test_other_images_are_shared_between_calibration_and_check(run, photos, tmp_path):
    file = tmp_path / "alone.safetensors"
    file.write_bytes(open_network(run).file.read_bytes())
    (done,) = export(file, folder=tmp_path / "noise")
    assert "noise" in done.parity.images
    assert done.parity.drop is None
    with pytest.raises(DataError, match=r"no run or data is named.*data\.source\.root"):
        export(file, folder=tmp_path, int8=True)
    for number, path in enumerate(sorted((photos / "test").glob("*.png"))):
        place = tmp_path / "classes" / CLASSES[number % 2] / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())
    source = [f"data.source.root={tmp_path / 'classes'}"]
    (done,) = export(file, folder=tmp_path / "named", overrides=source, int8=True)
    assert "36 named (the others) images" in done.parity.images


def test_an_artifact_of_another_network_is_not_written(run, tmp_path, monkeypatch):
    other = open_network(run, stage="plain")
    (wrong,) = export(other, folder=tmp_path / "other")
    monkeypatch.setattr(
        "tinyrefinery.deploy.export.artifact_files.make", lambda *_: {"": wrong.path}
    )
    (done,) = export(run, folder=tmp_path / "out")
    assert done.parity.verdict == "FAIL"
    assert not done.passed
    assert [path.name for path in (tmp_path / "out").iterdir()] == [failed_file(done.path).name]
    kept = json.loads(failed_file(done.path).read_text())
    assert kept["parity"]["logit"] > 1e-4


def test_export_above_the_budget_writes_no_artifact(run, tmp_path, converter):
    with pytest.raises(RecipeError, match="add --to litert"):
        export(run, folder=tmp_path, budget=Budget(flash=1))
    with pytest.raises(RecipeError, match="budget of cycles limits int8 artifacts: add --int8"):
        export(run, "litert", folder=tmp_path, budget=Budget(cycles="1k@ethos-u55-32"))
    (done,) = export(run, "litert", folder=tmp_path, budget=Budget(flash=1))
    assert not done.passed
    assert not done.path.exists()
    assert "flash is" in done.excess[0]
    (done,) = export(run, "litert", folder=tmp_path, budget=Budget(flash=10**9))
    assert done.passed
    assert done.record["cost"]["flash"] == device_cost(done.path).flash == done.record["bytes"]


@pytest.mark.slow
def test_export_above_the_budget_of_cycles_writes_no_artifact(run, tmp_path, converter):
    try:
        tool_environment.tool_python(lambda text: None, VELA)
    except RefineryError as error:
        pytest.skip(f"Vela is not available: {error}")
    low, high = (Budget(cycles=f"{cycles}@ethos-u55-32") for cycles in ("1", "1G"))
    options = {"folder": tmp_path, "int8": True, "max_drop": 100}
    (done,) = export(run, "litert", budget=low, **options)
    assert not done.path.exists()
    assert done.excess[0].startswith("cycles are ")
    (done,) = export(run, "litert", budget=high, **options)
    assert done.passed
    assert done.record["ethos"]["cycles"] > 1


def test_what_cannot_be_exported_is_one_message(run, tmp_path):
    with pytest.raises(RecipeError, match="no target is named 'tflite'"):
        export(run, "tflite", folder=tmp_path)
    with pytest.raises(RecipeError, match="each target once"):
        export(run, ["onnx", "onnx"], folder=tmp_path)
    with pytest.raises(RecipeError, match="has no option 'int4'"):
        export(run, folder=tmp_path, int4=True)
    (done,) = export(run, folder=tmp_path)
    with pytest.raises(CheckpointError, match="was exported already"):
        export(done.path, folder=tmp_path)
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(RefineryError, match="is not writable"):
        export(run, folder=blocked)


def test_without_a_connection_the_converter_is_one_message(run, tmp_path, monkeypatch):
    monkeypatch.setenv("TINYREFINERY_CACHE", str(tmp_path / "cache"))
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    tools = replace(tool_environment.LITERT, packages=("absl-py==2.5.1",))
    monkeypatch.setattr(tool_environment, "LITERT", tools)
    with pytest.raises(RefineryError, match=r"can't be installed.*log is in .*--to onnx"):
        export(run, "litert", folder=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    # An attempt that failed is not taken for an environment.
    assert not (tool_environment.tool_folder() / "complete").exists()


def test_timm_networks_without_class_names_leave_them_out():
    facts = {"classes": (), "size": (32, 32), "channels": 3}
    info = SimpleNamespace(**facts, mean=(0.5,) * 3, std=(0.5,) * 3, name="timm:resnet18")
    network = SimpleNamespace(info=info, trained=None, recipe=None, name="x", digest="d")
    stated = artifact_facts(network, target="onnx", preprocessing="inside", int8=False, method=None)
    assert "classes" not in stated


def test_export_does_not_change_the_network(run):
    network, info = load_network(open_network(run).file)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    wrapped = Exportable(network, info.mean, info.std, normalize=True)
    wrapped(torch.from_numpy(PIXELS).float())
    after = network.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(value, before[name]) for name, value in after.items())


@pytest.fixture
def limited(run, tmp_path):
    """The run, with a budget in its recipe."""
    copy = shutil.copytree(run, tmp_path / "limited")
    recipe = copy / "recipe.yaml"
    recipe.write_text(recipe.read_text() + "budget: {flash: 1kB}\n")
    return copy


def test_the_budget_of_the_recipe_is_that_of_its_last_stage(run, limited):
    assert recipe_budget(open_network(run)) is None
    assert recipe_budget(open_network(limited)) == Budget(flash=1000)


def test_the_budget_of_the_recipe_limits_int8_artifacts(limited, tmp_path, converter):
    (done,) = export(limited, "litert", folder=tmp_path / "out", int8=True, max_drop=100)
    assert not done.path.exists()
    assert any("above the budget of 1,000" in text for text in done.excess)
    larger = Budget(flash=10**9)
    (done,) = export(
        limited, "litert", folder=tmp_path / "out", int8=True, max_drop=100, budget=larger
    )
    assert done.excess == ()
