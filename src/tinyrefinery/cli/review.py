"""`tinyrefinery review`: review a queue of images, in the browser or in Label Studio."""

import getpass
import json
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinyrefinery.cli import streams
from tinyrefinery.cli.options import check_default, option, output_file
from tinyrefinery.errors import DataError
from tinyrefinery.files import write_atomic
from tinyrefinery.review.label_studio import interface, tasks
from tinyrefinery.review.queue import Queue, read_queue
from tinyrefinery.review.reviewing import Review, open_review, summary

if TYPE_CHECKING:
    from tinyrefinery.review.queue_pictures import Pictures


def review(
    queue: Annotated[Path, typer.Argument(help="Queue file that `mine` or `label` wrote.")],
    decisions: Annotated[
        Path | None, output_file("File that collects decisions.", default="QUEUE.decisions.jsonl")
    ] = None,
    reviewer: Annotated[
        str | None, option("NAME", "Your name in the decisions.", default="your login name")
    ] = None,
    among: Annotated[
        str | None, option("NAMES", "All reviewers, e.g. ann,bob. The queue is split among them.")
    ] = None,
    overlap: Annotated[
        float, option("SHARE", "Share of images that all reviewers see, 0 to 1.")
    ] = 0.1,
    slice_name: Annotated[
        str, option("NAME", "List that key t adds an image to.", "--slice")
    ] = "fixed",
    port: Annotated[
        int, option("PORT", "Port of the page. 0: any free port.", min=0, max=65535)
    ] = 0,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open the page in your browser.")
    ] = False,
    static: Annotated[Path | None, output_file("Only write the page as one HTML file.")] = None,
    label_studio: Annotated[
        Path | None, output_file("Only write tasks for Label Studio (.json).")
    ] = None,
    root: Annotated[Path, option("FOLDER", "Folder that Label Studio serves files from.")] = Path(
        "."
    ),
) -> None:
    """Review a queue of images in the browser, by keyboard."""
    from tinyrefinery.review.queue_pictures import Pictures, open_queue_data

    content = read_queue(queue)
    if label_studio is not None:
        _write_tasks(content, label_studio, root)
        return
    path = decisions or queue.with_name(f"{queue.stem}.decisions.jsonl")
    check_default(path, other="--decisions FILE")
    opened = open_review(
        content,
        path,
        reviewer or _login(),
        reviewers=[name.strip() for name in among.split(",")] if among else (),
        overlap=overlap,
        slice_name=slice_name,
    )
    pictures = Pictures(content, open_queue_data(content))
    if static is not None:
        _write_static(static, opened, pictures)
        return
    _serve(opened, pictures, port, open_page=open_page)


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError) as error:  # an account without a name
        raise DataError("this account has no name; name the reviewer with --reviewer") from error


def _serve(review: Review, pictures: "Pictures", port: int, *, open_page: bool) -> None:
    from tinyrefinery.review.server import ReviewServer

    with ReviewServer(review, pictures, port) as server:
        streams.echo(f"{len(review.tasks) - len(review.decided)} images to look at; Ctrl-C ends")
        streams.echo(server.url)
        if open_page:
            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:  # the way to end it: all decisions are on disk
            streams.echo()
    for line in summary(review.path, review):
        streams.echo(line)
    streams.echo(f"next: tinyrefinery apply {review.path}")


def _write_static(path: Path, review: Review, pictures: "Pictures") -> None:
    from tinyrefinery.review.page import static_page

    write_atomic(path, static_page(review, pictures))
    streams.echo(f"{path}: {len(review.tasks) - len(review.decided)} images; needs no server")


def _write_tasks(queue: Queue, path: Path, root: Path) -> None:
    write_atomic(path, json.dumps(tasks(queue, root), ensure_ascii=False, indent=1) + "\n")
    write_atomic(path.with_suffix(".xml"), interface(queue.classes))
    streams.echo(
        f"{path}: {len(queue.items)} tasks; labeling interface: {path.with_suffix('.xml')}"
    )
    streams.echo("next: export as JSON, then: tinyrefinery apply EXPORT.json")
