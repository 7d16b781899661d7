import json

import pytest

from tinyrefinery.data.overlay.decisions import (
    Decision,
    append_decisions,
    disagreements,
    merge_decisions,
    newest_by_image,
    parse_decision,
    read_decisions,
    valid_decisions,
)
from tinyrefinery.errors import DataError

A, B = "a" * 64, "b" * 64


def said(uid=A, verdict="ok", by="ann", minute=0, **more):
    return Decision(uid, verdict, by, f"2026-11-21T02:{minute:02d}:00+00:00", **more)


def test_lines_come_back_as_they_were(tmp_path):
    path = tmp_path / "labels" / "decisions.jsonl"
    both = [
        said(verdict="relabel", label="Kälte", was="cat", slices=("night",), seconds=1.5),
        said(B, "too_hard", minute=1, queue="q", reason="random", settles=True, note="n"),
    ]
    append_decisions(path, both[:1])
    append_decisions(path, both[1:])
    assert [each.as_json() for each in read_decisions(path)] == [each.as_json() for each in both]
    assert json.loads(path.read_text().splitlines()[0])["uid"] == f"sha256:{A}"


def test_the_newest_counts_wherever_it_stands():
    late = said(verdict="drop", minute=9)
    other_zone = Decision(A, "too_hard", "bob", "2026-11-21T03:05:00+01:00")  # 02:05 UTC
    assert newest_by_image([late, said(minute=1), other_zone])[A] is late
    assert [each.verdict for each in valid_decisions([late, said(minute=1), other_zone])] == [
        "ok",
        "too_hard",
        "drop",
    ]
    twin = said(verdict="ambiguous", minute=9)
    assert newest_by_image([late, twin])[A] is twin  # the later line


def test_a_skip_leaves_what_was_said():
    assert (
        newest_by_image([said(verdict="drop"), said(verdict="skip", minute=5)])[A].verdict == "drop"
    )
    assert newest_by_image([said(verdict="skip")]) == {}


def test_undo_takes_back_one_decision_of_its_own_person():
    first, second = said(minute=1), said(verdict="drop", minute=2)
    bobs = said(verdict="drop", by="bob", minute=2)
    undo = said(verdict="undo", minute=3, of=second.at)
    assert newest_by_image([undo, first, second])[A] is first
    assert newest_by_image([undo, first, second, bobs])[A] is bobs
    same_time = said(verdict="undo", minute=3, of="2026-11-21T02:02:00Z")
    assert newest_by_image([first, second, same_time])[A] is first


def test_conflicts_are_between_people_and_end_when_settled():
    ann, bob = said(), said(verdict="relabel", label="dog", by="bob", minute=1)
    assert set(disagreements([ann, bob])) == {A}
    assert not disagreements([ann, said(by="bob", minute=1)])
    assert not disagreements([ann, said(verdict="drop", minute=1)])  # ann changed her mind
    assert not disagreements([ann, said(verdict="skip", by="bob")])
    assert disagreements([bob, said(verdict="relabel", label="cat", by="eve", minute=2)])
    settled = said(verdict="drop", by="eve", minute=5, settles=True)
    assert not disagreements([ann, bob, settled])
    assert disagreements([ann, bob, settled, said(by="bob", minute=6)])


def test_a_line_cut_short_is_left_out_and_cut_off_before_the_next(tmp_path):
    path = tmp_path / "d.jsonl"
    append_decisions(path, [said(), said(B)])
    whole = path.read_bytes()
    for length in range(len(said().as_json()) + 2, len(whole) - 2):
        path.write_bytes(whole[:length])
        assert [each.uid for each in read_decisions(path)] == [A]
        append_decisions(path, [said(minute=7)])
        assert [each.when.minute for each in read_decisions(path)] == [0, 7]
    path.write_bytes(whole[:-1])  # whole but for its end
    append_decisions(path, [said(minute=7)])
    assert len(read_decisions(path)) == 3
    cut = said(note="é").as_json().encode()
    path.write_bytes(whole + cut[: cut.index("é".encode()) + 1])  # within a letter
    assert len(read_decisions(path)) == 2


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{oh", "is not JSON"),
        ("[]", "not a JSON object"),
        ('{"uid": "x"}', "'verdict' is missing"),
        (said().as_json().replace('"ok"', '"okay"'), "unknown verdict 'okay'. Did you mean 'ok'"),
        (said().as_json().replace("sha256:a", "sha256:g"), "not a SHA-256"),
        (said(verdict="relabel", label="x").as_json().replace('label":', 'lable":'), "lable"),
        (said(verdict="relabel").as_json(), "needs a 'label'"),
        (said(verdict="undo").as_json(), "needs 'of'"),
        (said().as_json().replace("+00:00", ""), "a time with a zone"),
        (said(seconds=2.0).as_json().replace("2.0", '"2"'), "not a number"),
        (said(slices=("a",)).as_json().replace('["a"]', '"a"'), "not a list"),
        ("\udcff", "is not JSON"),
    ],
)
def test_a_broken_line_is_named_by_its_number(tmp_path, line, told):
    path = tmp_path / "d.jsonl"
    content = f"{said().as_json()}\n\n{line}\n{said(B).as_json()}\n"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match="line 3") as error:
        read_decisions(path)
    assert told in str(error.value)


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_byte_order_mark_loses_no_decision(tmp_path, end):
    """Editors of Windows write one. The only line may have no end."""
    path = tmp_path / "decisions.jsonl"
    path.write_text(said().as_json() + end, "utf-8-sig")
    assert [each.uid for each in read_decisions(path)] == [A]
    append_decisions(path, [said(B)])
    assert [each.uid for each in read_decisions(path)] == [A, B]


def test_a_queue_is_named_as_one(tmp_path):
    path = tmp_path / "queue.jsonl"
    path.write_text('{"queue": "q", "format": 1, "classes": ["cat", "dog"]}\n{"uid": "x"}\n')
    with pytest.raises(DataError, match=r"line 1: this is a queue, not decisions. To decide: tiny"):
        read_decisions(path)


def test_merging_again_changes_nothing(tmp_path):
    path = tmp_path / "overlay.jsonl"
    both = [said(), said(B, minute=1)]
    assert merge_decisions(path, both[:1]) == both[:1]
    assert merge_decisions(path, [*both, both[1]]) == both[1:]
    before = path.read_bytes()
    assert merge_decisions(path, both) == []
    assert path.read_bytes() == before


def test_a_decision_needs_no_prefix():
    assert (
        parse_decision({"uid": A, "verdict": "ok", "by": "a", "at": "2026-01-01T00:00:00Z"}).uid
        == A
    )
