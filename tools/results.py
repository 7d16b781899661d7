"""Write the result tables of README.md and docs/ from the CSV files in docs/results/.

Run: python tools/results.py (or with --check: fail when a table is not what the CSV files say)
The CSV files are the results.csv of runs; docs/results.md names the command that makes each.
"""

import csv
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from tinyrefinery.evaluation.paired import paired_gain, spread
from tinyrefinery.files import read_csv
from tinyrefinery.reports.label_quality import KINDS, over_seeds
from tinyrefinery.reports.numbers import gain_points, nats, percent
from tinyrefinery.reports.refiner_gains import in_order, over_refiners, rank_lines, verdicts_of

TRAINING = ("data_path", "imports", "training_step")  # benchmarks of docs/results.md
STAGES = ("plain", "refined")
ROOT = Path(__file__).parents[1]
Rows = list[dict[str, str]]


def load(name: str) -> Rows:
    """Lines of docs/results/NAME.csv."""
    with (ROOT / "docs" / "results" / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


def of_row(line: dict[str, str], row: str) -> bool:
    """Whether a line belongs to a row; a stage that rows share names them all, or none."""
    return not line["row"] or row in line["row"].split(" + ")


def values(rows: Rows, row: str, stage: str, column: str) -> dict[int, float]:
    """A column by seed."""
    found = [r for r in rows if r["stage"] == stage and of_row(r, row)]
    return {int(r["seed"]): float(r[column]) for r in found if r[column]}


def gain(rows: Rows, row: str, stage: str, base: str = "plain", base_row: str | None = None) -> str:
    """Gain in test top-1, paired by seed, with its 95 % interval."""
    before = values(rows, row if base_row is None else base_row, base, "test_top1")
    after = values(rows, row, stage, "test_top1")
    seeds = sorted(before.keys() & after.keys())
    if not seeds:
        return "not run"
    return gain_points(paired_gain([before[s] for s in seeds], [after[s] for s in seeds]))


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


def gains(*cases: tuple[str, str, str, str, str]) -> str:
    """A table of gains: (what, csv, row, stage, row of the plain baseline)."""
    head = ["what", "plain test top-1", "refiner test top-1", "train top-1: plain", "refined"]
    lines = [[*head, "refined by the larger: gain", "by its like: gain", "n"]]
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
    """A table of one stage in several rows, compared with the first: (what, row)."""
    rows = load(name)
    lines = [["what", "train top-1", "test top-1", f"difference to {base.replace('_', ' ')}", "n"]]
    for what, row in variants:
        columns = [values(rows, row, stage, column) for column in ("train_top1", "test_top1")]
        if not columns[1]:
            continue
        line = [what, *(percent(spread(list(each.values()))) for each in columns)]
        line.append("" if row == base else gain(rows, row, stage, stage, base))
        lines.append([*line, str(len(columns[1]))])
    return markdown(lines)


def beside(name: str, base: str, *variants: tuple[str, str]) -> str:
    """A table of stages compared with the first: (what, stage)."""
    rows = load(name)
    lines = [["what", "train top-1", "test top-1", f"difference to {base}", "n"]]
    for what, stage in variants:
        columns = [values(rows, "", stage, column) for column in ("train_top1", "test_top1")]
        if not columns[1]:
            continue
        line = [what, *(percent(spread(list(each.values()))) for each in columns)]
        line.append("" if stage == base else gain(rows, "", stage, base))
        lines.append([*line, str(len(columns[1]))])
    return markdown(lines)


def wrong_labels() -> str:
    """What training tells about labels known to be wrong."""
    rows = load("wrong_labels")
    lines = [["measure", "learns from given labels", "from refined labels", "n"]]
    for measure in dict.fromkeys(r["measure"] for r in rows):
        mine = [r for r in rows if r["measure"] == measure]
        found = {s: [float(r["value"]) for r in mine if r["stage"] == s] for s in STAGES}
        digits = 0 if measure == "lines listed" else 3
        cells = [
            f"{np.mean(v):.{digits}f} ± {np.std(v, ddof=1):.{digits}f}" if v else ""
            for v in found.values()
        ]
        lines.append([measure, *cells, str(len(found["refined"]))])
    return markdown(lines)


def label_levels(name: str, bn: tuple[str, str] = ("batch", "64")) -> str:
    """KL of labels to crop truth by level, soft and hard, under one batch-norm mode."""
    lines = read_csv(ROOT / "docs" / "results" / f"{name}.csv")
    table = [["labels of", *(f"{form}, {level}" for form, level in KINDS), "n"]]
    for stage in dict.fromkeys(line["stage"] for line in lines):
        way = {"stage": stage, "batch_norm": bn[0], "bn_group": bn[1]}
        found = [over_seeds(lines, **way, form=f, level=k) for f, k in KINDS]
        given = over_seeds(lines, stage=stage) if found[0] is None else None
        counted = given or found[0]
        if counted is not None:
            cells = [nats(given), *("" for _ in KINDS[1:])] if given else list(map(nats, found))
            table.append([stage, *cells, str(counted.n)])
    return markdown(table)


def label_modes(name: str) -> str:
    """KL of soft labels of crops to crop truth by batch-norm mode and group."""
    lines = read_csv(ROOT / "docs" / "results" / f"{name}.csv")
    refined = [line for line in lines if line["batch_norm"]]
    modes = list(dict.fromkeys((line["batch_norm"], line["bn_group"]) for line in refined))
    table = [["labels of", *(f"{mode} {group}".strip() for mode, group in modes), "n"]]
    for stage in dict.fromkeys(line["stage"] for line in refined):
        which = {"stage": stage, "level": "crop", "form": "soft"}
        found = [over_seeds(refined, **which, batch_norm=m, bn_group=g) for m, g in modes]
        cells = [f"{each.mean:.3f} ± {each.std or 0:.3f}" if each else "" for each in found]
        table.append([stage, *cells, str(found[0].n if found[0] else 0)])
    return markdown(table)


def label_people(name: str, bn: tuple[str, str] = ("running", "")) -> str:
    """Labels of whole held-out images against people's votes."""
    lines = read_csv(ROOT / "docs" / "results" / f"{name}.csv")
    columns = {
        "soft: cross-entropy": ("cross_entropy", "soft", "image"),
        "soft: KL": ("kl", "soft", "image"),
        "soft: total variation": ("total_variation", "soft", "image"),
        "hard: KL": ("kl", "hard", "image"),
        "category: KL": ("kl", "soft", "category"),
    }
    table = [["labels of", *columns, "top class is people's", "n"]]
    for stage in dict.fromkeys(line["stage"] for line in lines):
        way = {"stage": stage, "batch_norm": bn[0], "bn_group": bn[1]}
        kinds = list(columns.values())
        found = [over_seeds(lines, m, **way, form=f, level=k) for m, f, k in kinds]
        top1 = over_seeds(lines, "top1_agreement", **way, form="soft", level="image")
        if found[0] is None:  # given labels: one number whatever refines
            found = [over_seeds(lines, m, stage=stage) for m, _, _ in kinds[:3]] + [None, None]
            top1 = over_seeds(lines, "top1_agreement", stage=stage)
        cells = ["" if each is None else nats(each) for each in found]
        table.append([stage, *cells, percent(top1), str(top1.n if top1 else 0)])
    return markdown(table)


def refiner_gains() -> str:
    """What was said of refiners beside what their students gained, the largest gain first."""
    rows = load_or_none("refiner_gains")
    if rows is None:
        return NOT_RUN
    head = ["refiner", "network", "verdict", "unseen crops", "gap", "truth KL"]
    lines = [[*head, "student's gain", "n"]]
    columns = {
        column: over_refiners(rows, column)
        for column in ("unseen_top1", "gap", "truth_kl", "student_top1", "plain_top1")
    }
    for name in in_order(rows):
        found = {column: each[name] for column, each in columns.items()}
        refiner = name.split(" > ")[0]
        model = next(r["model"] for r in rows if r["refiner"] == refiner)
        line = [refiner.replace("_", " "), model, verdicts_of(rows, name)]
        line += [percent(spread(found[column])) for column in ("unseen_top1", "gap")]
        line.append(nats(spread(found["truth_kl"])))
        line.append(gain_points(paired_gain(found["plain_top1"], found["student_top1"])))
        lines.append([*line, str(len(found["gap"]))])
    return markdown(lines)


def refiner_ranks() -> str:
    """How well each measure of refiners gives the order of gains."""
    rows = load_or_none("refiner_gains")
    if rows is None:
        return NOT_RUN
    head = ["what is said of a refiner", "rank correlation", "p", "within single seeds"]
    return markdown([head, *rank_lines(rows)])


def verdicts_on_real_images() -> str:
    """Verdicts of refiners, and what their students gained with soft labels of the crop."""
    lines = [["images", "refiner", "verdict", "student's gain", "n"]]
    for name in ("cifar10", "imagenette"):
        rows = load(f"refiner_gains-{name}")
        own = [r for r in rows if "self" in r["student"] or r["row"] == "soft_dynamic"]
        for pair in in_order(own):
            before, after = (over_refiners(own, f"{who}_top1")[pair] for who in WHO)
            gain = paired_gain(before, after)
            refiner = f"`{pair.split(' > ')[0]}`"
            lines.append([SCALES[name], refiner, verdicts_of(own, pair), gain_points(gain)])
            lines[-1].append(str(len(over_refiners(own, "gain")[pair])))
    return markdown(lines)


WHO = ("plain", "student")
NOT_RUN = "Not measured yet."


def load_or_none(name: str) -> Rows | None:
    """Lines of docs/results/NAME.csv; None where it hasn't been run."""
    there = (ROOT / "docs" / "results" / f"{name}.csv").exists()
    return load(name) if there else None


def suspects(known: str) -> str:
    """How many of the first labels of each ranking are wrong."""
    rows = [r for r in load("suspects") if r["set"] == known]
    columns = ("p100", "p500", "p1000", "average_precision")
    lines = [["ranking", "first 100", "first 500", "first 1,000", "average precision", "n"]]
    for name in dict.fromkeys(r["ranking"] for r in rows):
        mine = [r for r in rows if r["ranking"] == name]
        cells = [mean_std([float(r[column]) for r in mine]) for column in columns]
        lines.append([name, *cells, str(len(mine))])
    return markdown(lines)


def variances(*cases: tuple[str, str, str]) -> str:
    """Variances of the last feature maps over test images: (row, trained or not, what with)."""
    rows = load("losses-variances")
    lines = [["network", "trained with", "average", "maximum", "minimum", "n"]]
    for row, trained, what in cases:
        mine = [r for r in rows if (r["row"], r["trained"]) == (row, trained)]
        cells = [mean_std([float(r[column]) for r in mine]) for column in ("mean", "max", "min")]
        lines.append([row.split("_")[0], what, *cells, str(len(mine))])
    return markdown(lines)


def capacity() -> str:
    """What a shortcut costs networks of three sizes."""
    rows = load("shortcut_capacity")
    shares = sorted({r["dark_share"] for r in rows}, key=float)
    head = [f"{float(share):.0%} of cats dark" for share in shares]
    lines = [["parameters", *head, "loss at the largest share", "n"]]
    for network in dict.fromkeys(r["network"] for r in rows):
        mine = {
            s: [r for r in rows if (r["network"], r["dark_share"]) == (network, s)] for s in shares
        }
        found = {s: {r["seed"]: float(r["test_top1"]) for r in part} for s, part in mine.items()}
        seeds = sorted(set.intersection(*(set(each) for each in found.values())))
        values = {s: [each[seed] for seed in seeds] for s, each in found.items()}
        cells = [mean_std(each) for each in values.values()]
        lost = gain_points(paired_gain(values[shares[0]], values[shares[-1]]))
        count = f"{int(mine[shares[0]][0]['parameters']):,}"
        lines.append([count, *cells, lost, str(len(seeds))])
    return markdown(lines)


def factory() -> str:
    """What a turn of the cycle mends, by how the images to decide on were chosen."""
    rows = load("factory_turn")
    by_way = {way: [r for r in rows if r["way"] == way] for way in dict.fromkeys(map(_way, rows))}
    failed = {(r["seed"], r["test"]) for r in by_way["before"] if r["verdict"] == "FAIL"}
    head = ["decisions", "labels changed", "failed tests that keep their bound", "proven"]
    lines = [["", *head, "accuracy", "by day", "by night", "n"]]
    for way, mine in by_way.items():
        seeds = list(dict.fromkeys(r["seed"] for r in mine))
        line = [way]
        for column in ("decisions", "relabelled"):
            counts = [next(int(r[column]) for r in mine if r["seed"] == seed) for seed in seeds]
            line.append(f"{np.mean(counts):,.0f}")
        again = [r for r in mine if (r["seed"], r["test"]) in failed]
        kept = sum(r["verdict"] in ("PASS", "UNPROVEN") for r in again)
        line += [f"{kept} of {len(again)}", str(sum(r["verdict"] == "PASS" for r in again))]
        for test in ("everywhere", "by_day", "by_night"):
            line.append(mean_std([float(r["value"]) for r in mine if r["test"] == test]))
        lines.append([*line, str(len(seeds))])
    return markdown(lines)


def factory_gain(way: str, base: str) -> str:
    """Points of accuracy that one way gains over another, paired by seed."""
    rows = load("factory_turn")
    lines = [["test", f"{way} over {base}", "n"]]
    for test in ("everywhere", "by_day", "by_night"):
        found = [
            {r["seed"]: float(r["value"]) for r in rows if (r["way"], r["test"]) == (each, test)}
            for each in (base, way)
        ]
        seeds = sorted(found[0].keys() & found[1].keys())
        gained = gain_points(paired_gain(*([each[s] for s in seeds] for each in found)))
        lines.append([test.replace("_", " "), gained, str(len(seeds))])
    return markdown(lines)


def _way(row: dict[str, str]) -> str:
    return row["way"]


def mean_std(values: list[float]) -> str:
    """Mean ± sample standard deviation; the mean alone of one value."""
    if len(values) < 2:
        return f"{np.mean(values):.3f}"
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def speed(script: str | None = None) -> str:
    """The ratios of the benchmarks' last run: of one script, or of those about training."""
    (path,) = sorted((ROOT / "benchmarks" / "results").glob("*.csv"))
    with path.open() as file:
        rows = list(csv.DictReader(file))
    last = {(r["figure"], r["unit"]): r for r in rows}
    lines = [["figure", "unit", "median", "min to max", "n", "ratio", "to"]]
    for (figure, unit), r in last.items():
        if r["script"] not in ((script,) if script else TRAINING):
            continue
        numbers = [f"{float(r[key]):.4g}" for key in ("median", "min", "max")]
        ratio = f"{float(r['ratio']):.2g}" if r["ratio"] and float(r["ratio"]) < 0.1 else ""
        ratio = f"{float(r['ratio']):.2f}" if r["ratio"] and not ratio else ratio
        cells = [figure, unit, numbers[0], f"{numbers[1]} to {numbers[2]}", r["n"]]
        lines.append([*cells, ratio, r.get("to", "")])
    return markdown(lines)


def store_claim() -> str:
    """What refining costs a ResNet8 step, from the benchmark of the label store."""
    (path,) = sorted((ROOT / "benchmarks" / "results").glob("*.csv"))
    with path.open() as file:
        rows = {r["figure"]: r for r in csv.DictReader(file) if r["script"] == "label_store"}
    plain = float(rows["plain"]["median"])  # core-milliseconds a step of 128 crops
    labels = 128_000 / float(rows["resnet18: making labels"]["median"])
    numbers = {
        "labels from a store": float(rows["from a store, float32"]["ratio"]),
        "a live refiner of the same size": float(rows["by a live resnet8"]["ratio"]),
        "the first use of a ResNet-18's labels, which makes them": (plain + labels) / plain,
    }
    lines = [["a training step of ResNet8 with", "takes, of a plain step"]]
    return markdown([*lines, *([name, f"{value:.2f} x"] for name, value in numbers.items())])


SCALES = {
    "imagenet": "ImageNet",
    "street": "Street numbers",
    "cifar10": "CIFAR-10",
    "cifar10_longer": "CIFAR-10, three times as long",
    "cifar10_more": "CIFAR-10, four times the images",
    "imagenette": "Imagenette",
    "tiny_imagenet": "Tiny-ImageNet",
}


def paper_table(table: str) -> str:
    """A table of Label Refinery at each scale that has been run: docs/results/TABLE-SCALE.csv.

    The file is the table.csv of the run; its results.csv lies beside it as TABLE-SCALE-runs.csv.
    """
    parts = []
    for scale, title in SCALES.items():
        if not (ROOT / "docs" / "results" / f"{table}-{scale}.csv").exists():
            continue
        option = "" if scale == "imagenet" else f" --scale {scale}"
        command = f"tinyrefinery reproduce label_refinery/{table}{option}"
        parts.append(f"## {title}\n\n```\n{command}\n```\n\n{paper_rows(f'{table}-{scale}')}")
    return "\n\n".join(parts)


def paper_rows(name: str) -> str:
    """The rows of docs/results/NAME.csv that have been run, with the paper's numbers."""
    lines = [["row", "network", "paper top-1", "ours", "paper's gain", "our gain", "over", "n"]]
    return markdown([*lines, *(paper_line(row) for row in load(name) if int(row["n"]))])


def paper_line(row: dict[str, str]) -> list[str]:
    """One row of a table.csv; its numbers are percent."""
    number = {key: float(row[key]) if row[key] else None for key in PERCENT}
    top1, std, gain, low, high = (number[key] for key in PERCENT[2:])
    ours = f"{top1:.1f}" + ("" if std is None else f" ± {std:.1f}") if top1 is not None else ""
    ours_gain = f"{gain:+.1f}" if gain is not None else ""
    ours_gain += f" [{low:+.1f}, {high:+.1f}]" if low is not None else ""
    papers_gain = f"{number['paper_gain']:+.4g}" if number["paper_gain"] is not None else ""
    cells = [row["row"], row["model"], row["paper_top1"], ours, papers_gain, ours_gain]
    return [each.replace("-", "−") if i > 2 else each for i, each in enumerate(cells)] + [
        *(row["baseline"], row["n"])
    ]


def gains_by_row(name: str) -> str:
    """The rows of a table.csv that has no paper's numbers."""
    lines = [["row", "network", "test top-1", "gain", "over", "n"]]
    for row in load(name):
        row_id, model, _, ours, _, our_gain, *rest = paper_line(row)
        lines.append([row_id, model, ours, our_gain, *rest])
    return markdown(lines)


def replication(scale: str) -> str:
    """Test top-1 of the replication's three generations, row by row, and what the last gained."""
    rows = load(f"replication-{scale}-runs")
    lines = [["row", "R0", "R1", "R2", "R2 over R0", "n"]]
    table = load(f"replication-{scale}")
    for row in (each["row"] for each in table if each["stage"] == "r2" and int(each["n"])):
        found = [list(values(rows, row, name, "test_top1").values()) for name in ("r0", "r1", "r2")]
        cells = [percent(spread(each)) for each in found]
        lines.append([row, *cells, gain(rows, row, "r2", base="r0"), str(len(found[2]))])
    return markdown(lines)


PERCENT = ("paper_top1", "paper_gain", "top1", "top1_std", "gain", "gain_low", "gain_high")


def markdown(lines: list[list[str]]) -> str:
    """A Markdown table; the first line is its head."""
    rule = ["---"] * len(lines[0])
    return "\n".join("| " + " | ".join(line) + " |" for line in [lines[0], rule, *lines[1:]])


def street(*rows: str) -> list[tuple[str, str, str, str, str]]:
    """Rows of the street numbers' table of causes, all against the plain network of the same."""
    return [(row.replace("_", " "), "street_causes", row, "refiner", row) for row in rows]


CIFAR = ("CIFAR-10, padded crops", "cifar10", "pad", "refiner", "pad")
CIFAR_INCEPTION = ("CIFAR-10, crops from 8 %", "cifar10", "inception", "refiner", "inception")
CIFAR_SMALL = ("CIFAR-10, a network of 20k parameters", "cifar10", "small", "refiner", "small")
CIFAR_RUNNING = ("CIFAR-10, running", "cifar10", "running", "refiner", "pad")
CIFAR_LONG = (
    *("CIFAR-10, twice as long", "cifar10_long", "twice_as_long", "refiner"),
    "twice_as_long",
)
IMAGENETTE = ("Imagenette, crops from 35 %", "imagenette", "area35", "refiner", "area35")
IMAGENETTE_08 = ("Imagenette, crops from 8 %", "imagenette08", "", "refiner", "")
DEMO = ("street numbers, crops from 8 %", "demo", "", "refiner", "")


def detection() -> str:
    """Detectors on the test images they come with, and the control that looks at nothing."""
    rows = [row for row in load("detection") if row["split"] == "test"]
    columns = {
        "mAP, eleven points": "map11",
        "of median boxes": "blind_map11",
        "mAP, area": "map_area",
        "COCO's AP": "coco_ap",
        "AP at .5": "coco_ap50",
    }
    lines = [["recipe", "test images, objects", *columns, "n"]]
    for name in dict.fromkeys(row["recipe"] for row in rows):
        own = [row for row in rows if row["recipe"] == name]
        found = [percent(spread([float(row[c]) for row in own])) for c in columns.values()]
        size = f"{own[0]['images']}, {own[0]['objects']}"
        lines.append([f"`detection/{name}`", size, *found, str(len(own))])
    return markdown(lines)


TABLES: dict[str, Callable[[], str]] = {
    "detection": detection,
    **{f"table{number}": partial(paper_table, f"table{number}") for number in range(1, 8)},
    "real-images": partial(paper_table, "real_images"),
    "real-images-better": partial(paper_rows, "real_images-better"),
    "replication-few": partial(replication, "few"),
    "replication-deep": partial(replication, "deep"),
    "losses": lambda: gains_by_row("losses"),
    "losses-variances": lambda: variances(
        *(
            (f"{network}{loss}", trained, what)
            for network in ("resnet8", "skipblocknet")
            for loss, trained, what in (
                ("", "no", "nothing"),
                ("", "yes", "cross-entropy"),
                ("_bias", "yes", "Bias Loss as printed"),
                ("_bias_normalized", "yes", "by variances, mean-normalized"),
            )
        )
    ),
    "demo": lambda: stages("demo", truth=True),
    "cifar10": lambda: stages("cifar10", "pad"),
    "imagenette": lambda: stages("imagenette", "area35"),
    "faq-sets": lambda: gains(DEMO, CIFAR, IMAGENETTE),
    "faq-capacity": lambda: gains(CIFAR, CIFAR_SMALL),
    "faq-crop-area": lambda: gains(CIFAR, CIFAR_INCEPTION, IMAGENETTE, IMAGENETTE_08),
    "faq-epochs": lambda: gains(*street("soft_crop", "twice_as_long"), CIFAR, CIFAR_LONG),
    "faq-batch-norm": lambda: gains(*street("soft_crop", "running"), CIFAR, CIFAR_RUNNING),
    "faq-level": lambda: gains(*street("soft_crop", "hard", "image", "category")),
    "food3": lambda: beside(
        "food3",
        "scratch",
        ("from scratch", "scratch"),
        ("all weights, head replaced", "all_weights"),
        ("so, with `layer_decay: 0.75`", "layer_decay"),
        ("so, with the first eight blocks frozen", "frozen"),
        ("the head alone", "head_only"),
    ),
    "speed": speed,
    "store-claim": store_claim,
    "store-speed": lambda: speed("label_store"),
    "dynamics-speed": lambda: speed("dynamics"),
    "compiling": lambda: speed("compiling"),
    "wrong-labels": wrong_labels,
    "label-levels": lambda: label_levels("label_quality_street"),
    "label-modes": lambda: label_modes("label_quality_street"),
    "label-people": lambda: label_people("label_quality_people"),
    "refiner-gains": refiner_gains,
    "refiner-verdicts": verdicts_on_real_images,
    "refiner-ranks": refiner_ranks,
    "suspects-human": lambda: suspects("human_label1"),
    "suspects-imagenette": lambda: suspects("imagenette_25"),
    "suspects-test": lambda: suspects("cifar_test"),
    "shortcut-capacity": capacity,
    "factory": factory,
    "factory-gain": lambda: factory_gain("suspects", "at random"),
    "store-forms": lambda: against(
        "street_store",
        "live",
        "refined",
        ("live refiner, or float32 (400 bytes)", "live"),
        ("float16 (200 bytes)", "float16"),
        ("compact: top 10 (20 bytes)", "compact"),
        ("top 3 (6 bytes)", "top_3"),
    ),
    "store-pools": lambda: against(
        "street_store",
        "fresh_50",
        "refined",
        ("50 epochs, each with fresh crops", "fresh_50"),
        *((f"50 epochs of a pool of {n}", f"pool_{n}") for n in (20, 10, 5)),
    ),
    "store-long-pools": lambda: against(
        "street_store",
        "fresh_100",
        "refined",
        ("100 epochs, each with fresh crops", "fresh_100"),
        ("100 epochs of a pool of 50", "pool_50"),
    ),
    "floor": lambda: speed("floor"),
}


def main() -> int:
    """Fill every `<!-- results:NAME -->` of README.md and docs/."""
    stale = []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = path.read_text()
        for name, table in TABLES.items():
            begin, end = f"<!-- results:{name} -->", "<!-- /results -->"
            if begin in text:
                head, _, rest = text.partition(begin)
                _, _, tail = rest.partition(end)
                text = f"{head}{begin}\n{table()}\n{end}{tail}"
        if text != path.read_text():
            stale.append(path.relative_to(ROOT))
            if "--check" not in sys.argv:
                path.write_text(text)
    print("\n".join(f"{'stale' if '--check' in sys.argv else 'written'}: {path}" for path in stale))
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
