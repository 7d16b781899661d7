"""Labels compared with true crop labels, and with human votes."""

from tables.reading import ROOT, markdown
from tinyrefinery.files import read_csv
from tinyrefinery.pages.numbers import nats, percent
from tinyrefinery.refiners.label_report import KINDS, over_seeds


def label_levels(name: str, bn: tuple[str, str] = ("batch", "64")) -> str:
    """KL to the true crop labels by level, soft and hard, in one batch-norm mode."""
    lines = read_csv(ROOT / "docs" / "results" / f"{name}.csv")
    table = [["labels from", *(f"{form}, {level}" for form, level in KINDS), "n"]]
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
    """KL of soft crop labels to the true crop labels by batch-norm mode and group."""
    lines = read_csv(ROOT / "docs" / "results" / f"{name}.csv")
    refined = [line for line in lines if line["batch_norm"]]
    modes = list(dict.fromkeys((line["batch_norm"], line["bn_group"]) for line in refined))
    table = [["labels from", *(f"{mode} {group}".strip() for mode, group in modes), "n"]]
    for stage in dict.fromkeys(line["stage"] for line in refined):
        which = {"stage": stage, "level": "crop", "form": "soft"}
        found = [over_seeds(refined, **which, batch_norm=m, bn_group=g) for m, g in modes]
        cells = [f"{each.mean:.3f} ± {each.std or 0:.3f}" if each else "" for each in found]
        table.append([stage, *cells, str(found[0].n if found[0] else 0)])
    return markdown(table)


def label_people(name: str, bn: tuple[str, str] = ("running", "")) -> str:
    """Labels of whole held-out images compared with human votes."""
    lines = read_csv(ROOT / "docs" / "results" / f"{name}.csv")
    columns = {
        "soft: cross-entropy": ("cross_entropy", "soft", "image"),
        "soft: KL": ("kl", "soft", "image"),
        "soft: total variation": ("total_variation", "soft", "image"),
        "hard: KL": ("kl", "hard", "image"),
        "category: KL": ("kl", "soft", "category"),
    }
    table = [["labels from", *columns, "top class agrees with humans", "n"]]
    for stage in dict.fromkeys(line["stage"] for line in lines):
        way = {"stage": stage, "batch_norm": bn[0], "bn_group": bn[1]}
        kinds = list(columns.values())
        found = [over_seeds(lines, m, **way, form=f, level=k) for m, f, k in kinds]
        top1 = over_seeds(lines, "top1_agreement", **way, form="soft", level="image")
        if found[0] is None:  # given labels: one number for every refiner
            found = [over_seeds(lines, m, stage=stage) for m, _, _ in kinds[:3]] + [None, None]
            top1 = over_seeds(lines, "top1_agreement", stage=stage)
        cells = ["" if each is None else nats(each) for each in found]
        table.append([stage, *cells, percent(top1), str(top1.n if top1 else 0)])
    return markdown(table)
