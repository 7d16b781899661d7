"""Predictions as a table for the terminal."""

from rich.text import Text

from tinyrefinery.pages.cell_text import one_line
from tinyrefinery.pages.narrow_tables import Column, Fitted
from tinyrefinery.prediction.predicted import TOP, PicturePredictions


def prediction_table(found: PicturePredictions, k: int = TOP) -> Fitted:
    """One line per picture: file, label, probability, and the next `k - 1` classes."""
    columns = [
        Column("picture", least=20),
        Column("label", least=12),
        Column("probability", right=True),
    ]
    shown = min(k, len(found.classes))
    if shown > 1:
        columns.append(Column("next", least=20))
    rows = []
    for path, best in zip(found.paths, found.top(shown), strict=True):
        (label, probability), *rest = best
        cells = [path, label, f"{probability:.3f}"]
        if shown > 1:
            cells.append(", ".join(f"{name} {share:.3f}" for name, share in rest))
        rows.append([Text(one_line(cell)) for cell in cells])
    return Fitted(columns, rows, head=0)
