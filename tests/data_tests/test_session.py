"""Tests against run folders and network files: what is read, what is predicted, what is kept."""

import csv
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from tests.networks.runs import predictions_of, write_network, write_photos, write_run
from tinyrefinery.data.properties import measure as properties
from tinyrefinery.data.properties.measure import image_properties
from tinyrefinery.data_tests.data_test_file import load_suite
from tinyrefinery.data_tests.session import named_source, run_tests
from tinyrefinery.data_tests.verdicts import Verdict
from tinyrefinery.errors import CheckpointError, DataError, DataTestError
from tinyrefinery.models.network_file import load_network
from tinyrefinery.networks import network_data as judging_data
from tinyrefinery.networks import stored_predictions as judging_predictions
from tinyrefinery.networks.network_view import opened
from tinyrefinery.networks.opening import open_network
from tinyrefinery.options.perturbation import Perturbation


def write(folder, text):
    path = folder / "data_tests.yaml"
    path.write_text(text)
    return path


def results_of(tests, network, baseline=None):
    session = run_tests(tests, network, baseline)
    return {each.name: each for each in session.results}


def test_stored_predictions_are_sliced_and_nothing_is_predicted(run, tmp_path, monkeypatch):
    def no(*_):
        raise AssertionError("predicted")

    monkeypatch.setattr(judging_predictions, "_predicted", no)
    text = (
        "tests: {all: {at_least: 0}, back: {where: pose = 'back' AND distance_m > 5, at_least: 0}}"
    )
    found = results_of(write(tmp_path, text), open_network(run))
    stored = predictions_of(run)
    assert found["all"].measured.hits == stored.correct.sum()
    assert found["all"].measured.n == 180
    session = run_tests(str(tmp_path / "data_tests.yaml"), open_network(run))
    with open(session.data.source.root + "/metadata.csv") as file:
        lines = [r for r in csv.DictReader(file) if r["split"] == "test"]
    wanted = [r for r in lines if r["pose"] == "back" and float(r["distance_m"]) > 5]
    assert found["back"].measured.n == len(wanted)


def test_the_second_time_the_data_is_not_opened(run, tmp_path, monkeypatch):
    tests = write(tmp_path, "tests: {all: {at_least: 0}}")
    first = results_of(tests, open_network(run))

    def no(*_):
        raise AssertionError("opened")

    monkeypatch.setattr(judging_data, "open_source", no)
    assert results_of(tests, open_network(run)) == first


def test_torch_is_not_imported_where_all_is_kept(run, tmp_path):
    tests = write(tmp_path, "tests: {all: {at_least: 0}, p: {where: pose = 'back', at_least: 0}}")
    results_of(tests, open_network(run))
    code = (
        "import sys; from pathlib import Path;"
        "from tinyrefinery.data_tests.session import run_tests;"
        "from tinyrefinery.networks.opening import open_network;"
        f"s = run_tests(Path({str(tests)!r}), open_network(Path({str(run)!r})));"
        "assert s.results[0].measured.n == 180; sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_a_column_that_was_added_later_is_seen(tmp_path, photos):
    own = shutil.copytree(photos, tmp_path / "photos")
    run = write_run(tmp_path / "run", own)
    tests = write(tmp_path, "tests: {it: {where: scene = 'porch', at_least: 0, min_n: 1}}")
    assert results_of(tests, open_network(run))["it"].verdict is Verdict.ERROR
    lines = (own / "metadata.csv").read_text().splitlines()
    scenes = ["scene", *(["porch"] * 100), *(["hall"] * 1000)]
    text = "\n".join(f"{a},{b}" for a, b in zip(lines, scenes, strict=False))
    (own / "metadata.csv").write_text(text + "\n")
    assert results_of(tests, open_network(run))["it"].measured.n == 75


def test_flips_are_those_of_the_network_on_changed_pixels(run, tmp_path):
    text = """
tests:
  nothing: {perturb: {gain: 1.0}, metric: flip_rate, at_most: 0.5}
  dark: {perturb: {gain: 0.3}, metric: flip_rate, at_most: 0.5}
  moved: {perturb: {shift: [3, 0], jpeg: 20}, at_least: 0}
"""
    network = open_network(run)
    session = run_tests(write(tmp_path, text), network)
    found = {each.name: each for each in session.results}
    assert found["nothing"].measured.hits == 0
    net, info = load_network(network.file)
    dataset = session.data.dataset
    rows = dataset.manifest.rows("test")
    view = opened(network, session.data.dataset)[1]
    pixels = view.pixels(rows, view.crops(rows, 0))
    with torch.inference_mode():
        clean = net((pixels / 255 - 0.5) / 0.25).argmax(1)
        dark = net((pixels * 0.3 / 255 - 0.5) / 0.25).argmax(1)
    assert info.mean == (0.5,)
    assert found["dark"].measured.hits == (clean != dark).sum()
    assert 0 < found["dark"].measured.hits < 180
    kept = sorted(p.name for p in (run / "data_tests").glob("predictions-*"))
    assert len(kept) == 3
    again = run_tests(tmp_path / "data_tests.yaml", network)
    assert [r.measured for r in again.results] == [r.measured for r in session.results]


def test_pictures_are_what_the_network_sees(run, tmp_path):
    network = open_network(run)
    session = run_tests(write(tmp_path, "tests: {all: {at_least: 0}}"), network)
    look = judging_predictions.pictures(network, session.data)
    source, seen = look(5, None)
    assert (source.shape, seen.shape) == ((24, 20, 1), (16, 16, 1))
    _, dark = look(5, Perturbation(gain=0.5))
    assert np.abs(dark.astype(int) - seen / 2).max() <= 1


def test_other_data_counts_as_test_data_and_is_predicted_once(run, tmp_path):
    week = tmp_path / "week"
    for i, name in enumerate(("person", "no_person")):
        (week / name).mkdir(parents=True)
        source = write_photos(tmp_path / f"more{i}", 60)
        for path in sorted(source.glob("*/*.png"))[i::2]:
            shutil.copy(path, week / name / path.name)
    (tmp_path / "list.txt").write_text("person/0000.png\n")
    text = "data: week\ntests: {all: {at_least: 0}, one: {list: list.txt, at_least: 0, min_n: 1}}"
    network = open_network(run)
    session = run_tests(write(tmp_path, text), network)
    # A quarter of these pictures are in the run's training set, bit for bit.
    assert [each.measured.n for each in session.results] == [45, 1]
    assert any("15 of 60 images were trained or chosen on" in note for note in session.data.notes)
    # The others are test images of the run, whose predictions are kept with the stage.
    assert not list((run / "data_tests").glob("predictions-*"))
    expected = session.answers.probabilities
    again = run_tests(tmp_path / "data_tests.yaml", network)
    assert np.array_equal(again.answers.probabilities, expected, equal_nan=True)


def test_one_class_folder_alone_and_a_class_that_is_unknown(run, tmp_path):
    source = write_photos(tmp_path / "more", 12)
    for name in ("person", "zebra"):
        (tmp_path / "week" / name).mkdir(parents=True)
    for i, path in enumerate(sorted(source.glob("*/*.png"))):
        shutil.copy(path, tmp_path / "week" / ("person", "zebra")[i % 2])
    tests = write(tmp_path, "data: week\ntests: {all: {at_least: 0}}")
    with pytest.raises(CheckpointError, match="zebra"):
        run_tests(tests, open_network(run))


def test_damaged_files_of_our_own_are_made_anew(run, tmp_path):
    tests = write(tmp_path, "tests: {it: {perturb: {gain: 0.5}, metric: flip_rate, at_most: 1}}")
    expected = results_of(tests, open_network(run))
    for path in [*(run / "data_tests").glob("*.parquet"), *run.glob("stages/*/pred*.parquet")]:
        path.write_bytes(b"oops")
    assert results_of(tests, open_network(run)) == expected


def test_networks_are_compared_on_the_data_of_the_first(run, tmp_path):
    other = write_run(tmp_path / "other", write_photos(tmp_path / "others", 60))
    tests = write(tmp_path, "tests: {all: {at_least: 0}}")
    first, second = open_network(run), open_network(other)
    own = run_tests(tests, second, first)
    same = run_tests(tests, second, first, together=[first])
    assert [each.results[0].measured.n for each in (own, same)] == [45, 180]
    file = write_network(tmp_path / "file.safetensors", "x")
    assert run_tests(tests, open_network(file), together=[first]).results[0].measured.n == 180


def test_a_name_on_a_hub_is_no_path(run, tmp_path):
    text = "data: {name: hugging_face, path: someone/images}\ntests: {all: {at_least: 0}}"
    suite = load_suite(write(tmp_path, text))
    assert named_source(suite, tmp_path).path == "someone/images"
    (tmp_path / "someone" / "images").mkdir(parents=True)
    found = named_source(suite, tmp_path)
    assert found.path == str(tmp_path / "someone/images")


def test_a_network_file_needs_data_and_keeps_beside_itself(tmp_path, photos):
    file = write_network(tmp_path / "shipped.safetensors", "shipped")
    tests = write(tmp_path, "tests: {all: {at_least: 0}}")
    with pytest.raises(DataError, match="data: photos/"):
        run_tests(tests, open_network(file))
    tests = write(tmp_path, f"data: {photos}\ntests: {{all: {{at_least: 0, split: any}}}}")
    assert results_of(tests, open_network(file))["all"].measured.n == 240
    assert (tmp_path / "shipped.data_tests").is_dir()
    write_network(file, "another")  # the same name, other weights: nothing kept is taken for it
    other = run_tests(tests, open_network(file))
    assert len(list((tmp_path / "shipped.data_tests").glob("predictions-*"))) == 4
    assert other.facts.network == "shipped.safetensors"


def test_the_baseline_is_asked_about_the_same_images(run, tmp_path, photos):
    swapped = write_run(tmp_path / "old", photos, classes=("person", "no_person"))
    text = "tests: {all: {at_least: 0}, worse: {max_regression: 0}}"
    found = results_of(write(tmp_path, text), open_network(run), open_network(swapped))
    assert found["all"].baseline.hits == predictions_of(swapped).correct.sum()
    ours, theirs = predictions_of(run), predictions_of(swapped)
    order = np.argsort(ours.ids), np.argsort(theirs.ids)
    lost = np.sum(theirs.correct[order[1]] & ~ours.correct[order[0]])
    assert found["worse"].measured.hits == lost


def test_the_file_may_name_the_baseline(run, tmp_path):
    tests = write(tmp_path, "baseline: run\ntests: {worse: {max_regression: 0}}")
    session = run_tests(tests, open_network(run))
    assert session.baseline.name == "run refined (seed 0)"
    assert session.results[0].verdict is Verdict.PASS


def test_a_baseline_of_other_classes(run, tmp_path, photos):
    other = write_network(tmp_path / "other.safetensors", "x", ("no_person", "person", "cat"))
    tests = write(tmp_path, "tests: {all: {at_least: 0}}")
    with pytest.raises(CheckpointError, match="can't be compared"):
        run_tests(tests, open_network(run), open_network(other))


def test_which_network(tmp_path, photos):
    run = write_run(tmp_path / "run", photos, seeds=(3, 1))
    assert open_network(run).name == "run refined (seed 1)"
    plain = open_network(run, stage="plain", seed=3)
    assert plain.name == "run plain (seed 3)"
    for place in (plain.stage.folder, plain.file, f"file:{plain.file}"):
        assert open_network(place).digest == plain.digest
    for stage, seed, said in (("plian", None, "Did you mean 'plain'"), (None, 2, "no seed 2")):
        with pytest.raises(DataError, match=said):
            open_network(run, stage=stage, seed=seed)
    with pytest.raises(DataError, match="no such run folder"):
        open_network(tmp_path / "nowhere")


def test_broken_network_files_are_told(run, tmp_path):
    network = open_network(run)
    network.file.write_bytes(b"oops")
    with pytest.raises(CheckpointError, match="not a safetensors"):
        run_tests(write(tmp_path, "tests: {all: {at_least: 0}}"), network)


def test_further_columns_from_a_file(run, tmp_path):
    (tmp_path / "tags.csv").write_text("file_name,room\ntest/0000.png,hall\ntest/0001.png,hall\n")
    text = "metadata: tags.csv\ntests: {it: {where: room = 'hall', at_least: 0, min_n: 1}}"
    assert results_of(write(tmp_path, text), open_network(run))["it"].measured.n == 2
    (tmp_path / "tags.csv").write_text("room\nhall\n")
    message = r"tags\.csv: no column identifies the images: add one of id"
    with pytest.raises(DataTestError, match=message):
        run_tests(tmp_path / "data_tests.yaml", open_network(run))


def test_image_properties_are_computed_when_a_test_asks_and_kept(run, tmp_path, monkeypatch):
    calls = []

    def counted(dataset, rows):
        calls.append(len(rows))
        return image_properties(dataset, rows)

    monkeypatch.setattr(properties, "image_properties", counted)
    network = open_network(run)
    plain = write(tmp_path, "tests: {it: {at_least: 0}, typo: {where: brigtness > 1, at_least: 0}}")
    found = results_of(plain, network)
    assert calls == []
    assert "Did you mean 'brightness'" in found["typo"].remark
    tests = write(tmp_path, "tests: {it: {where: brightness < 75, at_least: 0, min_n: 1}}")
    session = run_tests(tests, network)
    images = session.data.dataset.images
    dark = [r for r in session.data.manifest.rows("test") if images.pixels(r).mean() < 75]
    assert session.results[0].measured.n == len(dark)
    assert 0 < len(dark) < 180
    run_tests(tests, network)
    assert calls == [240]


def test_a_missing_file_of_tests_says_how_to_create_one(run, tmp_path):
    with pytest.raises(DataTestError, match=r"no such file.*tinyrefinery init .*gone\.yaml"):
        run_tests(tmp_path / "gone.yaml", open_network(run))
