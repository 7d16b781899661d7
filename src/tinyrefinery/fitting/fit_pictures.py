"""From pictures to the artifact: open, search, train, ship, tell."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinyrefinery.audit.target import open_pictures, pictures_source, source_options
from tinyrefinery.data.dataset import Dataset
from tinyrefinery.data.open import open_data
from tinyrefinery.device.arena import Arena
from tinyrefinery.device.device_cost import DeviceCost
from tinyrefinery.errors import BudgetError, DataError
from tinyrefinery.files import check_writable
from tinyrefinery.fitting.choose_refiner import check_refiner
from tinyrefinery.fitting.delivered import Delivered
from tinyrefinery.fitting.diary import NAME as DIARY
from tinyrefinery.fitting.diary import Diary
from tinyrefinery.fitting.final_network import RECIPE, RUN, final_network
from tinyrefinery.fitting.fit_options import PACKED, FitOptions
from tinyrefinery.fitting.fit_recipes import Plan
from tinyrefinery.fitting.look import Look, colored, is_gray, look_at
from tinyrefinery.fitting.packed_space import PACKED_FAMILIES, foretold_packed
from tinyrefinery.fitting.search import Choice, Search, longest
from tinyrefinery.fitting.search_space import (
    FAMILIES,
    Candidate,
    Rejected,
    feasible,
    foretold,
    in_turn,
)
from tinyrefinery.fitting.shipping import Shipped, measured, ship, shipped_before, usable_target
from tinyrefinery.fitting.trials import without_test
from tinyrefinery.networks.network import Network
from tinyrefinery.runs.lock import locked

STREET = "street_numbers"
"""The dataset that is built in."""
WRITTEN = (RECIPE, RUN, "page.html", "search", "refiner", "labels", "artifacts")
"""Names in the folder, besides the diary."""
_MOST_COLORED = 0.1  # share of colored pictures among gray ones up to which it is noted
_FEW = 2_000  # training pictures below which more of them are for validation

Say = Callable[[str], object]


@dataclass(frozen=True, kw_only=True)
class Fitted(Delivered):
    """What a search ended in."""

    candidates: tuple[Candidate, ...] = field(repr=False)
    rejected: tuple[Rejected, ...] = field(repr=False)
    choice: Choice
    seconds: float

    @property
    def longest(self) -> int:
        """Epochs of the network with all the time that it could use."""
        return longest(self.look.train)


def fit_folder(pictures: str | Path) -> Path:
    """Where a search goes if no folder is named: `fit/NAME`, of the pictures."""
    return Path("fit") / (Path(pictures).expanduser().resolve().name or "pictures")


def fit_pictures(
    pictures: str | Path,
    options: FitOptions,
    out: Path,
    words: Sequence[str] = (),
    say: Say = lambda text: None,
) -> Fitted:
    """Find, train, quantize or pack, and prove the best small network for pictures and a budget.

    The same call resumes where it was interrupted.

    Args:
        pictures: a folder of pictures or of Parquet files, a Parquet file, or `street_numbers`.
        options: budget, time and what ships.
        out: folder for everything that is made.
        words: options of the data source, such as `group=home`.
        say: called with progress messages.

    Raises:
        RefineryError: for anything that the user can fix.
    """
    began = time.monotonic()
    check_writable(folders=[out])
    check_place(pictures, out)
    source, data = open_for_fit(pictures, words)
    look = look_at(data)
    check_refiner(options.refiner, options.refiner_weights, data)
    target, why = (PACKED, "") if options.to == PACKED else usable_target(say)
    with locked(out):
        diary = Diary(out, _request(pictures, source, data, options), began=began)
        return _fit(Opened(str(pictures), source, data, look), options, diary, (target, why), say)


@dataclass(frozen=True)
class Opened:
    """The pictures of a search."""

    named: str
    """As they were named."""
    source: dict[str, Any]
    data: Dataset
    look: Look


def _fit(
    pictures: Opened, options: FitOptions, diary: Diary, format_: tuple[str, str], say: Say
) -> Fitted:
    """Search, train and ship, in a folder that is locked."""
    out, data, look, (target, why) = diary.folder, pictures.data, pictures.look, format_
    notes = _notes(data, look, why)
    _introduce(say, data, look, options, notes)
    candidates, rejected = _feasible(diary, data, look, options, say)
    plan = Plan(pictures.source, look, options.seed)
    search = Search(plan, without_test(data), options, out, diary, say)
    choice = search.choose(candidates)
    network, epochs = final_network(diary, choice, options, data, say)
    diary.decide("network", lambda: str(network.file))
    shipped = _shipped(diary, network, data, target, options, say)
    return Fitted(
        folder=out,
        look=look,
        limits=options.limits.limits,
        candidates=tuple(candidates),
        rejected=tuple(rejected),
        choice=choice,
        network=network,
        architecture=_architecture(choice.candidate),
        epochs=epochs,
        shipped=shipped,
        notes=(*notes, *shipped.notes),
        seconds=diary.decide("seconds", lambda: diary.seconds),
        data=data,
        name=fit_folder(pictures.named).name,
    )


def _architecture(candidate: Candidate) -> str:
    height, width = candidate.size
    return f"{candidate.name}: {candidate.model}, {height}×{width} pixels"


def _shipped(
    diary: Diary, network: Network, data: Dataset, target: str, options: FitOptions, say: Say
) -> Shipped:
    """The artifact of a network: of a finished search, what it shipped."""
    folder = diary.folder / "artifacts"
    if "shipped" in diary:
        kept = diary.decide("shipped", dict)
        if (before := shipped_before(kept, network, data, folder)) is not None:
            say("everything is done already: this is its result")
            return before
    shipped = ship(network, data, target, options.limits, folder, say)
    diary.decide("shipped", lambda: measured(shipped))
    return shipped


def check_place(pictures: str | Path, out: Path) -> None:
    """Refuse a folder whose files `fit` would change or overwrite.

    Raises:
        DataError: if it lies among the pictures, or holds something else by the same names.
    """
    place, root = out.expanduser().resolve(), Path(pictures).expanduser().resolve()
    if str(pictures) != STREET and root.is_dir() and place.is_relative_to(root):
        raise DataError(
            f"{out}: lies in the folder of the pictures, where its files would count as pictures. "
            "Name another folder: --out FOLDER"
        )
    taken = [name for name in WRITTEN if (out / name).exists()]
    if taken and not (out / DIARY).exists():
        raise DataError(
            f"{out}: holds {', '.join(taken)} that no search wrote. Name another folder: --out "
            "FOLDER"
        )


def _request(
    pictures: str | Path, source: dict[str, Any], data: Dataset, options: FitOptions
) -> dict[str, Any]:
    """What decides the result. The path may be written in another way, e.g. with a slash."""
    named = str(pictures)
    if named != STREET:
        named = str(Path(pictures).expanduser().resolve())
    given = {name: value for name, value in source.items() if name not in ("root", "path")}
    return options.as_dict() | {
        **{"pictures": named, "source": given, "data": data.manifest.digest},
    }


def open_for_fit(pictures: str | Path, words: Sequence[str]) -> tuple[dict[str, Any], Dataset]:
    """A recipe's `data.source` for some pictures, and the dataset.

    A fifth is split off for test where there is no test split, and near copies stay together.

    Raises:
        DataError: if they can't be opened, or are too few.
    """
    given = source_options(words)
    if str(pictures) == STREET:
        source: dict[str, Any] = {"name": STREET, **given}
        return source, open_data(**source)
    path = Path(pictures).expanduser()
    if not path.exists():
        raise DataError(
            f"{pictures}: no such folder or file. Give a folder with one folder of pictures per "
            "class"
        )
    usual: dict[str, Any] = {"test": 0.2, "validation": 0.1}
    data = open_pictures(path, usual | given)
    if len(data.manifest.rows("train")) < _FEW and "validation" not in given:
        usual["validation"] = 0.15  # choices among networks need more than a handful of pictures
    if "channels" not in given and is_gray(data):
        usual["channels"] = 1
    if usual != {"test": 0.2, "validation": 0.1}:
        data = open_pictures(path, usual | given)
    return pictures_source(path, usual | given), data


def _notes(data: Dataset, look: Look, why: str) -> list[str]:
    """What a reader of the result must know of the pictures."""
    notes = [f"{each.where}: {each.what}" for each in data.problems]
    if look.channels == 1:
        notes.append("all pictures are opened in gray. channels=3 opens them in color")
    elif (found := colored(data))[0] <= _MOST_COLORED * found[1]:
        notes.append(
            f"{found[0]} of {found[1]} pictures that were looked at have color, the others are "
            "gray. All are opened in color. channels=1 opens them in gray"
        )
    if look.imbalance >= 3:
        few = min(look.classes, key=lambda name: look.classes[name])
        notes.append(
            f"the largest class has {look.imbalance:.1f} times as many pictures as '{few}'"
        )
    if look.test < 100:
        notes.append(f"{look.test} test pictures give a wide interval. 400 or more are better")
    if why:
        notes.append(f"only an ONNX artifact is written, since {why}")
    return notes


def _introduce(
    say: Say, data: Dataset, look: Look, options: FitOptions, notes: Sequence[str]
) -> None:
    limits = ", ".join(f"{name} {value:,}" for name, value in options.limits.limits.items())
    color = "color" if look.channels == 3 else "gray"
    say(
        f"{len(look.classes)} classes, {look.train:,} training, {look.validation:,} "
        f"validation and {look.test:,} test pictures, {color}, about {look.width}x{look.height} "
        f"pixels"
    )
    say(f"budget: {limits or 'none'}; time: {options.hours:g} h")
    for note in notes:
        say(f"note: {note}")


def _feasible(
    diary: Diary, data: Dataset, look: Look, options: FitOptions, say: Say
) -> tuple[list[Candidate], list[Rejected]]:
    """The candidates that fit, in the order in which they are taken, and what does not fit."""

    def find() -> dict[str, Any]:
        """Both, as plain data."""
        say("foretelling the cost of candidates")
        families, cost = FAMILIES, foretold(data.classes, look.channels, options.limits)
        if options.to == PACKED:
            families, cost = PACKED_FAMILIES, foretold_packed(data.classes, look.channels)
        kept, rejected = feasible(look.sizes, options.limits, cost, families)
        return {
            "kept": [_as_dict(each) for each in in_turn(kept)],
            "rejected": [vars(each) for each in rejected],
        }

    found = diary.decide("candidates", find)
    rejected = [
        Rejected(each["family"], tuple(each["size"]), each["reason"], each.get("times", 0.0))
        for each in found["rejected"]
    ]
    if not found["kept"]:
        nearest = sorted(rejected, key=lambda each: each.times or float("inf"))[:3]
        raise BudgetError(
            "no network fits the budget. The smallest: "
            + "; ".join(
                f"{each.family} at {each.size[0]}x{each.size[1]} pixels: {each.reason}"
                for each in nearest
            )
            + f". Raise {' or '.join(f'--{name}' for name in options.limits.limits)}"
        )
    kept = [_from_dict(each) for each in found["kept"]]
    others = f". {len(rejected)} others do not at any width" if rejected else ""
    say(f"{len(kept)} candidates fit (a family at an image size){others}")
    return kept, rejected


def _as_dict(candidate: Candidate) -> dict[str, Any]:
    cost = candidate.cost
    facts = {"family": candidate.family, "model": candidate.model, "size": list(candidate.size)}
    arena = [cost.arena.head, cost.arena.tail]
    return facts | {
        "kwargs": candidate.kwargs,
        "flash": cost.flash,
        "arena": arena,
        "macs": cost.macs,
    }


def _from_dict(facts: dict[str, Any]) -> Candidate:
    cost = DeviceCost(facts["flash"], Arena(*facts["arena"]), facts["macs"])
    size = (facts["size"][0], facts["size"][1])
    return Candidate(facts["family"], facts["model"], facts["kwargs"], size, cost)
