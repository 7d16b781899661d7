"""Wrong labels, shortcuts, and a turn of the cycle."""

import numpy as np

from tables.reading import load, markdown, mean_std
from tinyrefinery.pages.numbers import gain_points
from tinyrefinery.statistics.paired import paired_gain

STAGES = ("plain", "refined")


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


OTHERS = ("refined labels alone", "p[given], in sample", "cleanlab prune by noise rate, in sample")


def suspects_gains(**sets: str) -> str:
    """What the order of suspects.csv gains over others, paired by seed: name of a set -> title."""
    columns = {"p500": "first 500", "p1000": "first 1,000", "average_precision": "whole order"}
    lines = [["labels", "over", *columns.values(), "n"]]
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
    ways = dict.fromkeys(r["way"] for r in rows)
    by_way = {way: [r for r in rows if r["way"] == way] for way in ways}
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
        before, after = (
            {r["seed"]: float(r["value"]) for r in rows if (r["way"], r["test"]) == (each, test)}
            for each in (base, way)
        )
        seeds = sorted(before.keys() & after.keys())
        gained = gain_points(paired_gain([before[s] for s in seeds], [after[s] for s in seeds]))
        lines.append([test.replace("_", " "), gained, str(len(seeds))])
    return markdown(lines)
