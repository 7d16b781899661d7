from contextlib import suppress
from threading import BrokenBarrierError

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint
from typer.testing import CliRunner

from tinyrefinery.cli.main import app
from tinyrefinery.data.overlay.decisions import (
    Decision,
    append_decisions,
    newest_by_image,
    read_decisions,
)
from tinyrefinery.review.error_rate import label_error
from tinyrefinery.review.slice_lists import add_to_slices


def said(n, verdict="ok", minute=0, by="ann", **more):
    return Decision(f"{n:064x}", verdict, by, f"2026-11-21T02:{minute:02d}:00Z", **more)


def test_the_error_of_labels_is_that_of_the_random_ones():
    wrong = [said(n, "relabel", label="a", was="b", reason="random") for n in range(3)]
    right = [said(n, was="b", reason="random") for n in range(3, 20)]
    others = [said(n, "relabel", label="a", was="b", reason="label_suspect") for n in range(30, 90)]
    unclear = [said(20, "drop", reason="random"), said(21, "skip", reason="random")]
    found = label_error([*wrong, *right, *others, *unclear])
    assert found is not None
    assert (found.wrong, found.n, found.unclear) == (3, 20, 1)
    assert np.allclose((found.low, found.high), proportion_confint(3, 20, method="wilson"))
    assert label_error(others) is None


def test_apply_collects_and_may_be_repeated(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "queue.decisions.jsonl"
    append_decisions(
        path,
        [
            said(1, "relabel", label="a", was="b", reason="random"),
            said(2, slices=("fixed",), file_name="x.png"),
            said(2, "too_hard", by="bob", minute=1),
        ],
    )
    first = CliRunner().invoke(app, ["apply", str(path)])
    assert first.exit_code == 0, first.output
    assert "3 new lines" in first.output
    assert "disagree about 1 images" in first.output
    assert "100.0%" in first.output
    lines = (tmp_path / "slices" / "fixed.txt").read_text()
    assert lines == f"sha256:{2:064x}  # x.png by ann 2026-11-21\n"
    overlay = (tmp_path / "labels" / "decisions.jsonl").read_bytes()
    again = CliRunner().invoke(app, ["apply", str(path), str(path)])
    assert "0 new lines" in again.output
    assert (tmp_path / "labels" / "decisions.jsonl").read_bytes() == overlay
    assert (tmp_path / "slices" / "fixed.txt").read_text() == lines


def test_an_undo_reaches_the_overlay_later(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "d.jsonl"
    drop = said(1, "drop")
    append_decisions(path, [drop])
    CliRunner().invoke(app, ["apply", str(path)])
    append_decisions(path, [said(1, "undo", 3, of=drop.at)])
    CliRunner().invoke(app, ["apply", str(path)])
    assert newest_by_image(read_decisions(tmp_path / "labels" / "decisions.jsonl")) == {}


def test_what_is_taken_back_or_dropped_leaves_its_list(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    joined = [said(n, slices=("fixed",)) for n in range(1, 4)]
    append_decisions(tmp_path / "d.jsonl", joined)
    CliRunner().invoke(app, ["apply", "d.jsonl"])
    file = tmp_path / "slices" / "fixed.txt"
    own = f"# by hand\n{99:064x}\n"
    file.write_text(own + file.read_text())
    append_decisions(tmp_path / "d.jsonl", [said(1, "undo", 3, of=joined[0].at)])
    append_decisions(tmp_path / "other.jsonl", [said(2, "drop", 4, by="bob")])
    for name in ("d.jsonl", "other.jsonl", "d.jsonl"):
        done = CliRunner().invoke(app, ["apply", name])
        assert done.exit_code == 0, done.output
    assert file.read_text() == own + f"sha256:{3:064x}  # by ann 2026-11-21\n"


def test_broken_files_change_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.jsonl").write_text(f"{said(1).as_json()}\n{{}}\n")
    done = CliRunner().invoke(app, ["apply", "d.jsonl"])
    assert done.exit_code == 2
    assert "d.jsonl, line 2: 'uid' is missing" in done.output
    assert not (tmp_path / "labels").exists()


def test_slices_have_safe_names(tmp_path):
    import pytest

    from tinyrefinery.errors import DataError

    for name in ("../x", "a/b", "", ".x", "a" * 99):
        with pytest.raises(DataError, match="not a valid name for a slice"):
            add_to_slices(tmp_path, [said(1, slices=(name,))])
    assert not any(tmp_path.iterdir())
    assert add_to_slices(tmp_path, [said(1, "drop", slices=("a",))]) == {}


def test_two_commands_at_once_add_nothing_twice(tmp_path):
    """The second reads the overlay when the first has written it."""
    from concurrent.futures import ThreadPoolExecutor
    from threading import Barrier

    from tinyrefinery.data.overlay import decisions as module

    given = [said(number, "ok", number % 60) for number in range(1, 200)]
    barrier, read = Barrier(2, timeout=1), module.read_decisions

    def together(path):
        found = read(path)
        with suppress(BrokenBarrierError):  # only one of them is here at a time
            barrier.wait()
        return found

    path = tmp_path / "overlay.jsonl"
    path.touch()
    with ThreadPoolExecutor(2) as pool, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "read_decisions", together)
        list(pool.map(lambda _: module.merge_decisions(path, given), range(2)))
    assert len(path.read_text().splitlines()) == len(given)
