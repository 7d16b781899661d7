"""Suspects: who is among them, in which order, and the two files."""

import csv

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.data.scenes import stripes
from tinyrefinery.errors import DataError, StorageError
from tinyrefinery.evaluation import dynamics_table as tables
from tinyrefinery.evaluation import likely_label_errors as module
from tinyrefinery.evaluation.dynamics_table import dynamics_table, load_dynamics, save_dynamics
from tinyrefinery.evaluation.likely_label_errors import find_suspects, save_suspects

MANIFEST = stripes().manifest
ROWS = np.array([7, 3, 12, 6, 20, 30])  # given classes 1, 0, 0, 0, 2, 0


def measures(refined=True):
    found = {
        "visits": np.array([4, 4, 4, 4, 4, 0], np.int32),
        "aum": np.array([-1.0, 2.0, -3.0, -0.5, -2.0, np.nan], np.float32),
    }
    if refined:
        found |= {
            "given_probability": np.array([0.1, 0.0, 0.1, 0.4, 0.3, np.nan], np.float32),
            "disagreement": np.array([1.0, 1.0, 0.75, 0.5, 0.75, np.nan], np.float32),
            "refined_class": np.array([2, 1, 1, 1, 2, 0]),
            "refined_probability": np.array([0.8, 0.9, 0.7, 0.5, 0.3, np.nan], np.float32),
        }
    return found


def table(refined=True):
    return dynamics_table(MANIFEST, ROWS, measures(refined))


def test_without_refined_labels_the_area_ranks():
    # Not sample 1, whose area is above 0, nor 5, which was never visited.
    assert find_suspects(table(refined=False)).tolist() == [2, 4, 0, 3]


def test_a_refiner_must_contradict():
    # Of those, 3 is contradicted on half of its crops only, and 4 has no better class. Both that
    # are left have the same probability of their class; the area decides.
    assert find_suspects(table()).tolist() == [2, 0]


def test_no_more_than_anybody_reviews(monkeypatch):
    monkeypatch.setattr(module, "MOST", 2)
    assert find_suspects(table(refined=False)).tolist() == [2, 4]


@pytest.mark.parametrize("refined", [False, True])
def test_the_list_names_files_and_classes(tmp_path, refined):
    save_suspects(tmp_path / "suspects.csv", table(refined), MANIFEST)
    with (tmp_path / "suspects.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["rank"] for line in lines] == [str(i + 1) for i in range(len(lines))]
    first = lines[0]
    assert first["path"] == "stripes/12"
    assert first["id"] == MANIFEST.column("id")[12]
    assert first["given_class"] == "direction 0"
    assert float(first["aum"]) == -3
    assert first["refined_class"] == ("direction 1" if refined else "")
    assert first["disagreement"] == ("0.75" if refined else "")


def test_images_are_found_where_they_are_now(tmp_path):
    # Row 7 is gone, so 12 stands where 11 stood; taken by row, the list would name a neighbor.
    now = MANIFEST.select(np.delete(np.arange(len(MANIFEST)), 7))
    save_suspects(tmp_path / "suspects.csv", table(refined=False), now)
    with (tmp_path / "suspects.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["path"] for line in lines] == ["stripes/12", "stripes/20", "stripes/6"]
    assert [line["rank"] for line in lines] == ["1", "2", "3"]
    only = MANIFEST.select(np.array([12]))
    save_suspects(tmp_path / "suspects.csv", table(refined=False), only)
    assert "stripes/12" in (tmp_path / "suspects.csv").read_text()


def test_no_suspects_leave_a_header_alone(tmp_path):
    fine = measures(refined=False) | {"aum": np.ones(6)}
    save_suspects(tmp_path / "suspects.csv", dynamics_table(MANIFEST, ROWS, fine), MANIFEST)
    assert (tmp_path / "suspects.csv").read_text().count("\n") == 1


def test_the_table_survives_its_file(tmp_path):
    save_dynamics(tmp_path / "dynamics.parquet", table())
    again = load_dynamics(tmp_path / "dynamics.parquet")
    assert again.equals(table(), check_metadata=True)
    assert again.column_names[:4] == ["id", "row", "label", "visits"]
    assert again["row"].to_pylist() == ROWS.tolist()
    assert again["label"].to_pylist() == MANIFEST.labels[ROWS].tolist()
    assert again["aum"].to_pylist()[-1] is None


def test_a_death_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "dynamics.parquet"
    save_dynamics(path, table())
    before = path.read_bytes()

    def half(content, aside):
        aside.write_bytes(before[: len(before) // 2])
        raise OSError("no space left")

    monkeypatch.setattr(tables.pq, "write_table", half)
    with pytest.raises(StorageError, match=r"dynamics\.parquet: is not writable"):
        save_dynamics(path, table(refined=False))
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["dynamics.parquet"]


def test_no_dynamics_are_named(tmp_path):
    path = tmp_path / "dynamics.parquet"
    with pytest.raises(DataError, match="no readable training dynamics"):
        load_dynamics(path)
    pq.write_table(table().select(["id", "row"]), path)
    with pytest.raises(DataError, match=r"columns \['aum', 'label'\] are missing"):
        load_dynamics(path)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DataError, match="no readable training dynamics"):
        load_dynamics(path)
