"""Balance, outliers, columns, the accept list, too hard: each against counts known beforehand."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from tests.data.scenes import stripes
from tinyrefinery.audit.accepted import read_accepted
from tinyrefinery.audit.association import Column
from tinyrefinery.audit.balance import cell_findings, class_findings
from tinyrefinery.audit.columns import metadata_columns
from tinyrefinery.audit.outliers import far_out, outlier_findings
from tinyrefinery.audit.shortcuts import Cue, find_shortcuts
from tinyrefinery.audit.unrecognizable import downscaled, hardness, too_hard_findings
from tinyrefinery.data.batches import View
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.manifest import Manifest
from tinyrefinery.errors import DataError
from tinyrefinery.options.crops import Center


def with_column(data, **columns):
    table = data.manifest.table
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    return Dataset(data.name, Manifest(table, data.classes), data.images)


def test_small_classes_are_told_with_their_counts():
    data = stripes(600)
    labels = data.manifest.labels
    train = data.manifest.column("split") == "train"
    mine = np.flatnonzero((labels == 2) & train)
    kept = np.setdiff1d(np.arange(600), mine[12:])
    found = {each.facts["split"]: each for each in class_findings(data.select(kept))}
    assert found["train"].facts["counts"] == {"direction 2": 12}
    assert found["train"].severity == "warning"
    assert set(found["test"].facts["counts"].values()) <= set(range(35))
    assert [each for each in class_findings(stripes(3000)) if each.severity != "note"] == []


def test_empty_cells_are_told():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400)
    place = np.where(labels == 0, "porch", rng.choice(["porch", "hall"], 400))
    (found,) = cell_findings([Column("place", place)], labels, ("a", "b"))
    cell = found.facts["cells"][0]
    assert (cell["value"], cell["class"], cell["images"]) == ("hall", "a", 0)
    expected = (place == "hall").sum() * (labels == 0).sum() / 400
    assert cell["expected"] == pytest.approx(expected, abs=0.05)
    even = Column("place", rng.choice(["porch", "hall"], 400))
    assert cell_findings([even], labels, ("a", "b")) == []


def test_outliers_are_far_from_all_others():
    values = np.random.default_rng(0).normal(100, 10, 2000)
    assert [len(side) for side in far_out(values)] == [0, 0]
    values[[3, 5, 8]] = [500, 10, 900]
    values[9] = np.nan
    low, high = far_out(values)
    assert (low.tolist(), high.tolist()) == ([5], [8, 3])
    sizes = np.full(1000, 640.0)
    sizes[7] = 320
    assert far_out(sizes)[0].tolist() == [7]
    assert [len(side) for side in far_out(np.full(5, np.nan))] == [0, 0]


def test_rare_words_are_outliers():
    data = stripes(900)
    words = np.array(["JPEG"] * 898 + ["BMP"] * 2)
    (found,) = outlier_findings(data, [Column("format", words)])
    assert found.count == 2
    assert "format = BMP" in found.title


def test_which_columns_are_held_against_the_label():
    data = stripes(300)
    labels = data.manifest.labels
    names = np.array(data.classes)[labels]
    data = with_column(
        data,
        number=np.arange(300.0),
        index=list(range(300)),
        hour=(np.arange(300) % 24).tolist(),
        key=[f"k{i}" for i in range(300)],
        alike=["x"] * 300,
        second_opinion=names.tolist(),
        wnid=[f"n{label}" for label in labels],
        box=[[1, 2]] * 300,
        flash=[bool(i % 2) if i % 5 else None for i in range(300)],
        contrast=np.arange(300.0),
    )
    found, passed_over = metadata_columns(data, np.arange(300), ["contrast"])
    kinds = {each.name: each.values.dtype.kind for each in found}
    assert kinds == {"number": "f", "hour": "U", "flash": "U", "manifest.contrast": "f"}
    assert passed_over.keys() == {"index", "key", "alike", "second_opinion", "wnid", "box"}
    flash = next(each for each in found if each.name == "flash")
    assert set(flash.values) == {"True", "False", ""}


def test_a_column_that_gives_two_classes_away_is_a_shortcut():
    labels = np.arange(200) % 2
    camera = np.where(labels == 1, "iphone", "nikon")
    rng = np.random.default_rng(0)
    columns = [Column("camera", camera), Column("hour", rng.choice(["8", "9"], 200))]
    (found,), _ = find_shortcuts(columns, labels, ("a", "b"))
    assert (found.cue.column, found.share, found.v) == ("camera", 1.0, pytest.approx(1, abs=0.01))
    accepted = {("camera", ("a", "b")[found.label]): "one site a class"}
    (again,), _ = find_shortcuts(columns, labels, ("a", "b"), accepted)
    assert again.reason == "one site a class"


def test_conditions_survive_quotes():
    from tinyrefinery.data_tests.where import parse

    values = {"home": ["Bo's", "x"], "the site": ['"a"', "b"]}
    for column, (mine, _) in values.items():
        cue = Cue(column, "value", mine)
        assert parse(cue.sql).rows(pa.table(values)).tolist() == [True, False]
        assert cue.holds(np.array(values[column])).tolist() == [True, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("accept: [{property: x, class: ship, reason: water}]", ""),
        ("accept: [{property: x, class: ship}]", "entry 1: has no reason"),
        ("accept: [{property: x, class: ship, reason: ' '}]", "entry 1: has no reason"),
        ("accept: [{property: x, class: shp, reason: water}]", "Did you mean 'ship'"),
        ("accept: [{property: x, clas: ship, reason: water}]", "unknown key 'clas'"),
        ("accept: [x]", "not a mapping"),
        ("- x", "no list 'accept'"),
        ("a: [", "can't read the accept list"),
    ],
)
def test_the_accept_list(tmp_path, text, message):
    file = tmp_path / "shortcuts.yaml"
    file.write_text(text)
    if not message:
        assert read_accepted(file, ("ship", "car")) == {("x", "ship"): "water"}
        return
    with pytest.raises(DataError, match=message):
        read_accepted(file, ("ship", "car"))


def test_an_accept_list_that_is_missing(tmp_path):
    with pytest.raises(DataError, match="can't read the accept list"):
        read_accepted(tmp_path / "none.yaml", ("a",))


def fine_detail(images):
    """Probabilities of a 'refiner' that tells class 1 by the strength of the finest pattern."""
    detail = (images[:, 0, :, 1:] - images[:, 0, :, :-1]).abs().mean((1, 2))
    one = (detail / 0.8).clamp(0.02, 0.98)
    return torch.stack([1 - one, one], 1)


def test_what_is_lost_in_reduction_is_too_hard():
    n, size = 20, 32
    checker = (np.indices((size, size)).sum(0) % 2 * 255).astype(np.uint8)
    ramp = np.broadcast_to(np.linspace(0, 255, size), (size, size)).astype(np.uint8)
    array = torch.from_numpy(np.stack([checker if i % 2 else ramp for i in range(n)]))[:, None]
    from tinyrefinery.data.images import ResidentImages

    table = stripes(n, 2).manifest.table
    data = Dataset("checkers", Manifest(table, ("ramp", "checker")), ResidentImages(array))
    view = View(data, Center(size=size), 0, (0.0,), (1.0,))
    found = hardness(fine_detail, view, np.arange(n), (8, 8))
    assert found.too_hard.tolist() == [i for i in range(n) if i % 2]
    assert (found.large[1::2] > 0.9).all()
    (told,) = too_hard_findings(data, found, (8, 8), "leave out {}")
    assert told.count == 10
    assert told.remedy.endswith("leave out too_hard.txt")
    assert (
        too_hard_findings(data, hardness(fine_detail, view, np.arange(0), (8, 8)), (8, 8), "") == []
    )
    flat = downscaled(array[1:2].float(), (8, 8))
    assert flat.std() < 1
