"""Variances of feature maps, and detectors."""

from tables.reading import load, markdown, mean_std
from tinyrefinery.pages.numbers import percent
from tinyrefinery.statistics.paired import spread


def variances(*cases: tuple[str, str, str]) -> str:
    """Variances of the last feature maps over test images: (row, trained or not, what with)."""
    rows = load("losses-variances")
    lines = [["network", "trained with", "average", "maximum", "minimum", "n"]]
    for row, trained, what in cases:
        mine = [r for r in rows if (r["row"], r["trained"]) == (row, trained)]
        cells = [mean_std([float(r[column]) for r in mine]) for column in ("mean", "max", "min")]
        lines.append([row.split("_")[0], what, *cells, str(len(mine))])
    return markdown(lines)


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
