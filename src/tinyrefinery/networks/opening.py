"""Open whatever a user typed that means a network: the one door to networks.

runs/demo                          a run folder: one of its stages, chosen by `choice`
runs/demo/stages/refined-0a1b2c3d  the folder of a stage, or the model.safetensors in it
net.safetensors                    a network file of ours; also file:net.safetensors
net.onnx                           an ONNX file, float or quantized
net.tflite                         a LiteRT file, float or quantized
net.packed                         a packed file of a binary or lookup network
shared/                            a folder that `tinyrefinery share` wrote
timm:resnet18                      a pretrained model of timm
timm:resnet18@net.safetensors      the same with weights from a file
hf:ann/digits, hf:ann/digits@v2    a network on the Hugging Face Hub, of a revision
http://host:8000/predict           a network behind an HTTP endpoint (`models.http_network`)
"""

import re
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from tinyrefinery.errors import ChoiceError, DataError
from tinyrefinery.networks.choice import Choice, Seeds, check_choice, choose_many, choose_one
from tinyrefinery.networks.facts import Facts, facts_beside
from tinyrefinery.networks.hub import HUB, NETWORK, fetch_network, is_on_hub, parse_hub_name
from tinyrefinery.networks.network import Kind, Network
from tinyrefinery.recipe.load import canonical
from tinyrefinery.runs.files import DONE, STAGES
from tinyrefinery.runs.lineage import split_weights
from tinyrefinery.runs.run_folder import (
    Run,
    TrainedStage,
    open_run,
    open_stage,
    stage_folder_of,
)
from tinyrefinery.runs.seen_sketch import ENTRY

if TYPE_CHECKING:
    from tinyrefinery.models.runtime_network import RuntimeNetwork

KEPT = "data_tests"
"""Folder, in a run or beside a network file, that holds what is computed with networks."""
TIMM, FILE = "timm:", "file:"
HTTP = ("http://", "https://")
ONNX, LITERT, EXECUTORCH, PACKED = ".onnx", ".tflite", ".pte", ".packed"
RUNTIME_FILES: dict[str, Kind] = {ONNX: "onnx", LITERT: "litert", PACKED: "packed"}
"""Suffixes of files that a runtime other than PyTorch runs, and their kind."""
SUFFIXES = (*RUNTIME_FILES, ".safetensors", ".pt", ".pth", ".ckpt")


def open_network(
    what: str | Path,
    *,
    stage: str | None = None,
    seed: int | None = None,
    row: str | None = None,
    like: Path | None = None,
    stated: Facts | None = None,
    otherwise: Facts | None = None,
) -> Network:
    """The network that a user means.

    Args:
        what: see the module's docstring.
        stage: id of a run's stage; None: the last. Of a stage's folder it must be that stage, and
            so must seed and row.
        seed: of a run with several; None: the lowest.
        row: of a run of a table; None: any, as long as one network is meant.
        like: of an ONNX or LiteRT file, the run or network file that it was made from, which
            states what the file doesn't; `stage`, `seed` and `row` choose from it. None: what is
            named beside the file; in a stage's folder, that stage.
        stated: facts that the user states of an ONNX or LiteRT file or a timm model; they come
            first.
        otherwise: facts to use where nothing else states them.

    Raises:
        DataError: when there is no such network.
        ChoiceError: when a run has no such row, stage or seed, or when several networks are meant.
        CheckpointError: when a file can't be opened, or doesn't tell what must be known.
    """
    choice, word = Choice(stage, seed, row), str(what)
    if word.startswith((TIMM, HUB)):
        _refuse_choice(word, choice)
        return _of_hub(word) if is_on_hub(word) else _of_timm(word, stated or Facts())
    if word.startswith(HTTP):
        _refuse_choice(word, choice)
        return _of_endpoint(word)
    path = _path_of(word)
    if path.suffix.lower() in RUNTIME_FILES and path.is_file():
        return _of_runtime_file(path, choice, like, (stated or Facts(), otherwise or Facts()))
    place = _place(path)
    if isinstance(place, Run):
        return of_stage(place, choose_one(place, choice))
    if isinstance(place, TrainedStage):
        check_choice(place, choice)
        return of_stage(open_run(place.run_folder), place)
    _refuse_choice(word, choice)
    digest = sha256(place.read_bytes()).hexdigest()
    return Network(place.name, f"{FILE}{place}", "file", place, digest, _home(place))


def _refuse_choice(word: str, choice: Choice) -> None:
    if not choice.is_empty:
        named = ", ".join(f"--{name}" for name, value in vars(choice).items() if value is not None)
        raise ChoiceError(f"{word}: is one network, so there is nothing to choose: remove {named}")


def open_networks(
    words: Iterable[str | Path],
    *,
    stages: Collection[str] = (),
    seeds: Seeds = "lowest",
    rows: Collection[str] = (),
) -> list[Network]:
    """All networks that words mean; of run folders, every stage unless some are named.

    Names are unique, see `named_apart`.

    Raises:
        DataError: when a word means nothing, or a network is named twice.
        ChoiceError: when a run has no such stage, seed or row.
    """
    networks: list[Network] = []
    for word in words:
        path = _path_of(str(word))
        if not str(word).startswith((TIMM, HUB, *HTTP)) and (path / STAGES).is_dir():
            run = open_run(path)
            networks += [of_stage(run, s) for s in choose_many(run, stages, seeds, rows)]
        else:
            networks.append(open_network(word))
    if not networks:
        raise DataError(
            "no network is named. Give run folders, network files or timm:NAME, e.g. runs/demo"
        )
    places = [network.file.resolve() for network in networks]
    twice = next(
        (n for n, place in zip(networks, places, strict=True) if places.count(place) > 1), None
    )
    if twice is not None:
        raise DataError(f"'{twice.name}' is named twice. Name each network once")
    return named_apart(networks)


def named_apart(networks: Sequence[Network]) -> list[Network]:
    """The same networks, with names as short as they can be that tell them apart.

    Where all are of one run, its name is left out. Where runs or files have the same name, their
    paths are written out.
    """
    runs = {network.run for network in networks}
    if len(runs) == 1 and None not in runs and len(networks) > 1:
        return [replace(n, name=n.stage.label if n.stage else n.name) for n in networks]
    files: dict[str, set[Path]] = {}
    for network in networks:
        files.setdefault(network.name, set()).add(network.file.resolve())
    return [n if len(files[n.name]) == 1 else replace(n, name=_long_name(n)) for n in networks]


def _long_name(network: Network) -> str:
    return f"{network.run} {network.stage.label}" if network.stage else str(network.file)


def of_stage(run: Run, stage: TrainedStage) -> Network:
    """The network of a run's finished stage."""
    return Network(
        name=f"{run.name} {stage.label}",
        source=f"{FILE}{stage.network}",
        kind="file",
        file=stage.network,
        digest=stage.key,
        home=run.path / KEPT,
        trained=stage,
        recipe_file=stage.recipe if stage.recipe.exists() else None,
    )


def _path_of(word: str) -> Path:
    path = Path(word.removeprefix(FILE))
    with suppress(RuntimeError):  # a "~" that stands for nobody is a name like any other
        return path.expanduser()
    return path


def _home(file: Path) -> Path:
    return file.parent / f"{file.stem}.{KEPT}"


def _place(path: Path) -> Run | TrainedStage | Path:
    """What a path is: a run, a stage of one, or a file.

    Raises:
        DataError: when it is none of these.
    """
    if path.is_file():
        if path.suffix.lower() == EXECUTORCH:
            raise DataError(
                f"{path}: only `tinyrefinery verify` runs ExecuTorch files. Name the run or the "
                "network file that it was exported from"
            )
        if path.suffix in (".yaml", ".yml", ".json", ".csv", ".parquet"):
            raise DataError(_no_network(path))
        folder = stage_folder_of(path)
        if folder is None:
            return path
        stage = _finished(folder)
        # The stage's own file stands for its stage, also through a link. Other files do not.
        return stage if path.resolve() == stage.network.resolve() else path
    if not path.is_dir():
        raise DataError(_no_network(path))
    if stage_folder_of(path) == path.resolve():
        return _finished(path)
    # A folder of one network, as `share` writes it, and not a run.
    alone = (path / NETWORK).is_file() and not (path / STAGES).exists()
    return path / NETWORK if alone else open_run(path)


def _finished(folder: Path) -> TrainedStage:
    if not (folder / DONE).exists():
        raise DataError(f"{folder}: this stage is not finished. Let the run end first")
    return open_stage(folder)


def _no_network(path: Path) -> str:
    if not path.exists():
        kind = "file" if path.suffix.lower() in SUFFIXES else "run folder or network file"
        return f"{path}: there is no such {kind}"
    return f"{path}: is not a network. Give a run folder, stage folder, network file or timm:NAME"


def _of_timm(word: str, stated: Facts) -> Network:
    from tinyrefinery.networks.timm_weights import timm_facts

    model, place = split_weights(word)
    if place is not None:
        if not place.is_file():
            raise DataError(f"{word}: there is no file of weights {place}")
        stated = stated.model_copy(update={"weights": str(place)})
    info = timm_facts(model, stated)
    digest = sha256(repr(info).encode()).hexdigest()
    name = model.removeprefix(TIMM).replace("/", "_")
    file = Path(stated.weights or name)
    return Network(word, word, "timm", file, digest, Path(f"{name}.{KEPT}"), known=info)


def _of_endpoint(word: str) -> Network:
    from tinyrefinery.models.http_network import endpoint_digest, read_endpoint

    info = read_endpoint(word)
    slug = re.sub(r"[^A-Za-z0-9.-]+", "_", word.partition("://")[2]).strip("_")
    home = Path(f"{slug}.{KEPT}")
    return Network(word, word, "http", Path(slug), endpoint_digest(info), home, known=info)


def _of_hub(word: str) -> Network:
    """A network on the Hub. What is computed with it is kept here, not in the Hub's cache."""
    file = fetch_network(word)
    digest = sha256(file.read_bytes()).hexdigest()
    name = parse_hub_name(word)[0].replace("/", "_")
    return Network(word, f"{FILE}{file}", "file", file, digest, Path(f"{name}.{KEPT}"))


def _of_runtime_file(
    path: Path, choice: Choice, like: Path | None, facts: tuple[Facts, Facts]
) -> Network:
    from tinyrefinery.networks.runtime_facts import runtime_info

    kind = RUNTIME_FILES[path.suffix.lower()]
    beside = facts_beside(path)
    place = like or (None if beside.like is None else path.parent / Path(beside.like).expanduser())
    if place is None:
        place = stage_folder_of(path)
    if place is not None and place.suffix.lower() in RUNTIME_FILES:
        raise DataError(f"{place}: --like names a run or a network file, not another exported file")
    origin = None if place is None else open_network(place, **vars(choice))
    stated, otherwise = facts
    network, digest = _read(kind, path)
    info = runtime_info(network, (stated, beside), origin and origin.info, otherwise)
    if origin is not None and origin.trained is None and ENTRY in origin.info.extra:
        # No run tells what it was trained on, but the network that it was made from does.
        info = replace(info, extra={ENTRY: origin.info.extra[ENTRY]})
    recipe = origin and origin.recipe
    # Its predictions depend on these facts, and on the evaluation crop of the recipe.
    parts = [digest, repr(info), canonical(recipe.data.eval_crop) if recipe else ""]
    return Network(
        name=path.name,
        source=f"{FILE}{path}",
        kind=kind,
        file=path,
        digest=sha256("\n".join(parts).encode()).hexdigest(),
        home=_home(path),
        trained=origin and origin.trained,
        recipe_file=origin and origin.recipe_file,
        known=info,
    )


def _read(kind: Kind, path: Path) -> "tuple[RuntimeNetwork, str]":
    """A file's network, opened, and the digest of its bytes."""
    if kind == "onnx":
        from tinyrefinery.models.onnx_file import OnnxNetwork, onnx_digest

        return OnnxNetwork(path), onnx_digest(path)
    if kind == "packed":
        from tinyrefinery.models.packed_file import PackedNetwork, read_packed_file

        return PackedNetwork(path), sha256(read_packed_file(path)).hexdigest()
    from tinyrefinery.models.litert_file import LiteRtNetwork, read_litert

    return LiteRtNetwork(path), sha256(read_litert(path)).hexdigest()
