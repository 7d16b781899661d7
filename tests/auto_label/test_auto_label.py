import csv
import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.networks.runs import CLASSES, write_network
from tinyrefinery.auto_label.auto_labels import AUDIT, Limits, auto_label
from tinyrefinery.cli.main import app
from tinyrefinery.data.open import open_data
from tinyrefinery.data.overlay.decisions import Decision, append_decisions
from tinyrefinery.data.sources.folder import open_unlabeled
from tinyrefinery.errors import DataError
from tinyrefinery.review.queue import read_queue


def write_pictures(root, n, seed, *, sorted_out):
    """Pictures whose brightness is the class; for the gold, in a folder a class."""
    random = np.random.default_rng(seed)
    for number in range(n):
        label = number % 2
        folder = root / (CLASSES[label] if sorted_out else "new")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 40, (8, 8), np.uint8) + (180 if label else 20)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:04d}.png")
    return root


class Brightness:
    """Calls bright images persons; very sure but for one in `doubt`."""

    name, classes, channels, size = "brightness", CLASSES, 1, (8, 8)

    def __init__(self, doubt=10, wrong=()):
        self.doubt, self.wrong = doubt, wrong

    def __call__(self, dataset, rows):
        found = []
        for row in rows:
            called = int(dataset.images.pixels(int(row)).mean() > 100)
            called = 1 - called if int(row) in self.wrong else called
            sure = 0.6 if row % self.doubt == 0 else 0.99
            found.append([sure, 1 - sure] if called == 0 else [1 - sure, sure])
        return np.array(found).reshape(-1, 2)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    home = tmp_path_factory.mktemp("auto")
    write_pictures(home / "gold", 600, 0, sorted_out=True)
    write_pictures(home / "photos", 200, 1, sorted_out=False)
    return home


@pytest.fixture
def data(places):
    gold = open_data("folder", root=str(places / "gold"), channels=1, validation=0.0)
    return open_unlabeled(places / "photos", 1), gold, np.arange(600)


def said(uid, verdict, was, **more):
    return Decision(uid, verdict, "ann", "2026-11-21T02:00:00Z", was=was, reason=AUDIT, **more)


def test_three_bands_and_a_check(data):
    wrong = tuple(range(0, 600, 10))  # of the gold: every doubtful one is wrong
    images, gold, rows = data
    limits = Limits(reject_below=0.5, audit=0.2)

    class Doubtful(Brightness):
        def __call__(self, dataset, rows):
            self.wrong = wrong if dataset is not images else ()
            return super().__call__(dataset, rows)

    made = auto_label(Doubtful(), images, gold, rows, limits)
    assert [each.bound for each in made.thresholds] == [0.99, 0.99]
    assert made.counts() == {"accept": 180, "review": 20, "reject": 0}
    assert 15 < len(made.audited) < 60  # a fifth of 180
    assert set(made.audited) <= set(made.bands.rows("accept"))
    assert made.error is None
    more = auto_label(Doubtful(), images, gold, rows, Limits(audit=0.4))
    assert set(made.audited) <= set(more.audited)  # who was drawn stays drawn


def test_the_error_is_that_of_the_checked_ones(data):
    images, gold, rows = data
    first = auto_label(Brightness(), images, gold, rows, Limits(audit=0.2))
    manifest = first.dataset.manifest
    names = [manifest.classes[label] for label in manifest.labels]
    uids = manifest.column("id")
    words = [said(str(uids[row]), "ok", names[row]) for row in first.audited]
    row = first.audited[0]
    other = CLASSES[1 - CLASSES.index(names[row])]
    words[0] = said(str(uids[row]), "relabel", names[row], label=other)
    again = auto_label(Brightness(), images, gold, rows, Limits(audit=0.2), words)
    assert again.error is not None
    assert (again.error.wrong, again.error.n) == (1, len(first.audited))
    undo = Decision(words[0].uid, "undo", words[0].by, "2026-11-21T03:00:00Z", of=words[0].at)
    undone = auto_label(Brightness(), images, gold, rows, Limits(audit=0.2), [*words, undo])
    assert undone.error is not None
    assert (undone.error.wrong, undone.error.n) == (0, len(first.audited) - 1)
    stale = [said(each.uid, "ok", "another") for each in words]
    assert auto_label(Brightness(), images, gold, rows, Limits(audit=0.2), stale).error is None


def test_gold_and_new_images_are_apart(data):
    _, gold, rows = data
    with pytest.raises(DataError, match=r"also used for the audit, first .*\.png: remove them"):
        auto_label(Brightness(), gold, gold, rows, Limits())


def invoke(*words):
    return CliRunner().invoke(app, ["label", *map(str, words)])


@pytest.fixture
def command(places, tmp_path, monkeypatch):
    """The command's words up to its options, with a network that is our `Brightness`."""
    monkeypatch.setattr("tinyrefinery.auto_label.setup.open_labeler", lambda wish: Brightness())
    out = tmp_path / "auto"
    words = [places / "photos", "--by", "x", "--gold", places / "gold", "--out", out]
    return [*words, "--precision", "0.95", "--audit", "0.5"], out


def test_the_command_marks_what_it_labels(command, places):
    words, out = command
    before = sorted(path for path in places.rglob("*"))
    done = invoke(*words, "--max-error", "0.05")
    assert done.exit_code == 1
    assert "no accepted label is checked yet" in done.output
    assert sorted(path for path in places.rglob("*")) == before
    lines = list(csv.DictReader((out / "metadata.csv").read_text().splitlines()))
    assert {line["split"] for line in lines} == {"train"}
    assert all(line["label_source"].startswith("auto:brightness@0.") for line in lines)
    opened = open_data("folder", root=str(out), channels=1, validation=0.0)
    assert len(opened.manifest) == len(lines)
    queue = read_queue(out / "queue.jsonl")
    assert {each.reason for each in queue.items} <= {AUDIT, "auto_label"}
    assert all((each.given is None) == (each.reason == "auto_label") for each in queue.items)
    told = json.loads((out / "label.json").read_text())
    assert told["counts"]["accept"] == len(lines)


def test_people_check_and_the_promise_holds(command, tmp_path):
    words, out = command
    invoke(*words)
    queue = read_queue(out / "queue.jsonl")
    path = tmp_path / "d.jsonl"
    checked = [each for each in queue.items if each.reason == AUDIT]
    append_decisions(path, [said(each.uid, "ok", each.given) for each in checked[:30]])
    words += ["--decisions", path, "--max-error"]
    few = invoke(*words, "0.05")
    assert few.exit_code == 1
    assert "UNPROVEN" in few.output
    assert "more checks without an error would show it" in few.output
    append_decisions(path, [said(each.uid, "ok", each.given) for each in checked[30:]])
    enough = invoke(*words, "0.05")
    assert enough.exit_code == 0, enough.output
    assert "PASS" in enough.output
    sources = [
        line["label_source"]
        for line in csv.DictReader((out / "metadata.csv").read_text().splitlines())
    ]
    assert sources.count("human:ann") == len(checked)
    left = read_queue(out / "queue.jsonl")
    assert not {each.uid for each in left.items} & {each.uid for each in checked}


def test_data_tests_refuse_auto_labels(command, tmp_path):
    words, out = command
    invoke(*words)
    text = (out / "metadata.csv").read_text().replace(",train,", ",test,", 60)
    (out / "metadata.csv").write_text(text)
    file = write_network(tmp_path / "n.safetensors", "one")
    suite = tmp_path / "data_tests.yaml"
    suite.write_text(f"data: {out}\ntests: {{t: {{metric: accuracy, at_least: 0, min_n: 1}}}}\n")
    done = CliRunner().invoke(app, ["test", str(file), str(suite)])
    assert done.exit_code == 2
    assert "predicted by a network" in " ".join(done.output.split())
    suite.write_text(suite.read_text() + "defaults: {auto_labels: true}\n")
    assert CliRunner().invoke(app, ["test", str(file), str(suite)]).exit_code == 0
    gold = CliRunner().invoke(
        app, ["label", str(tmp_path), "--by", "x", "--gold", str(out), "-o", str(tmp_path / "b")]
    )
    assert gold.exit_code == 2
