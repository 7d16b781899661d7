"""Figures of the benchmarks."""

import csv

from tables.reading import ROOT, markdown

TRAINING = ("data_path", "imports", "training_step")  # benchmarks of docs/results.md


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
