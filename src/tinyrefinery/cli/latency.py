"""`tinyrefinery latency`: milliseconds per forward pass on this machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinyrefinery.cli import streams
from tinyrefinery.cli.options import option, output_folder
from tinyrefinery.deploy.bench.latency_report import latency_notes, latency_table, write_latency
from tinyrefinery.errors import RecipeError
from tinyrefinery.recipe.latency_table import LatencyTable, is_latency_table, load_latency_table
from tinyrefinery.recipe.shipped import locate, recipes_in, shipped_folder

if TYPE_CHECKING:
    from tinyrefinery.deploy.bench.bench_models import Candidate

SMOKE = {"size": 96, "passes": 5}


def latency(
    networks: Annotated[
        list[str],
        typer.Argument(
            help="Runs, network files, ONNX or LiteRT files, model names, or one latency table."
        ),
    ],
    size: Annotated[
        int | None,
        option(
            "PIXELS", "Side of the input image.", default="as trained, 224 for model names", min=1
        ),
    ] = None,
    batch: Annotated[int, option("N", "Images per pass.", min=1)] = 1,
    threads: Annotated[int, option("N", "Threads per pass.", min=1)] = 1,
    passes: Annotated[int, option("N", "Timed passes per network.", min=1)] = 100,
    backend: Annotated[
        list[str] | None,
        option(
            "NAME",
            "torch, channels_last or onnxruntime. Repeatable.",
            default="all that are installed",
        ),
    ] = None,
    out: Annotated[Path | None, output_folder("Folder for latency.json and latency.csv.")] = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Dry run: 96 pixels and five passes.")
    ] = False,
) -> None:
    """Benchmark forward passes of networks on this machine.

    Passes of NETWORKS are interleaved. Ratios are relative to the first network.
    """
    from tinyrefinery.deploy.bench.backends import available
    from tinyrefinery.deploy.bench.bench_measuring import Question, measure

    table = _table(networks)
    size, passes = (SMOKE["size"], SMOKE["passes"]) if smoke else (size, passes)
    chosen = _of_table(table, size) if table else _of_names(networks, size, threads)
    question = Question(tuple(backend or available()), batch, threads, passes)
    found = measure(chosen, question, report=lambda text: streams.echo(text, err=True))
    console = streams.console()
    if table:
        console.print(table.title, markup=False, highlight=False)
    printed = {row.id: row.paper for row in table.latency} if table else None
    console.print(latency_table(found["lines"], table.devices if table else None, printed))
    streams.print_lines(console, *latency_notes(found, table.method if table else None))
    if out is not None:
        write_latency(out, found | ({"table": table.model_dump(mode="json")} if table else {}))
        streams.print_lines(console, f"Written: {out}")


def _table(names: list[str]) -> LatencyTable | None:
    """The latency table, if the only name is a YAML file or a shipped recipe.

    Raises:
        RecipeError: when it is a recipe or a table of another kind.
    """
    name = Path(names[0])
    shipped = {
        p.relative_to(shipped_folder()).with_suffix("") for p in recipes_in(shipped_folder())
    }
    if (
        len(names) > 1
        or name.is_dir()
        or (name.suffix not in (".yaml", ".yml") and name not in shipped)
    ):
        return None
    path = locate(names[0])
    if not is_latency_table(path):
        raise RecipeError(f"{path}: is not a latency table; name networks or run folders instead")
    return load_latency_table(path)


def _of_names(names: list[str], size: int | None, threads: int) -> "list[Candidate]":
    from tinyrefinery.deploy.bench.bench_models import candidates

    return candidates(names, size, threads)


def _of_table(table: LatencyTable, size: int | None) -> "list[Candidate]":
    from tinyrefinery.deploy.bench.bench_models import by_name

    return [
        by_name(row.network, size or table.size, label=row.id, **row.kwargs)
        for row in table.latency
        if row.network is not None
    ]
