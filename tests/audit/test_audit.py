"""The whole audit: planted faults are found, clean data raise no alarm, the files say so."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.audit.test_audit_command import asked
from tests.real import real_data
from tinyrefinery.audit.checks import audit
from tinyrefinery.audit.evidence import Evidence
from tinyrefinery.audit.files import LISTS, as_page, list_text, save_audit
from tinyrefinery.audit.finding import Strip
from tinyrefinery.audit.network_evidence import predictions_as_evidence
from tinyrefinery.audit.page import remedy_parts
from tinyrefinery.cli.main import app
from tinyrefinery.data.dataset import Problem
from tinyrefinery.data.manifest import Manifest
from tinyrefinery.data.open import open_data
from tinyrefinery.errors import CheckpointError, DataError
from tinyrefinery.evaluation.dynamics_table import dynamics_table
from tinyrefinery.evaluation.predictions import Predictions
from tinyrefinery.models import create
from tinyrefinery.models.network_file import save_network
from tinyrefinery.networks.opening import open_network

PLAIN = {"train": 1500, "validation": 0, "test": 600, "digits": 1, "width": 32}

FAULTS = {"wrong_labels": 0.05, "dark_class": 0.6, "copies": 0.1, "rare_class": 15}


def of_kind(found, kind):
    return [each for each in found.findings if each.kind == kind]


def seen(data):
    """Evidence of a network that saw through wrong labels and calls whatever is dark a 0."""
    manifest = data.manifest
    true = manifest.column("true_label")
    train = manifest.rows("train")
    wrong = (manifest.labels != true)[train]
    aum = np.where(wrong, -2.0, 3.0) + np.linspace(0, 0.5, len(train))
    test = manifest.rows("test")
    light = np.array([data.images.pixels(int(row)).mean() for row in test])
    called = np.where(light < 40, 0, manifest.labels[test])
    probabilities = np.eye(10, dtype=np.float32)[called]
    predictions = Predictions(
        manifest.column("id")[test], test, manifest.labels[test], probabilities, data.classes
    )
    measures = {"aum": aum.astype(np.float32)}
    return Evidence("network on test", predictions, dynamics_table(manifest, train, measures))


@pytest.fixture(scope="module")
def faulty():
    data = open_data("street_numbers", **PLAIN, **FAULTS)
    return data, audit(data, evidence=seen(data))


def test_copies_across_splits_are_found(faulty):
    data, found = faulty
    (leak,) = of_kind(found, "leak")
    assert leak.severity == "error"
    assert found.fails()
    # 60 planted, some of the class that was made rare and so not all in training any more.
    assert 50 <= leak.count <= 61
    assert set(data.manifest.column("split")[list(leak.listed)]) == {"train"}
    assert leak.facts["bytes"] >= 20
    assert leak.facts["near"] >= 20


def test_the_dark_class_is_found_and_its_use(faulty):
    _, found = faulty
    first = of_kind(found, "shortcut")[0]
    assert first.facts["class"] == "0"
    assert first.facts["cue"]["kind"] == "low"
    told = {first.facts["cue"]["column"], *first.facts["also"]}
    assert {"brightness", "contrast"} <= told
    assert first.facts["use"]["verdict"] == "USED"
    assert first.severity == "warning"
    assert found.fails(["shortcut"])


def test_the_small_class_is_found(faulty):
    _, found = faulty
    small = next(each for each in of_kind(found, "small_class") if each.severity == "warning")
    assert small.facts["counts"] == {"9": 15}


def test_wrong_labels_come_first_among_suspects(faulty):
    data, found = faulty
    (suspect,) = of_kind(found, "suspect")
    rows = list(suspect.strips[0].rows)
    assert (data.manifest.labels[rows] != data.manifest.column("true_label")[rows]).all()


def test_what_can_not_be_looked_at_is_said(faulty):
    data, found = faulty
    assert set(found.skipped) == {"shift to the device", "too_hard"}
    without = audit(data)
    assert {"suspect", "too_hard", "use of shortcuts"} <= set(without.skipped)
    assert of_kind(without, "shortcut")[0].facts["use"] is None


def test_clean_data_raise_no_alarm():
    data = open_data("street_numbers", **PLAIN)
    found = audit(data)
    assert not found.fails(["shortcut", "conflict", "suspect"])
    assert of_kind(found, "leak") == []
    assert of_kind(found, "shift") == []


def test_the_files(faulty, tmp_path):
    data, found = faulty
    page = save_audit(tmp_path / "out", "street <numbers>", data, found)
    text = page.read_text()
    assert "street &lt;numbers&gt;" in text
    assert not re.search(r"(src|href)=[\"'](?!data:)", text)
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert len(text) < 3_000_000
    told = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert told["images"] == len(data.manifest)
    assert {each["kind"] for each in told["findings"]} >= {"leak", "shortcut", "small_class"}
    lines = (tmp_path / "out" / "leaks.txt").read_text().splitlines()
    assert lines[0].startswith("# ")
    assert len(lines) == 1 + len(of_kind(found, "leak")[0].listed)


def test_lists_of_an_earlier_audit_do_not_stay(faulty, tmp_path):
    data, found = faulty
    save_audit(tmp_path, "faulty", data, found)
    assert {each.list_file for each in found.findings if each.list_file} <= set(LISTS)
    assert len((tmp_path / "leaks.txt").read_text().splitlines()) > 10
    clean = replace(found, findings=())
    save_audit(tmp_path, "clean", data, clean)
    assert (tmp_path / "leaks.txt").read_text() == "# the audit of clean found none\n"
    (tmp_path / "leaks.txt").write_text("0.png\n")
    used = Problem("excluded", str(tmp_path / "leaks.txt"), "1 images left out")
    save_audit(tmp_path, "clean", replace(data, problems=(used,)), clean)
    assert (tmp_path / "leaks.txt").read_text() == "0.png\n"
    assert not (tmp_path / "too_hard.txt").exists()


def test_a_page_holds_500_pictures_in_3_megabytes(faulty):
    data, found = faulty
    rows = tuple(range(900))
    many = replace(found.findings[0], strips=(Strip("all", rows),))
    text = as_page("x", data, replace(found, findings=(many,)))
    assert text.count("<img") == 500
    assert len(text) < 3_000_000


def test_a_remedy_keeps_commands_apart_from_prose():
    command = "tinyrefinery run 'my recipe.yaml' data.source.exclude='out put'/leaks.txt"
    assert remedy_parts(f"{command} or, where splits are drawn, keep copies") == [
        (command, True),
        (" or, where splits are drawn, keep copies", False),
    ]
    assert remedy_parts("collect more images") == [("collect more images", False)]


def test_copies_with_other_labels_are_reported_once_and_problems_in_full(tmp_path):
    random = np.random.default_rng(0)
    for number in range(12):
        for name in ("cat", "dog"):
            pixels = random.integers(0, 255, (32, 32, 3), dtype=np.uint8)
            path = tmp_path / name / f"{number}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(pixels).save(path)
    shutil.copy(tmp_path / "cat" / "0.png", tmp_path / "dog" / "copy.png")
    for number in range(3):
        (tmp_path / "cat" / f"broken{number}.png").write_bytes(b"")
    data = open_data("folder", root=str(tmp_path), validation=0, resident="never")
    found = audit(data)
    assert len(of_kind(found, "conflict")) == 1
    page = as_page("x", data, found)
    for number in range(3):
        assert f"broken{number}.png: zero bytes" in page


def test_copies_of_one_path_are_listed_by_id(faulty):
    data, found = faulty
    leak = of_kind(found, "leak")[0]
    paths = data.manifest.column("path")
    assert list_text(data, leak).splitlines()[1] == paths[leak.listed[0]]


def test_a_path_that_is_no_line_is_listed_by_id(faulty):
    data, found = faulty
    leak = of_kind(found, "leak")[0]
    odd = ("two\nlines.png", "# remark.png", "end ")
    table = data.manifest.table
    paths = table.column("path").to_pylist()
    for row, name in zip(leak.listed, odd, strict=False):
        paths[row] = name
    place = table.schema.get_field_index("path")
    manifest = Manifest(table.set_column(place, "path", pa.array(paths)), data.classes)
    lines = list_text(replace(data, manifest=manifest), leak).splitlines()[1:]
    ids = data.manifest.column("id")
    assert lines[:3] == [ids[row] for row in leak.listed[:3]]
    assert lines[3] == paths[leak.listed[3]]


def test_a_network_of_other_classes_is_refused(faulty):
    data, _ = faulty
    two = Predictions(
        data.manifest.column("id")[:2],
        np.arange(2),
        np.zeros(2, np.int64),
        np.full((2, 2), 0.5, np.float32),
        ("a", "b"),
    )
    with pytest.raises(DataError, match="network: predicts"):
        audit(data, evidence=Evidence("network", two))


def test_a_network_may_have_its_classes_in_another_order(faulty):
    data, _ = faulty
    evidence = seen(data)
    turned = evidence.predictions
    turned = replace(
        turned, probabilities=turned.probabilities[:, ::-1], classes=turned.classes[::-1]
    )
    for one, other in zip(
        evidence.answers(data), replace(evidence, predictions=turned).answers(data), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_a_network_file_answers_under_its_own_classes(tmp_path):
    data = open_data("street_numbers", **(PLAIN | {"train": 60, "test": 20}))
    network = create("street_cnn", 10, size=(32, 32), channels=1, widths=[4, 8])
    facts = {"name": "street_cnn", "kwargs": {"widths": [4, 8]}, "size": (32, 32), "channels": 1}
    facts |= {"mean": (0.5,), "std": (0.25,)}
    files = [tmp_path / f"{number}.safetensors" for number in range(3)]
    kinds = (data.classes, data.classes[::-1], tuple("abcdefghij"))
    for file, classes in zip(files, kinds, strict=True):
        save_network(file, network, classes=classes, **facts)
    found = [predictions_as_evidence(open_network(file), data) for file in files[:2]]
    told = [each.answers(data)[1] for each in found]
    np.testing.assert_array_equal(told[0], 9 - told[1])
    with pytest.raises(CheckpointError, match="has no output for some of the data"):
        predictions_as_evidence(open_network(files[2]), data)


def test_an_accepted_shortcut_does_not_fail_and_a_misspelled_one_is_refused():
    data = open_data("street_numbers", **(PLAIN | {"train": 900, "test": 0}), dark_class=0.6)
    first = of_kind(audit(data), "shortcut")[0].facts["cue"]["column"]
    found = audit(data, accepted={(first, "0"): "zeros are night shots"})
    accepted = next(each for each in of_kind(found, "shortcut") if each.severity == "accepted")
    assert accepted.where == f"{first} -> 0"
    assert "zeros are night shots" in accepted.remedy
    with pytest.raises(DataError, match="Did you mean 'brightness'"):
        audit(data, accepted={("brightnes", "0"): "night"})


def test_groups_in_several_splits_are_a_leak():
    data = open_data("street_numbers", **(PLAIN | {"train": 300, "test": 100}))
    home = [f"home {i % 7}" for i in range(400)]
    table = data.manifest.table.append_column("home", pa.array(home))
    data = replace(data, manifest=Manifest(table, data.classes))
    (leak,) = of_kind(audit(data, group="home"), "leak")
    assert (leak.severity, leak.count) == ("error", 7)
    assert of_kind(audit(data), "leak") == []


def test_a_run_is_asked_what_it_learned(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = ["data.source.train=300", "data.source.test=100", "data.source.validation=50"]
    small += [f"stages.{stage}.epochs=1" for stage in ("plain", "refined")]
    small += [f"stages.{stage}.evaluate_every=1" for stage in ("plain", "refined")]
    words = ["run", "factory/planted_faults", *small, "chain.collapse=null", "--name", "faults"]
    ran = CliRunner().invoke(app, words, catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    result = asked("runs/faults", "--fail-on", "suspect")
    assert result.exit_code == 1
    told = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert {"shift to the device", "too_hard"} == set(told["skipped"])
    first = next(each for each in told["findings"] if each["kind"] == "shortcut")
    assert first["facts"]["use"]["conflicting"] > 10
    assert (tmp_path / "audit" / "suspects.csv").exists()
    (model,) = (tmp_path / "runs" / "faults").glob("stages/plain-*/model.safetensors")
    assert asked("runs/faults", "--stage", "plain", "--model", model).exit_code == 1
    refused = asked("runs/faults", "--refiner", model)
    assert refused.exit_code == 2
    assert "takes images of 24x24" in refused.output
    assert asked("runs/faults", "--refiner", model, "--input-size", 8).exit_code == 1
    assert "no finished stage" in asked("runs/faults", "--stage", "plian").output
    assert asked("runs/faults", "--stage", "plain").exit_code == 1
    by_stage = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert asked(model.parent.relative_to(tmp_path)).exit_code == 1
    by_folder = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert by_folder["findings"] == by_stage["findings"]


def test_person_crops_give_themselves_away():
    """Mirror pairs across a naive split, and the exact copies, unaided."""
    file = str(real_data("person_crops/all.parquet"))
    data = open_data("parquet", path=file, validation=0.0)
    table = data.manifest.table
    split = np.where(np.random.default_rng(0).random(len(table)) < 0.2, "test", "train")
    place = table.column_names.index("split")
    naive = replace(
        data,
        manifest=Manifest(table.set_column(place, "split", pa.array(split.tolist())), data.classes),
    )
    found = audit(naive)
    keys, ids = (naive.manifest.column(name) for name in ("mirror_key", "id"))
    torn = {key: set(split[keys == key]) for key in np.unique(keys)}
    pairs = sum(len(each) == 2 for each in torn.values())
    assert pairs > 300
    (leak,) = of_kind(found, "leak")
    across = leak.facts["mirrored"] + leak.facts["bytes"] + leak.facts["pixels"]
    assert pairs <= across + leak.facts["near"] <= pairs + 30
    assert leak.facts["mirrored"] == pytest.approx(pairs, abs=20)
    (within,) = of_kind(found, "copies")
    together = within.facts["mirrored"] + leak.facts["mirrored"]
    assert together == pytest.approx(1208, abs=20)
    repeated = len(ids) - len(np.unique(ids))
    assert leak.facts["bytes"] + within.facts["bytes"] >= 0.8 * repeated
    column = next(each for each in of_kind(found, "shortcut") if "orig_format" in each.where)
    assert column.facts["share"] == 1


def test_person_crops_leak_by_file_format():
    file = str(real_data("person_crops/raw_format_leak_sample.parquet"))
    found = audit(open_data("parquet", path=file, resident="never", validation=0))
    told = {
        column
        for each in of_kind(found, "shortcut")
        for column in (each.facts["cue"]["column"], *each.facts["also"])
    }
    assert {"format", "transparency"} <= told


def test_labeled_reference_images_tell_how_far_a_shortcut_holds():
    data = open_data("street_numbers", **PLAIN, dark_class=0.6)
    test = data.manifest.rows("test")
    field = data.select(test)
    found = audit(data.select(np.setdiff1d(np.arange(len(data.manifest)), test)), reference=field)
    first = of_kind(found, "shortcut")[0]
    there = first.facts["reference"]
    inside = field.manifest.labels[
        np.array([field.images.pixels(i).astype(float).std() for i in range(len(test))])
        <= first.facts["cue"]["bound"]
    ]
    assert first.facts["cue"]["column"] == "contrast"
    assert there["images"] == pytest.approx(len(inside), abs=3)
    assert there["share"] < 0.3 < 0.9 < first.facts["share"]
    assert any("reference" in each.title for each in of_kind(found, "shift"))
    assert "shift to the device" not in found.skipped
