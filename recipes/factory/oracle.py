"""Decisions as a person would give them, from what is known of made scenes; for trying the cycle.

python oracle.py QUEUE DECISIONS: stands where a person says `tinyrefinery review QUEUE`.
"""

import sys
from pathlib import Path

from tinyrefinery.data.open import open_data
from tinyrefinery.data.overlay.decisions import Decision, append_decisions, timestamp
from tinyrefinery.review.queue import Item, read_queue


def truths(source: dict) -> dict[str, str]:
    """The class that each scene shows, by its id, whatever its label says."""
    options = {name: value for name, value in source.items() if name not in ("name", "overlay")}
    dataset = open_data(source["name"], **options)
    columns = dataset.manifest.table.column_names
    shown = dataset.manifest.column("true_label" if "true_label" in columns else "label")
    return {
        uid: dataset.classes[k] for uid, k in zip(dataset.manifest.column("id"), shown, strict=True)
    }


def decided(item: Item, shown: str, queue: str) -> Decision:
    """One look at one image: the label is right, or another one is."""
    right = item.given == shown
    return Decision(
        uid=item.uid,
        verdict="ok" if right else "relabel",
        label=None if right else shown,
        was=item.given,
        by="oracle",
        at=timestamp(),
        queue=queue,
        reason=item.reason,
    )


def decide(queue_file: Path, decisions_file: Path) -> tuple[int, int]:
    """Decide a whole queue; how many images, and how many got another label."""
    queue = read_queue(queue_file)
    known: dict[str, str] = {}
    for source in queue.data:
        known |= truths(dict(source))
    found = [decided(item, known[item.uid], queue.name) for item in queue.items]
    decisions_file.unlink(missing_ok=True)
    append_decisions(decisions_file, found)
    return len(found), sum(each.verdict == "relabel" for each in found)


if __name__ == "__main__":
    looked, changed = decide(Path(sys.argv[1]), Path(sys.argv[2]))
    print(f"{sys.argv[2]}: {looked} decisions, {changed} of them another label")
