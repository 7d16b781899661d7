"""Pictures get the probabilities that the run's own evaluation stored."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import tinyrefinery as tr
from tests.networks.runs import CLASSES, predictions_of, write_network
from tinyrefinery.cli.main import app
from tinyrefinery.data.decode import decode
from tinyrefinery.errors import DataError
from tinyrefinery.files import read_csv
from tinyrefinery.networks.network_view import network_view
from tinyrefinery.prediction.predicted import PicturePredictions
from tinyrefinery.reading.limits import MOST_BYTES

BROKEN = b"\x89PNG\r\n\x1a\n not a picture"


@pytest.fixture
def stored(run, photos):
    """Stored test predictions of the run's last stage, by the path of the picture."""
    predictions = predictions_of(run)
    table = tr.open_data("folder", root=str(photos), channels=1).manifest
    paths = table.column("path")[predictions.rows]
    return dict(zip(paths, predictions.probabilities, strict=True))


def command(*words):
    result = CliRunner(env={"COLUMNS": "80"}).invoke(app, ["predict", *map(str, words)])
    if isinstance(result.exception, tr.RefineryError):
        return result.exception.exit_code, str(result.exception)
    return result.exit_code, result.output


def test_a_test_split_gets_its_stored_predictions(run, photos, stored):
    found = tr.predict(run, photos / "test")
    assert set(found.paths) == set(stored)
    assert len(found) > 100
    want = np.array([stored[path] for path in found.paths])
    assert np.allclose(found.probabilities, want, atol=1e-5)
    assert found.labels == tuple(CLASSES[number] for number in want.argmax(axis=1))
    assert not found.broken


def test_photographs_of_several_sizes_get_the_predictions_of_an_evaluation(tmp_path):
    network = tr.open_network(write_network(tmp_path / "n.safetensors", "any"))
    random = np.random.default_rng(0)
    for place in range(12):
        file = tmp_path / "photos" / CLASSES[place % 2] / f"{place}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 255, (170 + 9 * place, 200), dtype=np.uint8)
        Image.fromarray(pixels).save(file)
    data = tr.open_data("folder", root=str(tmp_path / "photos"), channels=1, validation=0)
    view = network_view(network, data, torch.device("cpu"))
    want = tr.predict_rows(network.load(), view, np.arange(12))
    found = tr.predict(network, data.manifest.column("path").tolist())
    assert np.allclose(found.probabilities, want.probabilities, atol=1e-6)
    alone = tr.predict(network, found.paths[3])
    assert np.allclose(alone.probabilities, found.probabilities[3], atol=1e-6)


@pytest.mark.parametrize("width", [900, 1000])
def test_large_photographs_get_the_predictions_of_an_evaluation(tmp_path, monkeypatch, width):
    """Of one size and of several: an evaluation shrinks both."""
    monkeypatch.setenv("TINYREFINERY_CACHE", str(tmp_path / "cache"))
    network = tr.open_network(write_network(tmp_path / "n.safetensors", "any"))
    random = np.random.default_rng(0)
    for place in range(4):
        file = tmp_path / "photos" / CLASSES[place % 2] / f"{place}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 255, (900, (900, width)[place % 2]), dtype=np.uint8)
        Image.fromarray(pixels).save(file)
    data = tr.open_data("folder", root=str(tmp_path / "photos"), channels=1, validation=0)
    view = network_view(network, data, torch.device("cpu"))
    assert (view.images.sizes.min(axis=1) == 256).all()
    want = tr.predict_rows(network.load(), view, np.arange(4)).probabilities
    paths = data.manifest.column("path").tolist()
    for cache in ("cache", "another cache"):  # with the evaluation's copies, and with none
        monkeypatch.setenv("TINYREFINERY_CACHE", str(tmp_path / cache))
        assert np.allclose(tr.predict(network, paths).probabilities, want, atol=1e-6)
    whole = [decode(Path(path).read_bytes(), 1) for path in paths]
    assert not np.allclose(tr.predict(network, whole).probabilities, want, atol=1e-4)


def test_the_files_hold_every_picture_and_the_broken_ones(tmp_path, run, photos, stored):
    folder = tmp_path / "new" / "deep"
    folder.mkdir(parents=True)
    (folder / "bad.png").write_bytes(BROKEN)
    (folder / "notes.txt").write_text("no picture")
    one = next(iter(stored))
    out = tmp_path / "p.csv"
    code, text = command(
        *(run, tmp_path / "new", one, one, "--csv", out, "--json", tmp_path / "p.json", "--top", 2)
    )
    assert code == 2
    assert "1 of 2 pictures predicted" in text
    assert "bad.png: broken: damaged image" in text
    assert "1 file with another extension (ignored: 1 .txt)" in " ".join(text.split())
    good, bad = read_csv(out)
    assert good["path"] == one
    assert good["problem"] == ""
    assert float(good["probability_1"]) == pytest.approx(stored[one].max(), abs=1e-5)
    assert good["label_1"] == CLASSES[stored[one].argmax()]
    assert bad["path"].endswith("bad.png")
    assert bad["label_1"] == ""
    assert "damaged" in bad["problem"]
    content = json.loads((tmp_path / "p.json").read_text())
    assert content["classes"] == list(CLASSES)
    assert [len(each["top"]) for each in content["pictures"]] == [2]
    assert [each["path"] for each in content["broken"]] == [bad["path"]]


def test_only_broken_pictures_are_listed_and_fill_the_files(tmp_path, run):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"")
    code, text = command(run, bad, "--csv", tmp_path / "p.csv")
    assert code == 2
    assert "bad.jpg: broken: zero bytes" in text
    assert len(read_csv(tmp_path / "p.csv")) == 1


def test_a_file_that_is_too_large_is_not_read(tmp_path, run):
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(MOST_BYTES + 1)  # sparse: takes no room on disk
    code, text = command(run, tmp_path / "large.png")
    assert code == 2
    assert "too large: it has 268,435,457 bytes" in " ".join(text.split())


def test_the_table_fits_80_columns(tmp_path, run):
    place = tmp_path / ("a-long-folder-name" * 4)
    place.mkdir()
    Image.new("RGB", (9, 7)).save(place / "x.png")
    code, text = command(run, place)
    assert code == 0
    table = text[: text.index("refined")] if "refined" in text else text
    assert max(map(len, table.splitlines()[:3])) <= 80
    assert "probability" in text
    assert "next" in text


@pytest.mark.parametrize("ending", ["jpg", "png", "bmp", "gif", "webp", "tiff", "ppm"])
def test_every_format_is_read_also_from_memory(tmp_path, ending):
    network = write_network(tmp_path / "n.safetensors", "any")
    random = np.random.default_rng(0)
    file = tmp_path / f"p.{ending}"
    Image.fromarray(random.integers(0, 255, (20, 24, 3), dtype=np.uint8)).save(file)
    gray = decode(file.read_bytes(), 1)
    of_file, of_array = tr.predict(network, file), tr.predict(tr.open_network(network), [gray])
    assert np.array_equal(of_file.probabilities, of_array.probabilities)
    assert of_array.paths == ("picture 0",)
    with Image.open(file) as image:
        mixed = tr.predict(network, [file, image])
    assert mixed.paths == (str(file), "picture 1")


def test_a_picture_in_memory_is_read_like_its_file(tmp_path):
    """16 bits keep the high byte, and EXIF turns it. Pillow's own conversion does neither."""
    network = write_network(tmp_path / "n.safetensors", "any")
    deep, turned = tmp_path / "deep.png", tmp_path / "turned.png"
    ramp = np.linspace(0, 65535, 20 * 24).reshape(20, 24)
    Image.fromarray(ramp.astype(np.uint16)).save(deep)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray((ramp / 256).astype(np.uint8)).save(turned, exif=exif)
    for file in (deep, turned):
        with Image.open(file) as image:
            found = tr.predict(network, [file, image]).probabilities
        assert np.array_equal(found[0], found[1])
    with pytest.raises(DataError, match=r"picture 0: can't be read .*floating-point"):
        tr.predict(network, [Image.new("F", (8, 8))])
    deep.write_bytes(deep.read_bytes()[:-200])
    with Image.open(deep) as image, pytest.raises(DataError, match="picture 0: can't be read"):
        tr.predict(network, [image])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give pictures or a camera"),
        (["no-such.png"], "no-such.png: there is no such file or folder"),
        (["EMPTY"], "this folder has no picture"),
        (["EMPTY", "--frames", "2"], "--frames counts the frames of a camera"),
        (["PICTURE", "--size", "32"], "states its size, so leave out --size"),
        (["PICTURE", "--stage", "no"], "no finished stage 'no'"),
    ],
)
def test_wrong_words_get_one_message(tmp_path, run, words, message):
    (tmp_path / "empty").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "p.png")
    named = {"EMPTY": tmp_path / "empty", "PICTURE": tmp_path / "p.png"}
    code, text = command(run, *(named.get(word, word) for word in words))
    assert code == 2
    assert message in text


def test_an_array_that_is_no_picture_is_refused(tmp_path):
    network = write_network(tmp_path / "n.safetensors", "any")
    with pytest.raises(DataError, match=r"picture 0: is float64 \(4, 4\)"):
        tr.predict(network, np.zeros((4, 4)))


def test_a_camera_is_read_in_rgb(tmp_path, run, monkeypatch):
    frame = np.zeros((20, 24, 3), np.uint8)
    frame[..., 0] = 200  # blue, in OpenCV's order
    left: list[Any] = [frame, frame]
    camera = SimpleNamespace(
        isOpened=lambda: True,
        read=lambda: (True, left.pop()) if left else (False, None),
        release=lambda: left.append("released"),
    )
    monkeypatch.setitem(sys.modules, "cv2", SimpleNamespace(VideoCapture=lambda number: camera))
    code, text = command(run, "--camera", 3, "--json", tmp_path / "p.json")
    assert code == 0
    assert "camera 3, frame 1:" in text
    assert left == ["released"]
    want = tr.predict(run, np.ascontiguousarray(frame[..., ::-1])).top()[0][0]
    got = json.loads((tmp_path / "p.json").read_text())["pictures"][0]["top"][0]
    assert (got["label"], got["probability"]) == want


def test_without_opencv_the_message_has_the_command(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    code, text = command(run, "--camera", 0)
    assert code == 2
    assert "pip install opencv-python-headless" in text


def test_the_notebook_table_escapes_names():
    names = ("<script>alert(1)</script>", "a&b")
    predictions = PicturePredictions("n", names, ("<b>.png",), np.array([[0.9, 0.1]]))
    text = predictions._repr_html_()
    assert "<script>" not in text
    assert "<b>" not in text
    assert "&lt;script&gt;" in text
