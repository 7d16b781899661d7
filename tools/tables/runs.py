"""Stages of runs beside one another: test accuracy, and gains paired by seed."""

from tables.reading import gain, load, markdown, of_row, values
from tinyrefinery.pages.numbers import nats, percent
from tinyrefinery.statistics.paired import spread

Case = tuple[str, str, str, str, str]
"""Setting, CSV file, row, refining stage, row of the plain baseline."""
CIFAR = ("CIFAR-10, padded crops", "cifar10", "pad", "refiner", "pad")
CIFAR_INCEPTION = (
    "CIFAR-10, crops from 8 % of the area",
    "cifar10",
    "inception",
    "refiner",
    "inception",
)
CIFAR_SMALL = ("CIFAR-10, 20k-parameter network", "cifar10", "small", "refiner", "small")
CIFAR_RUNNING = ("CIFAR-10, running statistics", "cifar10", "running", "refiner", "pad")
CIFAR_LONG = (
    *("CIFAR-10, trained twice as long", "cifar10_long", "twice_as_long", "refiner"),
    "twice_as_long",
)
IMAGENETTE = (
    "Imagenette, crops from 35 % of the area",
    "imagenette",
    "area35",
    "refiner",
    "area35",
)
IMAGENETTE_08 = ("Imagenette, crops from 8 % of the area", "imagenette08", "", "refiner", "")
DEMO = ("street numbers, crops from 8 % of the area", "demo", "", "refiner", "")


def stages(name: str, row: str = "", *, truth: bool = False) -> str:
    """A table of all stages of a row."""
    rows = load(name)
    order = list(dict.fromkeys(r["stage"] for r in rows if of_row(r, row)))
    head = ["network", "labels from", "train top-1", "test top-1", "gap", "gain over plain"]
    lines = [[*head, *(["label KL"] if truth else []), "n"]]
    for stage in order:
        first = next(r for r in rows if r["stage"] == stage and of_row(r, row))
        columns = ("train_top1", "test_top1", "gap")
        cells = [values(rows, row, stage, column) for column in columns]
        line = [f"{stage} ({first['model']})", first["labels"]]
        line += [percent(spread(list(cell.values()))) for cell in cells]
        line.append(gain(rows, row, stage) if stage.endswith("refined") else "")
        if truth:
            line.append(nats(spread(list(values(rows, row, stage, "label_kl").values()))))
        lines.append([*line, str(len(cells[1]))])
    return markdown(lines)


def gains(*cases: Case) -> str:
    """A table of gains: (setting, csv, row, stage, row of the plain baseline)."""
    head = ["setting", "plain test top-1", "refiner test top-1", "plain train top-1"]
    head += ["refined train top-1", "gain: larger refiner", "gain: same-architecture refiner"]
    lines = [[*head, "n"]]
    for what, name, row, refiner, base_row in cases:
        rows = load(name)
        plain = values(rows, base_row, "plain", "test_top1")
        line = [what, percent(spread(list(plain.values())))]
        line.append(percent(spread(list(values(rows, base_row, refiner, "test_top1").values()))))
        line.append(percent(spread(list(values(rows, base_row, "plain", "train_top1").values()))))
        line.append(percent(spread(list(values(rows, row, "refined", "train_top1").values()))))
        line += [gain(rows, row, s, "plain", base_row) for s in ("refined", "self_refined")]
        lines.append([*line, str(len(values(rows, row, "refined", "test_top1")))])
    return markdown(lines)


def against(name: str, base: str, stage: str, *variants: tuple[str, str]) -> str:
    """A table of one stage in several rows, compared with the first: (setting, row)."""
    rows = load(name)
    head = ["setting", "train top-1", "test top-1", f"difference from {base.replace('_', ' ')}"]
    lines = [[*head, "n"]]
    for what, row in variants:
        columns = [values(rows, row, stage, column) for column in ("train_top1", "test_top1")]
        if not columns[1]:
            continue
        line = [what, *(percent(spread(list(each.values()))) for each in columns)]
        line.append("" if row == base else gain(rows, row, stage, stage, base))
        lines.append([*line, str(len(columns[1]))])
    return markdown(lines)


def beside(name: str, base: str, *variants: tuple[str, str]) -> str:
    """A table of stages compared with the first: (setting, stage)."""
    rows = load(name)
    lines = [["setting", "train top-1", "test top-1", f"difference from {base}", "n"]]
    for what, stage in variants:
        columns = [values(rows, "", stage, column) for column in ("train_top1", "test_top1")]
        if not columns[1]:
            continue
        line = [what, *(percent(spread(list(each.values()))) for each in columns)]
        line.append("" if stage == base else gain(rows, "", stage, base))
        lines.append([*line, str(len(columns[1]))])
    return markdown(lines)


def street(*rows: str) -> list[Case]:
    """Rows of the street numbers' table of causes, each compared with its own plain network."""
    return [(row.replace("_", " "), "street_causes", row, "refiner", row) for row in rows]
