from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from tests.review.queues import SOURCE, small_queue
from tinyrefinery.data.overlay.decisions import (
    Decision,
    newest_by_image,
    read_decisions,
    valid_decisions,
)
from tinyrefinery.errors import DataError
from tinyrefinery.review.agreement import agreements, assigned_items, cohen_kappa
from tinyrefinery.review.queue import Item
from tinyrefinery.review.queue_pictures import Pictures, open_queue_data
from tinyrefinery.review.reviewing import open_review, summary


def test_every_word_is_on_disk_and_comes_back(tmp_path):
    path, queue = tmp_path / "d.jsonl", small_queue()
    review = open_review(queue, path, "ann")
    review.decide({"index": 0, "verdict": "ok", "seconds": 1.234})
    review.decide({"index": 1, "verdict": "relabel", "label": "7", "slice": True})
    review.decide({"index": 2, "verdict": "relabel", "label": queue.items[2].given})
    said = read_decisions(path)
    assert [each.verdict for each in said] == ["ok", "relabel", "ok"]
    assert (said[0].uid, said[0].was, said[0].seconds) == (
        queue.items[0].uid,
        queue.items[0].given,
        1.23,
    )
    assert (said[1].slices, said[1].reason, said[1].queue) == (
        ("fixed",),
        "label_suspect",
        "q-test",
    )
    again = open_review(queue, path, "ann")
    assert again.state()["decided"] == review.state()["decided"]
    assert again.undo() == {"index": 2}
    assert again.undo() == {"index": 1}
    assert list(newest_by_image(read_decisions(path))) == [queue.items[0].uid]
    assert open_review(queue, path, "ann").undo() == {"index": 0}
    assert open_review(queue, path, "ann").undo() == {"index": None}
    assert len(path.read_text().splitlines()) == 6  # nothing is ever taken out


def test_times_grow_even_when_the_clock_does_not(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "tinyrefinery.review.reviewing.timestamp", lambda: "2026-11-21T02:00:00.000000+00:00"
    )
    review = open_review(small_queue(), tmp_path / "d.jsonl", "ann")
    for verdict in ("ok", "drop", "ambiguous"):
        review.decide({"index": 0, "verdict": verdict})
    review.undo()
    kept = valid_decisions(read_decisions(tmp_path / "d.jsonl"))
    assert [each.verdict for each in kept] == ["ok", "drop"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([], "JSON object"),
        ({}, "no image has the number None"),
        ({"index": 6, "verdict": "ok"}, "number 6"),
        ({"index": -1, "verdict": "ok"}, "number -1"),
        ({"index": True, "verdict": "ok"}, "number True"),
        ({"index": "0", "verdict": "ok"}, "number 0"),
        ({"index": 0, "verdict": "undo"}, "unknown verdict"),
        ({"index": 0, "verdict": ["ok"]}, "unknown verdict"),
        ({"index": 0, "verdict": "relabel"}, "no class 'None'"),
        ({"index": 0, "verdict": "relabel", "label": "cat"}, "no class 'cat'"),
        ({"index": 0, "verdict": "relabel", "label": ["1"]}, "no class"),
        ({"index": 0, "verdict": "ok", "seconds": "1"}, "must be a number"),
        ({"index": 0, "verdict": "ok", "seconds": float("nan")}, "must be from 0"),
        ({"index": 0, "verdict": "ok", "seconds": -1}, "must be from 0"),
        ({"index": 0, "verdict": "ok", "slice": 1}, "must be true or false"),
        ({"index": 0, "verdict": "ok", "slice": True}, "training image"),
    ],
)
def test_what_is_no_decision_leaves_no_trace(tmp_path, content, told):
    review = open_review(small_queue(), tmp_path / "d.jsonl", "ann")
    with pytest.raises(DataError, match=told):
        review.decide(content)
    assert not (tmp_path / "d.jsonl").exists()


def test_disagreement_comes_back_and_is_settled(tmp_path):
    path, queue = tmp_path / "d.jsonl", small_queue()
    open_review(queue, path, "ann").decide({"index": 1, "verdict": "ok"})
    open_review(queue, path, "bob").decide({"index": 1, "verdict": "drop"})
    third = open_review(queue, path, "ann")
    shown = third.state()["items"]
    assert len(shown) == 6
    assert "ann: ok; bob: drop" in shown[-1]["why"]
    assert shown[-1]["settles"]
    assert any("reviewers disagree on 1 images" in line for line in summary(path, third))
    third.decide({"index": 5, "verdict": "relabel", "label": "4"})
    assert third.undo() == {"index": 5}
    third.decide({"index": 5, "verdict": "relabel", "label": "5"})
    said = read_decisions(path)
    assert newest_by_image(said)[queue.items[1].uid].label == "5"
    assert newest_by_image(said)[queue.items[1].uid].reason == queue.items[1].reason
    assert not [each for each in open_review(queue, path, "eve").tasks if each.settles]


def test_a_queue_can_go_on_after_its_decisions_were_applied(tmp_path):
    path, queue = tmp_path / "d.jsonl", small_queue()
    source = {**SOURCE, "overlay": str(path), "train_limit": 11}
    laid = replace(queue, data=(source,))
    review = open_review(laid, path, "ann")
    review.decide({"index": 0, "verdict": "drop"})
    pictures = Pictures(laid, open_queue_data(laid))
    assert pictures.encoded(queue.items[0].uid, "seen")[0] == "image/png"


def test_a_queue_is_dealt_out():
    items = [Item(f"{n:064x}", "", "random", "") for n in range(101)]
    names = ["ann", "bob", "eve"]
    own = {name: {each.uid for each in assigned_items(items, name, names, 0.1)} for name in names}
    shared = set.intersection(*own.values())
    assert len(shared) == 10
    assert set.union(*own.values()) == {each.uid for each in items}
    assert sorted(len(each) for each in own.values()) == [40, 40, 41]
    assert sum(len(each - shared) for each in own.values()) == 91
    assert assigned_items(items, "x", [], 0.1) == items
    with pytest.raises(DataError, match="not among"):
        assigned_items(items, "x", names, 0.1)
    with pytest.raises(DataError, match="overlap is 2"):
        assigned_items(items, "ann", names, 2)


def test_kappa_is_cohens():
    random = np.random.default_rng(0)
    for _ in range(20):
        a = random.choice(["x", "y", "z"], 40)
        b = np.where(random.random(40) < 0.6, a, random.choice(["x", "y", "z"], 40))
        own = cohen_kappa(list(zip(a.tolist(), b.tolist(), strict=True)))
        assert own == pytest.approx(cohen_kappa_score(a, b))
    assert cohen_kappa([("x", "x")] * 5) is None


def test_agreement_is_of_first_words():
    def said(n, by, verdict, minute, **more):
        return Decision(f"{n:064x}", verdict, by, f"2026-11-21T02:{minute:02d}:00Z", **more)

    found = agreements(
        [
            said(1, "ann", "ok", 0, was="a"),
            said(1, "bob", "relabel", 1, label="a", was="b"),  # the same class
            said(2, "ann", "ok", 2, was="a"),
            said(2, "bob", "drop", 3),
            said(2, "bob", "ok", 4, was="a"),  # after a look at ann's
            said(2, "bob", "ok", 5, was="a", settles=True),
            said(3, "ann", "skip", 6),
            said(3, "bob", "ok", 7, was="a"),
        ]
    )
    assert [(each.reviewers, each.n, each.share) for each in found] == [(("ann", "bob"), 2, 0.5)]


def test_an_image_without_a_label_needs_one(tmp_path):
    queue = small_queue()
    bare = replace(queue, items=tuple(replace(each, given=None) for each in queue.items))
    review = open_review(bare, tmp_path / "d.jsonl", "ann")
    with pytest.raises(DataError, match="has no label: choose a class"):
        review.decide({"index": 0, "verdict": "ok"})
    assert review.decide({"index": 0, "verdict": "relabel", "label": "3"})["word"] == "relabel 3"


def test_reviewers_have_names(tmp_path):
    for name in ("", " ", "a\nb"):
        with pytest.raises(DataError, match="needs a name"):
            open_review(small_queue(), tmp_path / "d.jsonl", name)


def test_predictions_for_test_images_reach_no_reviewer(tmp_path):
    """Neither the page nor a decision has them, also when reviewers disagree."""
    base = small_queue().items
    contradicted = replace(base[1], reason="disagreement", why="network predicts 4, refiner 3")
    queue = replace(small_queue(), items=(base[0], contradicted, *base[2:]))
    assert contradicted.split == "test"
    review = open_review(queue, tmp_path / "d.jsonl", "ann")
    train, test = review.state()["items"][:2]
    assert train["network"] == {"3": 0.75, "8": 0.2}
    assert (test["suggest"], test["network"], test["refiner"], test["aum"]) == (None, {}, {}, None)
    assert "predicts 4" not in test["why"]
    assert (train["test"], test["test"]) == (False, True)
    review.decide({"index": 1, "verdict": "ambiguous"})
    assert read_decisions(tmp_path / "d.jsonl")[0].shares == ()
    open_review(queue, tmp_path / "d.jsonl", "bob").decide({"index": 1, "verdict": "ok"})
    settling = open_review(queue, tmp_path / "d.jsonl", "ann").state()["items"][-1]
    assert settling["settles"]
    assert settling["why"] == "reviewers disagree. ann: ambiguous; bob: ok"
    assert settling["suggest"] is None
