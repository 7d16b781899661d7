"""ONNX files under test answer as ONNX Runtime does; what isn't known of them is asked."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from scipy.stats import binomtest

from tests.data_tests.cases import manifest
from tests.networks.onnx_files import describe, exported
from tests.networks.runs import CLASSES, network_of, write_network
from tinyrefinery.data.batches import View
from tinyrefinery.data.open import open_data
from tinyrefinery.data_tests.session import run_tests
from tinyrefinery.data_tests.verdicts import Verdict
from tinyrefinery.errors import CheckpointError, DataError, RecipeError
from tinyrefinery.models.onnx_file import OnnxNetwork, onnx_digest
from tinyrefinery.networks.network_data import under_classes
from tinyrefinery.networks.opening import open_network
from tinyrefinery.options.crops import Center
from tinyrefinery.saliency.explainer import Explainer, MapSettings, page_overlay

FACTS = {"classes": CLASSES, "size": (16, 16), "mean": (0.5,), "std": (0.25,)}
TESTS = """
tests:
  all: {at_least: 0.5}
  dim: {perturb: {gain: 0.7}, metric: flip_rate, at_most: 0.9}
  int8_loses_nothing: {metric: accuracy, max_regression: 0.0}
"""


@pytest.fixture
def files(tmp_path):
    """Float file, int8 file, and the network file that they were made from."""
    paths = tmp_path / "model.onnx", tmp_path / "model.int8.onnx"
    for path, content in zip(paths, exported("shipped"), strict=True):
        path.write_bytes(content)
    return *paths, write_network(tmp_path / "origin.safetensors", "shipped")


@pytest.fixture
def tests(tmp_path, photos):
    path = tmp_path / "data_tests.yaml"
    path.write_text(f"data: {photos}\n{TESTS}")
    return path


def by_hand(path, photos):
    """Class and label of each test photo, by ONNX Runtime alone."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    data = open_data("folder", root=str(photos), channels=1)
    view = View(data, Center(size=16), 0, (0.5,), (0.25,))
    batch = view.render(data.manifest.rows("test"), 0)
    said = session.run(None, {session.get_inputs()[0].name: batch.images.numpy()})[0]
    return said.argmax(axis=1), batch.labels.numpy()


def of_tests(session):
    split = session.rows.columns.column("split").to_numpy(zero_copy_only=False)
    return session.answers.probabilities[split == "test"]


def test_the_float_file_says_what_the_network_says(files, tests):
    path, _, origin = files
    shipped = run_tests(tests, open_network(path, like=origin))
    own = run_tests(tests, open_network(origin))
    np.testing.assert_allclose(of_tests(shipped), of_tests(own), atol=1e-5)
    for one, other in zip(shipped.results[:2], own.results[:2], strict=True):
        assert (one.name, one.verdict, one.measured) == (other.name, other.verdict, other.measured)


def test_the_int8_file_is_judged_against_the_float_file(files, tests, photos):
    path, small, origin = files
    network, baseline = (open_network(each, like=origin) for each in (small, path))
    found = {each.name: each for each in run_tests(tests, network, baseline).results}
    (said, labels), (before, _) = by_hand(small, photos), by_hand(path, photos)
    assert (said != before).any()  # else the comparison would be empty
    assert found["all"].measured.hits == (said == labels).sum()
    lost = int(((before == labels) & (said != labels)).sum())
    gained = int(((before != labels) & (said == labels)).sum())
    result = found["int8_loses_nothing"]
    assert f"{lost} images lost, {gained} gained" in result.remark
    assert result.p_value == pytest.approx(binomtest(lost, lost + gained).pvalue)


def test_an_int8_file_that_lost_its_way_fails(files, tests):
    path, small, origin = files
    model = onnx.load(small)
    name = f"{model.graph.input[0].name}_scale"
    scale = next(each for each in model.graph.initializer if each.name == name)
    broken = onnx.numpy_helper.to_array(scale) * 1e6  # calibration got it wrong: all is grey
    scale.CopyFrom(onnx.numpy_helper.from_array(broken.astype(np.float32), scale.name))
    onnx.save(model, small)
    network, baseline = (open_network(each, like=origin) for each in (small, path))
    results = {each.name: each for each in run_tests(tests, network, baseline).results}
    assert results["int8_loses_nothing"].verdict is Verdict.FAIL


def test_metadata_tells_all_and_its_order_of_classes_counts(files, tests):
    path, _, origin = files
    want = run_tests(tests, open_network(origin)).results[0].measured
    turned = FACTS | {"classes": CLASSES[::-1]}
    found = run_tests(tests, open_network(describe(path, **turned))).results[0].measured
    assert found.hits == want.n - want.hits  # each answer has the other name
    beside = path.with_name("model.onnx.yaml")
    beside.write_text("classes: [no_person, person]\n")  # a person's word comes first
    assert run_tests(tests, open_network(path)).results[0].measured == want
    beside.write_text("like: origin.safetensors\nclasses: [no_person, person]\n")
    assert open_network(path).info.mean == (0.5,)


def test_a_file_in_a_stages_folder_was_made_from_that_stage(run, tmp_path):
    (folder,) = run.glob("stages/refined-*")
    (folder / "model.onnx").write_bytes(exported("shipped")[0])
    network = open_network(folder / "model.onnx")
    assert network.kind == "onnx"
    assert network.recipe is not None
    path = tmp_path / "data_tests.yaml"
    path.write_text("tests: {all: {at_least: 0}}")  # the run's own data
    assert run_tests(path, network).results[0].measured.n == 180
    assert open_network(folder / "model.safetensors").digest != network.digest


def test_what_is_not_known_is_asked(files, tmp_path):
    path, _, _ = files
    with pytest.raises(CheckpointError, match=r"classes, mean, std. Name the run .*--like"):
        open_network(path)
    with pytest.raises(DataError, match="no such file"):
        open_network(tmp_path / "gone.onnx")
    with pytest.raises(DataError, match="not another exported file"):
        open_network(path, like=path)
    beside = path.with_name("model.onnx.yaml")
    wrong = {
        "classes: [a, b, c]\nmean: [0.5]\nstd: [1]": "2 outputs, but 3 classes",
        "classes: [a, b]\nmean: [0.5, 0.5, 0.5]\nstd: [1]": "1 channels, but mean has 3",
        "classes: [a, b]\nsize: 24\nmean: [0.5]\nstd: [1]": r"of \(16, 16\), but .* \(24, 24\)",
    }
    for text, match in wrong.items():
        beside.write_text(text)
        with pytest.raises(CheckpointError, match=match):
            open_network(path)
    beside.write_text("classes: [a, a]\nmean: [0.5]\nstd: [1]")  # a labeler adds such outputs up
    with pytest.raises(CheckpointError, match="not unique"):
        under_classes(manifest(), open_network(path))
    beside.write_text("clases: [a, b]")
    with pytest.raises(RecipeError, match="classes"):
        open_network(path)
    beside.unlink()
    with pytest.raises(CheckpointError, match="size can't be"):
        open_network(describe(path, **(FACTS | {"size": "large"})))


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_damaged_metadata_is_an_error(files, content):
    path, _, _ = files
    model = onnx.load(path)
    entry = model.metadata_props.add()
    entry.key, entry.value = "tinyrefinery", content
    onnx.save(model, path)
    with pytest.raises(CheckpointError, match=r"tinyrefinery.*JSON.*Export it again"):
        open_network(path)


def test_a_truncated_file_is_an_error(files):
    path, _, origin = files
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(CheckpointError, match="not a readable ONNX file"):
        open_network(path, like=origin)


def test_probabilities_and_batches_of_fixed_size_say_the_same(files):
    path, _, _ = files
    network, images = network_of("shipped", CLASSES), torch.randn(7, 1, 16, 16)
    model = onnx.load(path)
    out = model.graph.output[0]
    model.graph.node.append(onnx.helper.make_node("Softmax", [out.name], ["soft"], axis=1))
    out.name = "soft"
    for each in (model.graph.input[0], out):
        each.type.tensor_type.shape.dim[0].dim_value = 3
    onnx.save(model, path)
    soft = OnnxNetwork(path)
    assert (soft.gives_probabilities, soft.batch, soft.outputs) == (True, 3, 2)
    with torch.inference_mode():
        want = network(images).softmax(1)
        np.testing.assert_allclose(soft(images).softmax(1), want, rtol=1e-4, atol=1e-6)
    assert soft(images[:0]).shape == (0, 2)


def test_what_was_said_and_weights_outside_are_part_of_the_digest(files, tmp_path):
    path, _, origin = files
    first = open_network(path, like=origin)
    path.with_name("model.onnx.yaml").write_text("mean: [0.4]")
    assert open_network(path, like=origin).digest != first.digest
    outside = tmp_path / "outside"
    outside.mkdir()
    model = onnx.load(path)
    options = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0}
    onnx.save(model, outside / "m.onnx", **options)
    before = onnx_digest(outside / "m.onnx")
    weights = outside / "weights.bin"
    weights.write_bytes(b"\1" + weights.read_bytes()[1:])
    assert onnx_digest(outside / "m.onnx") != before


def test_saliency_by_occlusion_is_that_of_the_network(files, tests):
    path, _, origin = files
    session = run_tests(tests, open_network(path, like=origin))
    way = MapSettings("occlusion", 4, 4)
    found = Explainer(session.network, session.data, way).explain([3, 100])
    own = Explainer(open_network(origin), session.data, way).explain([3, 100])
    np.testing.assert_array_equal(found.inputs, own.inputs)
    np.testing.assert_allclose(found.maps, own.maps, atol=1e-5)
    with pytest.raises(CheckpointError, match="no gradients"):
        Explainer(session.network, session.data, MapSettings("gradient")).explain([3])
    overlay = page_overlay(session)
    wrong = next(each for each in session.results if each.worst)
    assert overlay(wrong, wrong.worst[0]).shape == (16, 16, 4)
