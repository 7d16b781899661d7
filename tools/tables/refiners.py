"""Scores of refiners, and the gains of their students."""

from tables.papers import SCALES
from tables.reading import NOT_RUN, load, load_or_none, markdown
from tinyrefinery.pages.numbers import gain_points, nats, percent
from tinyrefinery.refiners.gains_report import (
    pairs_by_gain,
    rank_lines,
    values_by_pair,
    verdicts_of,
)
from tinyrefinery.statistics.paired import paired_gain, spread

WHO = ("plain", "student")


def refiner_gains() -> str:
    """Scores of refiners beside the gains of their students, largest gain first."""
    rows = load_or_none("refiner_gains")
    if rows is None:
        return NOT_RUN
    head = ["refiner", "network", "verdict", "unseen crops", "gap", "truth KL"]
    lines = [[*head, "student gain", "n"]]
    columns = {
        column: values_by_pair(rows, column)
        for column in ("unseen_top1", "gap", "truth_kl", "student_top1", "plain_top1")
    }
    for name in pairs_by_gain(rows):
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
    """How well each measure of refiners predicts the order of gains."""
    rows = load_or_none("refiner_gains")
    if rows is None:
        return NOT_RUN
    head = ["measure of the refiner", "rank correlation", "p", "within each seed"]
    return markdown([head, *rank_lines(rows)])


def verdicts_on_real_images() -> str:
    """Verdicts of refiners, and the gains of their students with soft crop labels."""
    lines = [["images", "refiner", "verdict", "student gain", "n"]]
    for name in ("cifar10", "imagenette"):
        rows = load(f"refiner_gains-{name}")
        own = [r for r in rows if "self" in r["student"] or r["row"] == "soft_dynamic"]
        for pair in pairs_by_gain(own):
            before, after = (values_by_pair(own, f"{who}_top1")[pair] for who in WHO)
            gain = paired_gain(before, after)
            refiner = f"`{pair.split(' > ')[0]}`"
            lines.append([SCALES[name], refiner, verdicts_of(own, pair), gain_points(gain)])
            lines[-1].append(str(len(values_by_pair(own, "gain")[pair])))
    return markdown(lines)
