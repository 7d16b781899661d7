"""`tinyrefinery saliency` from command to picture, and saliency on the page of data tests."""

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.networks.runs import write_network, write_photos, write_run
from tinyrefinery.cli.main import app

TESTS = "tests: {dim: {perturb: {gain: 0.5}, metric: flip_rate, at_most: 0}, ok: {at_least: 0}}"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("data") / "photos")


@pytest.fixture
def run(tmp_path, photos, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_run(tmp_path / "run", photos)


def call(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def colors(path):
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    return int((np.ptp(pixels, axis=2) > 20).sum())


def test_the_most_confident_errors_of_a_run(run, tmp_path):
    done = call("saliency", run, "--images", 3, "--overlays", "each", "--window", 4)
    assert done.exit_code == 0, done.output
    assert "the most confident of" in done.output
    assert "split 'test'" in done.output
    assert colors(tmp_path / "saliency.png") > 100
    pictures = sorted((tmp_path / "each").iterdir())
    assert len(pictures) == 3
    assert "person" in pictures[0].name
    with Image.open(pictures[0]) as image:
        assert image.size == (224, 224)
    again = (tmp_path / "saliency.png").read_bytes()
    call("saliency", run, "--images", 3, "--window", 4)
    assert (tmp_path / "saliency.png").read_bytes() == again


def test_rows_and_given_labels(run):
    done = call(
        "saliency",
        run,
        "--manifest-row",
        3,
        "--manifest-row",
        200,
        "--of",
        "given",
        "--out",
        "rows.png",
    )
    assert done.exit_code == 0, done.output
    assert "orange supports the label" in done.output


def test_failures_of_a_test(run, tmp_path):
    (tmp_path / "data_tests.yaml").write_text(TESTS)
    done = call("saliency", run, "--test", "dim", "--images", 2)
    assert done.exit_code == 0, done.output
    assert "in test dim (FAIL), with gain 0.5" in done.output
    done = call("saliency", run, "data.source.root=x", "--test", "dim")
    assert done.exit_code == 2
    assert "leave out rows and overrides" in done.output


def test_a_network_file_on_other_pictures(run, photos, tmp_path):
    file = write_network(tmp_path / "shipped.safetensors", "shipped")
    done = call("saliency", file, f"data.source.root={photos}", "--images", 2)
    assert done.exit_code == 0, done.output
    assert "shipped.safetensors: the most confident of" in done.output


@pytest.mark.parametrize("method", ["integrated_gradients", "input_x_gradient", "gradient"])
def test_gradients(run, method):
    pytest.importorskip("captum")
    done = call("saliency", run, "--images", 1, "--method", method)
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--window", 17], "a patch of 17 pixels doesn't fit images of 16x16"),
        (["--window", 2, "--stride", 3], "leaves gaps"),
        (["--manifest-row", 999], "the data has rows 0 to 239"),
        (["--split", "tets"], "no image in split 'tets'"),
        (["seed=1"], "only data.source.NAME=VALUE"),
        (["--stage", "refind"], "Did you mean 'refined'"),
    ],
)
def test_bad_input_is_told_and_writes_nothing(run, tmp_path, options, words):
    done = call("saliency", run, *options)
    assert done.exit_code == 2
    assert words in done.output
    assert "Traceback" not in done.output
    assert not (tmp_path / "saliency.png").exists()


def test_the_page_of_data_tests_shows_it(run, tmp_path):
    (tmp_path / "data_tests.yaml").write_text(TESTS)
    call("test", run, "data_tests.yaml", "--html", "with.html")
    call("test", run, "data_tests.yaml", "--html", "without.html", "--no-saliency")
    shown, plain = ((tmp_path / f"{name}.html").read_text() for name in ("with", "without"))
    assert shown.count('class="over"') == shown.count('<figure class="picture">') > 0
    assert 'class="over"' not in plain
