"""Variances of feature maps, and detectors."""

from tables.reading import load, markdown, mean_std
from tinyrefinery.pages.numbers import percent
from tinyrefinery.statistics.paired import spread


def variances(*cases: tuple[str, str, str]) -> str:
    """Variances of the last feature maps over test images: (row, trained or not, loss)."""
    rows = load("losses-variances")
    lines = [["network", "training", "average", "maximum", "minimum", "n"]]
    for row, trained, what in cases:
        mine = [r for r in rows if (r["row"], r["trained"]) == (row, trained)]
        cells = [mean_std([float(r[column]) for r in mine]) for column in ("mean", "max", "min")]
        lines.append([row.split("_")[0], what, *cells, str(len(mine))])
    return markdown(lines)


def detection() -> str:
    """Detectors on their own test images, and the control that ignores the pixels."""
    rows = [row for row in load("detection") if row["split"] == "test"]
    columns = {
        "mAP, 11-point": "map11",
        "median-box baseline": "blind_map11",
        "mAP, area": "map_area",
        "COCO AP": "coco_ap",
        "COCO AP at .5": "coco_ap50",
    }
    lines = [["recipe", "test images, objects", *columns, "n"]]
    for name in dict.fromkeys(row["recipe"] for row in rows):
        own = [row for row in rows if row["recipe"] == name]
        found = [percent(spread([float(row[c]) for row in own])) for c in columns.values()]
        size = f"{own[0]['images']}, {own[0]['objects']}"
        lines.append([f"`detection/{name}`", size, *found, str(len(own))])
    return markdown(lines)
