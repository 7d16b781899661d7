"""Soft labels: from what people said to the targets that a network learns from."""

import numpy as np
import pytest
import torch

from tinyrefinery.data.batches import View
from tinyrefinery.data.manifest import Manifest
from tinyrefinery.data.open import open_data
from tinyrefinery.data.overlay.decisions import (
    Decision,
    append_decisions,
    parse_decision,
    read_decisions,
)
from tinyrefinery.data.overlay.votes import latest_votes, soft_label
from tinyrefinery.errors import DataError
from tinyrefinery.labels.policy import GivenLabels, SmoothedLabels
from tinyrefinery.options.crops import Center
from tinyrefinery.options.labels import LabelSmoothing

SMALL = {"train": 40, "validation": 20, "test": 20, "digits": 1}
UID = "0" * 64


def word(verdict, minute, by="ann", uid=UID, **more):
    return Decision(uid, verdict, by, f"2026-11-21T02:{minute:02d}:00Z", **more)


def votes(*said):
    return soft_label(latest_votes(said)[UID], "cat")


def test_two_reviewers_who_disagree_share_the_label():
    said = [word("ok", 0, was="cat"), word("relabel", 1, "bob", label="dog", was="cat")]
    assert votes(*said) == {"cat": 0.5, "dog": 0.5}
    third = word("relabel", 2, "eve", label="dog")
    assert votes(*said, third) == pytest.approx({"cat": 1 / 3, "dog": 2 / 3})
    assert votes(*said, word("relabel", 2, label="dog")) is None  # ann's newest word counts
    assert votes(*said, word("ok", 2, "eve", was="cat", settles=True)) is None
    assert votes(*said, word("drop", 2, "eve")) is None  # the newest word takes it out
    later = word("relabel", 3, "eve", label="owl")
    assert set(votes(*said, word("drop", 2, "max"), later)) == {"cat", "dog", "owl"}


def test_ambiguous_is_between_the_classes_that_are_named():
    assert votes(word("ambiguous", 0, was="cat")) is None  # nothing else was named
    named = (("cat", 3.0), ("dog", 1.0))
    assert votes(word("ambiguous", 0, shares=named)) == {"cat": 0.75, "dog": 0.25}
    other = word("relabel", 1, "bob", label="dog", was="cat")
    assert votes(word("ambiguous", 0, was="cat"), other) == {"dog": 0.75, "cat": 0.25}
    assert votes(word("ambiguous", 0, was="cat", label="dog")) == {"dog": 0.5, "cat": 0.5}


def test_settled_as_ambiguous_keeps_the_disagreement():
    said = [word("ok", 0, was="cat"), word("relabel", 1, "bob", label="dog", was="cat")]
    settled = word("ambiguous", 2, was="cat", settles=True)
    assert votes(*said, settled) == {"cat": 0.5, "dog": 0.5}
    told = word("ambiguous", 2, was="cat", settles=True, shares=(("cat", 1.0), ("owl", 9.0)))
    assert votes(*said, told) == {"cat": 0.1, "owl": 0.9}
    assert votes(settled) is None


def test_shares_stay_in_the_file(tmp_path):
    each = word("ambiguous", 0, shares=(("cat", 0.7), ("dog", 0.3)))
    append_decisions(tmp_path / "d.jsonl", [each])
    assert read_decisions(tmp_path / "d.jsonl")[0].shares == each.shares
    line = {"uid": UID, "verdict": "ambiguous", "by": "ann", "at": "2026-11-21T02:00:00Z"}
    wrong = ({}, [], {"cat": 0}, {"cat": "much"}, {"cat": True}, {"cat": float("inf")})
    for value in wrong:
        with pytest.raises(DataError, match="share"):
            parse_decision(line | {"shares": value})
    with pytest.raises(DataError, match="need the verdict ambiguous"):
        parse_decision(line | {"verdict": "ok", "shares": {"cat": 1}})


@pytest.fixture
def data():
    return open_data("street_numbers", **SMALL)


def laid(path, **more):
    return open_data("street_numbers", overlay=str(path), **SMALL, **more)


def uid(data, row):
    return str(data.manifest.column("id")[row])


@pytest.fixture
def overlay(tmp_path, data):
    """Row 3 is torn between two reviewers, row 5 is ambiguous by shares, row 7 without."""
    names, labels = data.classes, data.manifest.labels
    given, other = names[labels[3]], names[(labels[3] + 1) % 10]
    said = [
        word("ok", 0, uid=uid(data, 3), was=given),
        word("relabel", 1, "bob", uid=uid(data, 3), label=other, was=given),
        word("ambiguous", 2, uid=uid(data, 5), shares=(("2", 3.0), ("7", 1.0))),
        word("ambiguous", 3, uid=uid(data, 7)),
    ]
    append_decisions(tmp_path / "d.jsonl", said)
    return tmp_path / "d.jsonl"


def test_the_manifest_carries_them_and_the_digest_knows(overlay, data, tmp_path):
    seen = laid(overlay)
    rows, targets = seen.manifest.soft_labels
    assert rows.tolist() == [3, 5]
    want = np.zeros((2, 10))
    labels = data.manifest.labels
    want[0, [labels[3], (labels[3] + 1) % 10]] = 0.5
    want[1, [2, 7]] = 0.75, 0.25
    np.testing.assert_array_equal(targets, want)
    given = laid(overlay, ambiguous="given")
    assert not len(given.manifest.soft_labels[0])
    assert given.manifest.digest != seen.manifest.digest
    seen.manifest.save(tmp_path / "m.parquet")
    assert Manifest.load(tmp_path / "m.parquet").digest == seen.manifest.digest
    turned = seen.manifest.with_classes(seen.classes[::-1])
    np.testing.assert_array_equal(turned.soft_labels[1], want[:, ::-1])
    few = seen.select(np.array([9, 5]))
    assert few.manifest.soft_labels[0].tolist() == [1]


def test_dropped_they_leave_training_only(overlay, data, tmp_path):
    seen = laid(overlay, ambiguous="drop")
    gone = set(data.manifest.column("id")) - set(seen.manifest.column("id"))
    assert gone == {uid(data, row) for row in (3, 5, 7)}
    append_decisions(overlay, [word("ambiguous", 9, uid=uid(data, 65))])  # of the test split
    assert uid(data, 65) in set(laid(overlay, ambiguous="drop").manifest.column("id"))


def test_ground_truth_and_smoothing_learn_from_them(overlay):
    data = laid(overlay)
    batch = View(data, Center(size=(16, 24))).render(np.array([5, 0, 3]), 0)
    soft = dict(zip(*(each.tolist() for each in data.manifest.soft_labels), strict=True))
    want = torch.zeros(3, 10)
    want[0], want[2] = torch.tensor(soft[5]), torch.tensor(soft[3])
    want[1, data.manifest.labels[0]] = 1
    assert torch.equal(GivenLabels(10, data.manifest)(batch), want)
    smooth = SmoothedLabels(LabelSmoothing(epsilon=0.1), 10, data.manifest)(batch)
    assert torch.allclose(smooth, want * 0.9 + 0.01)
    assert torch.equal(GivenLabels(10)(batch).sum(1), torch.ones(3))


def test_an_unknown_class_is_an_error(tmp_path, data):
    shares = (("cat", 1.0), ("2", 1.0))
    append_decisions(tmp_path / "d.jsonl", [word("ambiguous", 0, uid=uid(data, 3), shares=shares)])
    with pytest.raises(DataError, match="no class 'cat'"):
        laid(tmp_path / "d.jsonl")
