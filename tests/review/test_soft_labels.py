"""From what two reviewers say on the page to a network that learned from it."""

from typer.testing import CliRunner

from tests.networks.runs import RECIPE, write_photos
from tinyrefinery.cli.main import app
from tinyrefinery.data.open import open_data
from tinyrefinery.data.overlay.decisions import read_decisions
from tinyrefinery.review.queue import Item, Queue
from tinyrefinery.review.reviewing import open_review


def test_decisions_become_targets_of_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "photos", 80, (16, 16))
    data = open_data("folder", root="photos", channels=1)
    ids, given = data.manifest.column("id"), data.manifest.labels
    rows = data.manifest.rows("train")[:12]
    items = [
        Item(
            uid=str(ids[row]),
            file_name="",
            reason="label_suspect",
            why="",
            score=0.0,
            given=data.classes[given[row]],
            split="train",
            suggest=data.classes[1 - given[row]],
        )
        for row in rows
    ]
    queue = Queue("q-1", (), data.classes, 1, (16, 16), tuple(items), run="", seed=0, budget=12)
    for reviewer in ("ann", "bob"):
        review = open_review(queue, tmp_path / "d.jsonl", reviewer)
        for index, task in enumerate(review.tasks):
            if reviewer == "ann":
                review.decide({"index": index, "verdict": "ambiguous"})
            elif index < 4:
                said = {"verdict": "relabel", "label": task.item.suggest}
                review.decide({"index": index} | said)
    assert call("apply", "d.jsonl").exit_code == 0
    assert read_decisions(tmp_path / "labels" / "decisions.jsonl")[0].shares[0][1] == 0.5
    seen = open_data("folder", root="photos", channels=1, overlay="labels/decisions.jsonl")
    places, targets = seen.manifest.soft_labels
    assert places.tolist() == rows.tolist()
    for row, target in zip(places.tolist(), targets.tolist(), strict=True):
        share = 0.25 if row in rows[:4] else 0.5  # ann can't tell, bob says the other one
        assert target[given[row]] == share
    keys = {name: trained(tmp_path, name) for name in ("", "given", "soft", "drop")}
    assert len({*keys.values()}) == 4
    one = (tmp_path / "labels" / "decisions.jsonl").read_text().splitlines()[4:]
    (tmp_path / "labels" / "decisions.jsonl").write_text("\n".join(one[:8]) + "\n")
    assert trained(tmp_path, "given") == keys[""]  # ambiguous alone changes no class


def trained(home, ambiguous):
    """Key of the stage that a run trains."""
    (home / "recipe.yaml").write_text(RECIPE.format(root="photos").split("  - id: refined")[0])
    words = ["recipe.yaml", "stages.plain.epochs=1", "--runs", "runs", "--name", f"n{ambiguous}"]
    if ambiguous:
        words += ["data.source.overlay=labels/decisions.jsonl"]
        words += [f"data.source.ambiguous={ambiguous}"]
    done = call("run", *words)
    assert done.exit_code == 0, done.output
    finished = (home / "runs" / f"n{ambiguous}").glob("stages/*/done.json")
    return max(finished, key=lambda path: path.stat().st_mtime).parent.name


def call(*words):
    return CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)
