"""Accuracy of lookup networks against the bytes of their packed files."""

from collections import defaultdict
from statistics import mean

from tables.reading import NOT_RUN, load_or_none, markdown, mean_std

NAME = "lookup_tradeoff"
WIDTH, HEIGHT, LEFT, RIGHT, TOP, FOOT = 640, 320, 56, 110, 12, 52
COLORS = ("#1f62d6", "#c2410c", "#15803d", "#9333ea", "#b45309", "#0e7490")
STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #1b1d21 } .axis { fill: #6a707a }
.grid { stroke: #e3e5e9 } .dense { fill: #6a707a } polyline { fill: none; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
text { fill: #e9ebef } .axis { fill: #9aa1ad } .grid { stroke: #2c3037 } .dense { fill: #9aa1ad } }
</style>"""

Point = dict[str, list[float]]
"""Values of the seeds, by column."""


def _points() -> dict[tuple[int, float], Point] | None:
    """By words, 0 for dense, and sparsity, as in the file; None if it has not been run."""
    rows = load_or_none(NAME)
    if not rows:
        return None
    points: dict[tuple[int, float], Point] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        for column in ("entries", "macs", "bytes", "test_top1"):
            if row[column]:
                points[int(row["words"]), float(row["sparsity"])][column].append(float(row[column]))
    return dict(sorted(points.items()))


def tradeoff_table() -> str:
    """The figure, and a line per size of the dictionary and sparsity."""
    points = _points()
    if points is None:
        return NOT_RUN
    heads = ["words", "`sparsity`", "coefficients per place", "MACs", "packed kB", "test top-1, %"]
    lines = [[*heads, "n"]]
    for (words, sparsity), point in points.items():
        accuracy = mean_std([100 * share for share in point["test_top1"]])
        costs = [f"{mean(point['macs']):,.0f}", f"{mean(point['bytes']) / 1000:.1f}"]
        kind = [str(words), f"{sparsity:g}", f"{mean(point['entries']):.2f}"] if words else None
        lines.append([*(kind or ["dense", "", ""]), *costs, accuracy, str(len(point["test_top1"]))])
    text = "Test accuracy against packed bytes, one line per size of the dictionary"
    return f"![{text}](images/lookup-tradeoff.svg)\n\n{markdown(lines)}"


def tradeoff_figure() -> str | None:
    """The figure as SVG: a dot per sparsity, the mean of the seeds; None if it has not been run."""
    points = _points()
    if points is None:
        return None
    means = {
        key: (mean(point["bytes"]) / 1000, 100 * mean(point["test_top1"]))
        for key, point in points.items()
    }
    scale = _Scale(list(means.values()))
    parts = scale.grid()
    for number, words in enumerate(sorted({words for words, _ in means})):
        line = {sparsity: place for (each, sparsity), place in means.items() if each == words}
        parts += _line(scale, words, line, COLORS[(number - 1) % len(COLORS)])
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
    title = "<title>ResNet8 with lookup convolutions: accuracy against bytes</title>"
    return "\n".join([head, title, STYLE, *parts, "</svg>", ""])


class _Scale:
    """Places in the figure of kilobytes and percent."""

    def __init__(self, places: list[tuple[float, float]]) -> None:
        sizes, shares = zip(*places, strict=True)
        self.right = 1.05 * max(sizes)
        self.low, self.high = int(min(shares)) // 10 * 10, -(-int(max(shares) + 1) // 10) * 10

    def at(self, size: float, share: float) -> tuple[float, float]:
        """Pixels from the left and from the top."""
        across = (WIDTH - LEFT - RIGHT) / self.right
        up = (HEIGHT - TOP - FOOT) / (self.high - self.low)
        return LEFT + size * across, HEIGHT - FOOT - (share - self.low) * up

    def grid(self) -> list[str]:
        """Lines with numbers, and what they are of."""
        parts = []
        for share in range(self.low, self.high + 1, 10):
            x, y = self.at(0, share)
            parts.append(
                f'<line class="grid" x1="{x}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" />'
            )
            parts.append(_text(x - 8, y + 4, str(share), "end"))
        for size in range(0, int(self.right) + 1, 50):
            parts.append(_text(self.at(size, 0)[0], HEIGHT - FOOT + 18, str(size), "middle"))
        title = "packed file in kB, against test top-1 in percent; dense: 32-bit weights"
        parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, title, "middle"))
        return parts


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text class="axis" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def _line(
    scale: _Scale, words: int, line: dict[float, tuple[float, float]], color: str
) -> list[str]:
    """The dots of a dictionary, joined in the order of sparsity, and its name at the largest."""
    places = {sparsity: scale.at(*place) for sparsity, place in line.items()}
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in places.values())
    parts = [f'<polyline points="{joined}" stroke="{color}" />'] if words else []
    for sparsity, (x, y) in places.items():
        size, share = line[sparsity]
        kind = f'fill="{color}"' if words else 'class="dense"'
        what = f"{words} words, sparsity {sparsity:g}" if words else "dense"
        title = f"<title>{what}: {size:.1f} kB, {share:.1f} %</title>"
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" {kind}>{title}</circle>')
    x, y = max(places.values())
    parts.append(_text(x + 10, y + 4, f"{words} words" if words else "dense", "start"))
    return parts
