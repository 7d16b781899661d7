"""Decisions that were made are kept."""

import json

import pytest

from tinyrefinery.errors import DataError
from tinyrefinery.fitting.diary import NAME, Diary


def test_a_decision_is_made_once(tmp_path):
    calls = []
    diary = Diary(tmp_path, {"hours": 1})
    for _ in range(2):
        assert diary.decide("a", lambda: calls.append(1) or {"x": (1, 2)}) == {"x": [1, 2]}
    again = Diary(tmp_path, {"hours": 1})
    assert again.decide("a", lambda: calls.append(1)) == {"x": [1, 2]}
    assert len(calls) == 1


def test_time_adds_up_over_commands(tmp_path):
    path = tmp_path / NAME
    Diary(tmp_path, {}).decide("a", lambda: 1)
    kept = json.loads(path.read_text())
    del kept["digest"]
    path.write_text(json.dumps(kept | {"seconds": 1000.0}))
    assert Diary(tmp_path, {}).seconds >= 1000


def test_another_request_is_refused_and_the_folder_stays(tmp_path):
    Diary(tmp_path, {"hours": 1, "seed": 0}).decide("a", lambda: 1)
    before = (tmp_path / NAME).read_bytes()
    with pytest.raises(DataError, match=r"hours was 1 and is 2\. Name another folder: --out"):
        Diary(tmp_path, {"hours": 2, "seed": 0})
    assert (tmp_path / NAME).read_bytes() == before


def test_a_damaged_diary_is_one_message(tmp_path):
    Diary(tmp_path, {}).decide("a", lambda: 1)
    text = (tmp_path / NAME).read_text()
    (tmp_path / NAME).write_text(text.replace('"a": 1', '"a": 2'))
    with pytest.raises(DataError, match=r"fit\.json: is damaged"):
        Diary(tmp_path, {})
    (tmp_path / NAME).write_text(text[:20])
    with pytest.raises(DataError, match=r"fit\.json"):
        Diary(tmp_path, {})
