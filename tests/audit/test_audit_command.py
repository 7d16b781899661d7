"""The command `audit`: what it says, of odd data and bad input too."""

import subprocess
import sys

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from tests.data.pictures import class_folders, encoded, picture, pixels, write
from tinyrefinery.audit.accepted import read_accepted
from tinyrefinery.cli.main import app


def asked(*words):
    return CliRunner().invoke(app, ["audit", *map(str, words)], catch_exceptions=False)


def scenes(root):
    from tests.data.test_copies import scene

    for number, name in enumerate(("cat", "dog")):
        for split, count in (("train", 30), ("test", 12)):
            for i in range(count):
                content = encoded(scene(1000 * number + 100 * (split == "test") + i, 24, 24), "png")
                write(root / split / name / f"{i}.png", content)
    return root


def test_the_command_on_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = scenes(tmp_path / "photos")
    assert asked(root, "validation=0", "--out", "clean").exit_code == 0
    from tests.data.test_copies import scene

    write(root / "train" / "cat" / "again.jpg", encoded(scene(100, 24, 24), "jpeg", quality=90))
    result = asked(root, "validation=0", "--out", "found")
    assert result.exit_code == 1
    assert "1 image in several splits" in result.output
    told = " ".join(result.output.split())
    assert "1 evaluation image has a copy in another split" in told
    assert (tmp_path / "found" / "audit.html").exists()
    mended = asked(root, "validation=0", "exclude=found/leaks.txt", "--out", "mended")
    assert mended.exit_code == 0
    assert "excluded" in mended.output
    # Another copy, and the audit writes to the very list that the data leaves out.
    before = (tmp_path / "found" / "leaks.txt").read_text()
    write(root / "train" / "cat" / "more.jpg", encoded(scene(101, 24, 24), "jpeg", quality=90))
    assert asked(root, "validation=0", "exclude=found/leaks.txt", "--out", "found").exit_code == 1
    after = (tmp_path / "found" / "leaks.txt").read_text()
    assert after.startswith(before)
    assert "more.jpg" in after
    done = asked(root, "validation=0", "exclude=found/leaks.txt", "--out", "mended")
    assert done.exit_code == 0


ODD = ("[red]", "a b  c", "日本語", ":smile:", "9")


def test_odd_names_and_empty_splits_are_told_as_they_are(tmp_path, monkeypatch):
    """Of classes, folders and the place of the lists, which stand in commands to paste."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "my {photos}"
    for number, name in enumerate(ODD):
        for i in range(12):
            write(root / "train" / name / f"{i} [x].png", picture(100 * number + i))
    (root / "test" / "9").mkdir(parents=True)
    for i in range(3):
        copy = root / "train" / ODD[i] / f"{i} [x].png"
        write(root / "validation" / ODD[i] / f"{i}.png", copy.read_bytes())
    write(root / "train" / "9" / "again.png", picture(300))
    result = asked(root, "test=0", "--out", "out {1}")
    assert result.exit_code == 1, result.output
    assert "61 images (58 train, 3 validation, 0 test), 5 classes" in result.output
    assert "left out of train, and 2 more" in result.output
    assert "in validation: '9' with 0, ':smile:' with 0, '[red]' with 1" in result.output
    assert "tinyrefinery run RECIPE data.source.exclude='out {1}'/conflicts.txt" in result.output
    page = (tmp_path / "out {1}" / "audit.html").read_text()
    assert "&#39;[red]&#39; with 1" in page


def test_entries_for_the_accept_list_can_be_pasted(tmp_path):
    """With class names that YAML would read as something else, or that have several lines."""
    names = ("a, b: {c}", "0", "two\nlines")
    for number, name in enumerate(names):
        for i in range(30):
            content = encoded(pixels(100 * number + i) // (number + 1))
            write(tmp_path / "photos" / name / f"{i}.png", content)
    result = asked(tmp_path / "photos", "--out", tmp_path / "out")
    entries = [
        line.split("reason: - ", 1)[1] for line in result.output.splitlines() if "{p" in line
    ]
    found = yaml.safe_load("accept:\n" + "".join(f"  - {entry}\n" for entry in entries))["accept"]
    assert {entry["class"] for entry in found} <= set(names)
    assert len({entry["class"] for entry in found}) >= 2
    (tmp_path / "accept.yaml").write_text(
        "accept:\n" + "".join(f"  - {e.replace('...', 'known')}\n" for e in entries)
    )
    read = read_accepted(tmp_path / "accept.yaml", names)
    assert {name for _, name in read} == {entry["class"] for entry in found}
    words = tmp_path / "photos", "--accept", tmp_path / "accept.yaml", "--out", tmp_path / "again"
    assert "accepted shortcut" in " ".join(asked(*words).output.split())


def test_a_class_called_0_is_accepted_without_quotes(tmp_path):
    (tmp_path / "accept.yaml").write_text("accept: [{property: noise, class: 0, reason: known}]")
    assert read_accepted(tmp_path / "accept.yaml", ["0", "1"]) == {("noise", "0"): "known"}


def test_unreadable_images_are_told(tmp_path):
    root = class_folders(tmp_path / "photos", each=12)
    write(root / "cat" / "broken.png", picture(1)[:40])
    result = asked(root, "--out", tmp_path / "out", "validation=0")
    assert "broken image" in result.output
    assert "broken.png" in result.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere"),
        (["{root}", "grup=x"], "grup: unknown key (did you mean 'group'?)"),
        (["{root}", "group"], "not an option of the source"),
        (["{root}", "--group", "home"], "no column 'home'"),
        (["{root}", "--accept", "none.yaml"], "can't read the accept list"),
        (["{root}", "--reference", "nowhere"], "nowhere: no such folder"),
        (["{root}", "--fail-on", "shortcuts"], "Did you mean 'shortcut'"),
        (["{root}", "--stage", "plain"], "is not a run folder"),
        (["{root}", "--model", "none.safetensors"], "there is no such file"),
        (["{root}", "--refiner", "none.safetensors"], "needs --input-size"),
    ],
)
def test_bad_input_is_one_message(tmp_path, words, message):
    root = class_folders(tmp_path / "photos")
    words = [word.format(root=root) for word in words]
    result = asked(*words, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output


def test_reference_images_without_labels(tmp_path):
    root = scenes(tmp_path / "photos")
    for i in range(40):
        night = np.full((24, 24, 3), 10 + i % 7, np.uint8)
        night[i % 20 :, : 3 + i % 9] = 30
        write(tmp_path / "field" / f"{i}.png", encoded(night, "png"))
    result = asked(root, "validation=0", "--reference", tmp_path / "field", "--out", tmp_path / "o")
    assert "shift" in result.output
    assert "train and reference differ" in result.output


def test_an_audit_without_a_network_does_without_torch(tmp_path):
    """Torch takes seconds and hundreds of MiB to import."""
    scenes(tmp_path / "photos")
    code = (
        "import sys; from pathlib import Path; from tinyrefinery.cli.audit import audit; "
        "audit('photos', out=Path('audit')); print('torch imported:', 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "torch imported: False" in done.stdout
    assert (tmp_path / "audit" / "audit.html").exists()
