"""A model card: Markdown with front matter for the Hugging Face Hub, from a network's records."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tinyrefinery.data_tests.reports import texts
from tinyrefinery.errors import DataError
from tinyrefinery.files import write_atomic
from tinyrefinery.networks.network_data import tool_version
from tinyrefinery.pages.numbers import kilo
from tinyrefinery.reports.class_errors import MOST_CLASSES
from tinyrefinery.sharing.artifacts import Artifact
from tinyrefinery.sharing.bom_beside import BOM, CARD_FOLDER, PREFIX, card_folder
from tinyrefinery.sharing.card_facts import CardFacts
from tinyrefinery.sharing.card_origin import label_lines, license_lines
from tinyrefinery.sharing.front_matter import LIBRARY, front_matter
from tinyrefinery.sharing.known_limits import limits
from tinyrefinery.sharing.markdown import code, table, text_of
from tinyrefinery.sharing.ml_bom import bom_text

CARD = "README.md"
UNKNOWN = "not recorded"


def write_card(facts: CardFacts, out: Path | None = None) -> list[Path]:
    """Write the card and the bill of materials.

    Args:
        facts: of the network.
        out: the folder; None: `card` in the stage's folder, or `FILE.card` beside a lone file.

    Returns:
        Both files.

    Raises:
        DataError: if the folder holds another README.md or bom.json.
        StorageError: if it is not writable.
    """
    folder = out or default_folder(facts)
    card, bom = folder / CARD, folder / BOM
    check_place(folder)
    write_atomic(bom, bom_text(facts))
    write_atomic(card, card_text(facts))
    return [card, bom]


def default_folder(facts: CardFacts) -> Path:
    """Where a card is written if no folder is named."""
    stage = facts.network.stage
    if stage is not None:
        return stage.folder / CARD_FOLDER
    file = facts.network.file
    return card_folder(file) if facts.sha256 else Path(f"{file.name}.card")


def check_place(folder: Path) -> None:
    """Refuse to replace a README.md or bom.json that is not ours.

    Raises:
        DataError: if one of them is another text.
    """
    marks = {CARD: f"library_name: {LIBRARY}", BOM: f'"{PREFIX}'}
    for name, mark in marks.items():
        path = folder / name
        if path.exists() and not (path.is_file() and mark in path.read_text(errors="replace")):
            raise DataError(
                f"{path}: was not written by `tinyrefinery card`, so it is kept. Name another "
                "folder with --out"
            )


def card_text(facts: CardFacts) -> str:
    """The whole card."""
    sections: list[tuple[str, Iterable[str]]] = [
        ("What it is", _what(facts)),
        ("How good it is", _how_good(facts)),
        ("Exported artifacts", _artifact_lines(facts)),
        ("Data", _data(facts)),
        ("How its labels were made", label_lines(facts)),
        ("Data tests", _test_lines(facts)),
        ("Limits: what was not measured", [f"- {line}" for line in limits(facts)]),
        ("Licenses", license_lines(facts)),
        ("How to use it", _use(facts)),
    ]
    parts = [front_matter(facts), f"# {text_of(facts.title)}\n"]
    parts += [f"## {title}\n\n" + "\n".join(lines) + "\n" for title, lines in sections]
    version = tool_version()
    parts.append(f"Written by Tiny Refinery {version} from the records of the network.\n")
    return "\n".join(parts)


def _what(facts: CardFacts) -> list[str]:
    info = facts.network.info
    height, width = info.size
    size = (
        None if facts.bytes is None else f"{facts.bytes:,} bytes of {code(facts.network.file.name)}"
    )
    rows = [
        ("Task", "image classification"),
        ("Architecture", code(facts.model)),
        ("Parameters", _count(facts.parameters)),
        ("Multiply-accumulates per image", _count(facts.macs)),
        ("Size", size or UNKNOWN),
        ("Input", f"{height}x{width} pixels, {info.channels} {_plural('channel', info.channels)}"),
        ("Normalization", f"pixels in 0 to 1, less {list(info.mean)}, divided by {list(info.std)}"),
        ("Classes", _classes(facts)),
        ("SHA-256", f"`{facts.sha256}`" if facts.sha256 else UNKNOWN),
    ]
    if facts.stage is not None:
        rows.append(("Stage and seed", f"{text_of(facts.stage.stage)}, seed {facts.stage.seed}"))
        rows.append(("Stage key", f"`{facts.stage.key}`"))
    if facts.recipe_digest:
        rows.append(("Recipe digest", f"`{facts.recipe_digest}`"))
    if facts.budget:
        rows.append(("Budget of the recipe", _budget(facts.budget)))
    if facts.seconds is not None:
        epochs = len(facts.stage.metrics) if facts.stage else 0
        rows.append(("Training", f"{epochs} epochs, {facts.seconds:,.0f} seconds"))
    return table(("fact", "value"), rows)


def _budget(budget: Mapping[str, Any]) -> str:
    """Limits in words, e.g. "flash at most 100,000 bytes"."""
    units = {"flash": " bytes", "ram": " bytes"}
    shown = {k: f"{v:,}" if isinstance(v, int) else text_of(v) for k, v in budget.items()}
    return ", ".join(f"{k} at most {v}{units.get(k, '')}" for k, v in shown.items())


def _classes(facts: CardFacts) -> str:
    names = facts.network.info.classes
    if not names:
        return UNKNOWN
    more = "" if len(names) <= MOST_CLASSES else f" and {len(names) - MOST_CLASSES:,} more"
    return f"{len(names):,}: " + ", ".join(map(text_of, names[:MOST_CLASSES])) + more


def _how_good(facts: CardFacts) -> list[str]:
    accuracy = facts.accuracy
    if accuracy is None:
        if facts.own_record is not None:
            return _artifact_table([facts.own_record])
        return ["The accuracy on held-out images is not recorded."]
    lines = [
        f"**{accuracy.top1:.1%}** of {accuracy.n:,} {accuracy.split} images are classified "
        f"correctly (95 % interval {accuracy.low:.1%} to {accuracy.high:.1%})."
    ]
    if (mean := accuracy.over_seeds) is not None:
        std = f" ± {100 * mean.std:.1f} points (standard deviation)" if mean.std is not None else ""
        lines.append(f"Mean over {mean.n} seeds of this stage: {mean.mean:.1%}{std}.")
    names = {"top5": "Top-5 accuracy", "ece": "Calibration error", "nll": "Log-loss in nats"}
    if len(facts.network.classes) <= 5:  # of so few classes, the first five say nothing
        names.pop("top5")
    shown = [(n, f"{accuracy.measures[k]:.3f}") for k, n in names.items() if k in accuracy.measures]
    lines += ["", *table(("measure", "value"), shown)] if shown else []
    if accuracy.classes:
        rows = [
            (
                text_of(line.name),
                f"{line.n:,}",
                f"{line.right / line.n:.1%}",
                f"{line.low:.1%} to {line.high:.1%}",
            )
            for line in accuracy.classes
        ]
        fewer = len(accuracy.classes) < len(facts.network.classes)
        lines += ["", f"By class, lowest accuracy first{_cut(len(rows)) if fewer else ''}:", ""]
        lines += table(("class", "images", "accuracy", "95 % interval"), rows)
    return lines


def _cut(shown: int) -> str:
    return f" ({shown} of them)"


def _artifact_lines(facts: CardFacts) -> list[str]:
    if facts.own_record is not None:
        return ["This card is of an artifact. Its check is above."]
    if not facts.artifacts:
        return ["None lies beside the network."]
    return _artifact_table(facts.artifacts)


def _artifact_table(artifacts: Sequence[Artifact]) -> list[str]:
    rows = [
        (
            code(artifact.path.name),
            artifact.form,
            f"{artifact.record['bytes']:,}",
            UNKNOWN if artifact.ram is None else f"{artifact.ram:,}",
            UNKNOWN if artifact.macs is None else f"{artifact.macs:,}",
            *_check_cells(artifact),
        )
        for artifact in artifacts
    ]
    head = ("file", "form", "bytes", "arena bytes", "MACs", "check", "accuracy", "drop in points")
    return [
        *table(head, rows),
        "",
        "The drop is paired: network and artifact classify the same images (95 % interval). The "
        "arena is an upper bound for LiteRT for Microcontrollers. That of a packed file is exact, "
        "for its own runtime.",
    ]


def _check_cells(artifact: Artifact) -> tuple[str, str, str]:
    parity, drop = artifact.record.get("parity") or {}, artifact.drop
    check = f"{parity.get('verdict', UNKNOWN)} on {text_of(parity.get('images', 'no images'))}"
    if drop is None:
        return check, UNKNOWN, UNKNOWN
    points = f"{drop['points']:.2f} ({drop['low']:.2f} to {drop['high']:.2f})"
    return check, f"{drop['network']:.1%} -> {drop['artifact']:.1%}", points


def _data(facts: CardFacts) -> list[str]:
    data = facts.data
    if data is None:
        return ["The images that it was trained on are not recorded here."]
    hub = f" ([{data.hub}](https://huggingface.co/datasets/{data.hub}))" if data.hub else ""
    rows = [("Name", f"{text_of(data.name)}{hub}"), ("Source", data.source or UNKNOWN)]
    rows += [(f"Images, {split}", f"{data.total(split):,}") for split in data.splits]
    rows.append(("Digest", f"`{data.digest}`"))
    problems = ", ".join(f"{n:,} {k.replace('_', ' ')}" for k, n in sorted(data.problems.items()))
    rows.append(("Problems found", problems or "none"))
    lines = table(("fact", "value"), rows)
    counts = [
        (text_of(name), *(f"{by_split.get(split, 0):,}" for split in data.splits))
        for name, by_split in data.counts.items()
    ]
    more = len(counts) - MOST_CLASSES
    lines += ["", *table(("class", *data.splits), counts[:MOST_CLASSES])]
    return [*lines, "", f"and {more:,} more classes"] if more > 0 else lines


def _test_lines(facts: CardFacts) -> list[str]:
    lines: list[str] = []
    for result in facts.tests:
        counts = ", ".join(f"{n} {verdict}" for verdict, n in result["counts"].items())
        lines += [
            f"`{result['suite']}` on {result['images']:,} images of {text_of(result['data'])}, "
            f"{result['when'][:10]}: {counts or 'no tests'}.",
            "",
            *table(
                ("test", "verdict", "bound", "value", "95 % interval", "images"), _tests(result)
            ),
            "",
        ]
    return lines or ["None were run on this network."]


def _tests(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows = []
    for each in result["results"]:
        measured = each.get("own") or each.get("measured")
        cells = (UNKNOWN, UNKNOWN, UNKNOWN)
        if measured:
            count, value, interval = texts.recorded(each["metric"], measured)
            cells = (value, interval, count)
        rows.append((text_of(each["name"]), each["verdict"], text_of(each["need"]), *cells))
    return rows


def _use(facts: CardFacts) -> list[str]:
    return [
        "```",
        "pip install tinyrefinery",
        f"tinyrefinery predict {facts.address or facts.network.file.name} photos/",
        "```",
    ]


def _count(value: int | float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.0f} ({kilo(value)})"


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"
