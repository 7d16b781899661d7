"""Queues of street numbers, and a review of one, served in a thread."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from tinyrefinery.data.open import open_data
from tinyrefinery.review.queue import Item, Queue
from tinyrefinery.review.queue_pictures import Pictures, open_queue_data
from tinyrefinery.review.reviewing import open_review
from tinyrefinery.review.server import ReviewServer

SOURCE = {"name": "street_numbers", "train": 12, "validation": 4, "test": 8, "digits": 1}


def small_queue(n: int = 6, **more: Any) -> Queue:
    """Half of the images are of training, half of test; each second one has a suggestion."""
    data = open_data("street_numbers", **{k: v for k, v in SOURCE.items() if k != "name"})
    manifest, names = data.manifest, data.classes
    rows = [place // 2 if place % 2 == 0 else 16 + place // 2 for place in range(n)]
    items = [
        Item(
            uid=str(manifest.column("id")[row]),
            file_name=f"<img src=x onerror=alert({row})>",
            reason="random" if row % 3 == 0 else "label_suspect",
            why=f"because of {row} </script><b>",
            given=names[manifest.labels[row]],
            split=str(manifest.column("split")[row]),
            suggest=names[(manifest.labels[row] + 1) % 10] if place % 2 else None,
            network={"3": 0.75, "8": 0.2},
        )
        for place, row in enumerate(rows)
    ]
    facts: dict[str, Any] = {"data": (SOURCE,), "classes": names, "channels": 1, "size": (16, 24)}
    return Queue(name="q-test", items=tuple(items), **{**facts, **more})


@contextmanager
def served(path: Path, queue: Queue | None = None, **options: Any) -> Iterator[ReviewServer]:
    """A server at work; options as `open_review` takes them."""
    queue = queue or small_queue()
    review = open_review(queue, path, options.pop("reviewer", "ann"), **options)
    server = ReviewServer(review, Pictures(queue, open_queue_data(queue)))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
