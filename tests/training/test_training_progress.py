"""What a training shows while it runs."""

import io
import logging
import re

import pytest

from tests.training.test_loop import job
from tinyrefinery.training import training_progress as progress
from tinyrefinery.training.loop import fit


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self):
        return True


def lines(caplog):
    return [record.getMessage() for record in caplog.records]


@pytest.fixture(autouse=True)
def messages(caplog):
    caplog.set_level(logging.INFO, "tinyrefinery")


def validate(_network):
    return {"validation_loss": 1.0, "validation_top1": 0.25}


def test_a_line_per_training_without_a_terminal(tmp_path, caplog):
    fit(job(tmp_path, validate=validate))
    (line,) = lines(caplog)
    pattern = (
        r".*: epoch 3/3, loss [\d.]+, train crops [\d.]+%, validation 25\.0%, [\d,]+ images/s, "
    )
    assert re.fullmatch(pattern + r"took \d+:\d\d", line)


def test_long_trainings_report_on_the_way(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    fit(job(tmp_path, validate=validate))
    first, second, *_ = lines(caplog)
    assert "epoch 1/3" in first
    assert re.search(r"\d+:\d\d left$", first)
    assert "epoch 2/3" in second


def test_a_bar_in_a_terminal(tmp_path, caplog, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    monkeypatch.setattr("sys.stderr", Terminal())
    drawn = []
    monkeypatch.setattr(progress.tqdm, "update", lambda bar, n=1: drawn.append((n, bar.total)))
    fit(job(tmp_path, validate=validate))
    assert len(drawn) == 15
    assert {total for _, total in drawn} == {15}


def test_a_bar_starts_where_an_interrupted_training_stopped(monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    monkeypatch.setattr("sys.stderr", Terminal())
    shown = progress.TrainingProgress("net", 4, 100, shown=True)
    shown.advance(2, 3, 10)
    assert (shown._bar.initial, shown._bar.n, shown._bar.total) == (22, 23, 40)


def test_other_processes_are_silent(caplog):
    shown = progress.TrainingProgress("net", 1, 100, shown=False)
    shown.advance(0, 1, 1)
    shown.close({"epoch": 1, "train_loss": 1.0, "seconds": 1.0})
    assert not lines(caplog)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (7, "0:07"), (750, "12:30"), (3900.2, "1:05:00")]
)
def test_durations(seconds, text):
    assert progress.duration(seconds) == text
