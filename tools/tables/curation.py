"""Label errors, shortcuts, and one turn of the data cycle."""

import numpy as np

from tables.reading import load, markdown, mean_std
from tinyrefinery.pages.numbers import gain_points
from tinyrefinery.statistics.paired import paired_gain

STAGES = ("plain", "refined")
WAYS = {"remedies alone": "automatic fixes only", "shares as they are": "default shares"}
"""Names in the CSV file -> names in the table."""


def wrong_labels() -> str:
    """How well training finds labels that are known to be wrong."""
    rows = load("wrong_labels")
    lines = [["measure", "trained on given labels", "trained on refined labels", "n"]]
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


def suspects(known: str) -> str:
    """The share of wrong labels at the top of each ranking."""
    rows = [r for r in load("suspects") if r["set"] == known]
    columns = ("p100", "p500", "p1000", "average_precision")
    tops = [f"wrong in first {top}" for top in ("100", "500", "1,000")]
    lines = [["ranking", *tops, "average precision", "n"]]
    for name in dict.fromkeys(r["ranking"] for r in rows):
        mine = [r for r in rows if r["ranking"] == name]
        cells = [mean_std([float(r[column]) for r in mine]) for column in columns]
        lines.append([name, *cells, str(len(mine))])
    return markdown(lines)


OTHERS = ("refined labels alone", "p[given], in sample", "cleanlab prune by noise rate, in sample")


def suspects_gains(**sets: str) -> str:
    """Gains of suspects.csv over other rankings, paired by seed: name of a set -> title."""
    columns = {
        "p500": "wrong in first 500",
        "p1000": "wrong in first 1,000",
        "average_precision": "average precision",
    }
    lines = [["labels", "gain over", *columns.values(), "n"]]
    for known, title in sets.items():
        rows = [r for r in load("suspects") if r["set"] == known]
        by_way = {
            name: {r["seed"]: r for r in rows if r["ranking"] == name}
            for name in ("ours: suspects.csv", *OTHERS)
        }
        ours = by_way.pop("ours: suspects.csv")
        for name, theirs in by_way.items():
            pairs = [(theirs[seed], ours[seed]) for seed in sorted(ours)]
            gains = [
                gain_points(
                    paired_gain([float(a[c]) for a, _ in pairs], [float(b[c]) for _, b in pairs])
                )
                for c in columns
            ]
            lines.append([title, name, *gains, str(len(pairs))])
    return markdown(lines)


def capacity() -> str:
    """The cost of a shortcut for networks of three sizes."""
    rows = load("shortcut_capacity")
    shares = sorted({r["dark_share"] for r in rows}, key=float)
    head = [f"{float(share):.0%} of cats dark" for share in shares]
    lines = [["parameters", *head, "change at the largest share", "n"]]
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
    """What one turn of the cycle fixes, by how the images to review were selected."""
    rows = load("factory_turn")
    ways = dict.fromkeys(r["way"] for r in rows)
    by_way = {way: [r for r in rows if r["way"] == way] for way in ways}
    failed = {(r["seed"], r["test"]) for r in by_way["before"] if r["verdict"] == "FAIL"}
    head = ["decisions", "labels changed", "failed tests now within bound", "now PASS"]
    lines = [["selection", *head, "accuracy", "by day", "by night", "n"]]
    for way, mine in by_way.items():
        seeds = list(dict.fromkeys(r["seed"] for r in mine))
        line = [WAYS.get(way, way)]
        for column in ("decisions", "relabeled"):
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
    """Gain in accuracy of one way over another, in points, paired by seed."""
    rows = load("factory_turn")
    lines = [["test", f"gain of {way} over {base}", "n"]]
    for test in ("everywhere", "by_day", "by_night"):
        before, after = (
            {r["seed"]: float(r["value"]) for r in rows if (r["way"], r["test"]) == (each, test)}
            for each in (base, way)
        )
        seeds = sorted(before.keys() & after.keys())
        gained = gain_points(paired_gain([before[s] for s in seeds], [after[s] for s in seeds]))
        lines.append([test.replace("_", " "), gained, str(len(seeds))])
    return markdown(lines)
