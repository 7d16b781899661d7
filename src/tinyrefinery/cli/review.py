"""`tinyrefinery review`: look at a queue, on a page or in Label Studio."""

import getpass
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinyrefinery.cli.options import a_file

if TYPE_CHECKING:
    from tinyrefinery.review.queue import Queue
    from tinyrefinery.review.queue_pictures import Pictures
    from tinyrefinery.review.reviewing import Review


def review(
    queue: Annotated[Path, typer.Argument(help="A queue, as `tinyrefinery mine` writes.")],
    decisions: Annotated[
        Path | None,
        typer.Option(help="File of the decisions; else QUEUE.decisions.jsonl.", callback=a_file),
    ] = None,
    reviewer: Annotated[
        str | None, typer.Option(help="Who decides; else the name of the login.")
    ] = None,
    among: Annotated[
        str | None, typer.Option(help="All reviewers, e.g. ann,bob: the queue is dealt out.")
    ] = None,
    overlap: Annotated[float, typer.Option(help="Share of the images that all of them see.")] = 0.1,
    slice_name: Annotated[
        str, typer.Option("--slice", help="List that images join with the key t.")
    ] = "fixed",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 0,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    static: Annotated[
        Path | None,
        typer.Option(help="Write the page as one file to take along, and stop.", callback=a_file),
    ] = None,
    label_studio: Annotated[
        Path | None,
        typer.Option(help="Write tasks for Label Studio (.json), and stop.", callback=a_file),
    ] = None,
    root: Annotated[Path, typer.Option(help="Folder whose files Label Studio serves.")] = Path("."),
) -> None:
    """Serve a page on which a person decides about the images of QUEUE, by keys."""
    from tinyrefinery.files import check_writable
    from tinyrefinery.review.queue import read_queue
    from tinyrefinery.review.queue_pictures import Pictures, open_queue_data
    from tinyrefinery.review.reviewing import open_review

    content = read_queue(queue)
    if label_studio is not None:
        _write_tasks(content, label_studio, root)
        return
    path = decisions or queue.with_name(f"{queue.stem}.decisions.jsonl")
    check_writable(files=[path])
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
    from tinyrefinery.errors import DataError

    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError) as error:  # an account without a name
        raise DataError("this account has no name; say who decides with --reviewer") from error


def _serve(review: "Review", pictures: "Pictures", port: int, *, open_page: bool) -> None:
    import webbrowser

    from tinyrefinery.review.reviewing import summary
    from tinyrefinery.review.server import ReviewServer

    with ReviewServer(review, pictures, port) as server:
        typer.echo(f"{len(review.tasks) - len(review.own)} images to look at; Ctrl-C ends")
        typer.echo(server.url)
        if open_page:
            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:  # the way to end it: all decisions are on disk
            typer.echo()
    for line in summary(review.path, review):
        typer.echo(line)
    typer.echo(f"next: tinyrefinery apply {review.path}")


def _write_static(path: Path, review: "Review", pictures: "Pictures") -> None:
    from tinyrefinery.files import write_atomic
    from tinyrefinery.review.page import static_page

    write_atomic(path, static_page(review, pictures))
    typer.echo(f"{path}: {len(review.tasks) - len(review.own)} images; needs no server")


def _write_tasks(queue: "Queue", path: Path, root: Path) -> None:
    from tinyrefinery.files import write_atomic
    from tinyrefinery.review.label_studio import interface, tasks

    write_atomic(path, json.dumps(tasks(queue, root), ensure_ascii=False, indent=1) + "\n")
    write_atomic(path.with_suffix(".xml"), interface(queue.classes))
    typer.echo(f"{path}: {len(queue.items)} tasks; labelling interface: {path.with_suffix('.xml')}")
    typer.echo("next: export as JSON, then: tinyrefinery apply EXPORT.json")
