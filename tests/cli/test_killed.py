"""Commands that were killed while they wrote: the next one removes what is left."""

import os
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from tests.audit.test_audit_command import scenes
from tests.auto_label.test_auto_label import Brightness, write_pictures
from tinyrefinery.cli.main import app
from tinyrefinery.files import remove_half_written

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="finds open files in /proc")
STOPS_AT_OUTPUT = """
import os, sys, time
from tests.auto_label.test_auto_label import Brightness
import tinyrefinery.auto_label.setup as setup

def fsync(file):
    if os.path.dirname(os.readlink(f"/proc/self/fd/{file}")) == sys.argv[-1]:
        time.sleep(300)

os.fsync = fsync
setup.open_labeler = lambda wish: Brightness()
from tinyrefinery.cli.main import app
app(sys.argv[1:])
"""


def kill_while_writing(words, out):
    """Start a command that stops in the middle of its first output, and kill it there."""
    victim = subprocess.Popen([sys.executable, "-c", STOPS_AT_OUTPUT, *words, "--out", str(out)])
    try:
        deadline = time.monotonic() + 600
        while not list(out.glob(".*.part")) and time.monotonic() < deadline:
            assert victim.poll() is None, "it ended before it wrote anything"
            time.sleep(0.02)
    finally:
        os.kill(victim.pid, signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    return list(out.glob(".*.part"))


@LINUX
def test_a_killed_audit_leaves_nothing_behind(tmp_path):
    words, out = ["audit", str(scenes(tmp_path / "photos")), "validation=0"], tmp_path / "out"
    assert kill_while_writing(words, out)
    done = CliRunner().invoke(app, [*words, "--out", str(out)], catch_exceptions=False)
    assert done.exit_code == 0
    assert (out / "audit.json").exists()
    assert not list(out.glob(".*"))


@LINUX
def test_a_killed_label_leaves_nothing_behind(tmp_path, monkeypatch):
    gold = write_pictures(tmp_path / "gold", 200, 0, sorted_out=True)
    photos, out = write_pictures(tmp_path / "photos", 40, 1, sorted_out=False), tmp_path / "out"
    words = ["label", str(photos), "--by", "x", "--gold", str(gold), "--precision", "0.9"]
    assert kill_while_writing(words, out)
    assert not (out / "metadata.csv").exists()  # half of it is no result
    monkeypatch.setattr("tinyrefinery.auto_label.setup.open_labeler", lambda wish: Brightness())
    done = CliRunner().invoke(app, [*words, "--out", str(out)], catch_exceptions=False)
    assert done.exit_code == 0
    assert (out / "metadata.csv").exists()
    assert not list(out.glob(".*"))


def test_only_half_written_outputs_are_removed(tmp_path):
    half = [".a.csv.0123abcd.part", ".b.csv.0123abcd.part"]
    kept = ["a.csv", "a.part", ".a.csv.part", ".0123abcd.part", ".hidden"]
    (tmp_path / "below").mkdir()
    for name in (*half, *kept, f"below/{half[0]}"):
        (tmp_path / name).write_text("x")
    remove_half_written(files=[tmp_path / "a.csv", None], folders=[tmp_path / "missing", None])
    assert not (tmp_path / half[0]).exists()
    assert (tmp_path / half[1]).exists()
    remove_half_written(folders=[tmp_path])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*kept, "below"])
    assert (tmp_path / "below" / half[0]).exists()


def test_what_another_command_is_writing_stays(tmp_path):
    for name in (".a.csv.0123abcd.part", ".a.0123abcd.part", ".old.tflite.0123abcd.part"):
        (tmp_path / name).write_text("x")
    os.utime(tmp_path / ".old.tflite.0123abcd.part", (time.time() - 7200,) * 2)
    remove_half_written(files=[tmp_path / "a"])
    assert not (tmp_path / ".a.0123abcd.part").exists()
    assert (tmp_path / ".a.csv.0123abcd.part").exists()
    remove_half_written(shared=[tmp_path])
    assert [path.name for path in tmp_path.iterdir()] == [".a.csv.0123abcd.part"]


@pytest.mark.parametrize("words", [["export", "none", "--out"], ["run", "none", "--runs"]])
def test_a_folder_of_many_outputs_is_not_cleaned_of_what_another_command_writes(tmp_path, words):
    (tmp_path / ".net.tflite.0123abcd.part").write_text("x")
    CliRunner().invoke(app, [*words, str(tmp_path)])
    assert (tmp_path / ".net.tflite.0123abcd.part").exists()
