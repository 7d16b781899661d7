"""Draw figures of docs/ from the CSV files that the tables are made of.

Run: python tools/figures.py (with --check: fail if a figure does not match its CSV file)
Plain SVG, so equal numbers give equal files.
"""

import sys
from html import escape
from pathlib import Path

from tables.lookup_tradeoff import tradeoff_figure
from tables.reading import ROOT, load, of_row, values

FIGURES = {
    "demo-held-out": ("demo", ""),
    "cifar10-held-out": ("cifar10", "pad"),
    "imagenette-held-out": ("imagenette", "area35"),
}
"""Figure -> CSV file and row, as in the table below the figure. One dot per seed, a bar at the
mean."""
WIDTH, LEFT, RIGHT, LINE, FOOT = 640, 130, 20, 40, 48
STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #1b1d21 } .axis { fill: #6a707a }
line { stroke: #e3e5e9 } circle { fill: #6a707a } .refined circle, .refined rect { fill: #1f62d6 }
rect { fill: #6a707a }
@media (prefers-color-scheme: dark) {
text { fill: #e9ebef } .axis { fill: #9aa1ad } line { stroke: #2c3037 }
circle, rect { fill: #9aa1ad } .refined circle, .refined rect { fill: #7aa8ff } }
</style>"""


def figure(name: str) -> str:
    """The figure as SVG: test top-1 in percent, one line per network."""
    file, row = FIGURES[name]
    rows = load(file)
    stages = list(dict.fromkeys(line["stage"] for line in rows if of_row(line, row)))
    found = {stage: values(rows, row, stage, "test_top1") for stage in stages}
    shares = [share for seeds in found.values() for share in seeds.values()]
    low, high = int(100 * min(shares)) // 5 * 5, -(-int(100 * max(shares) + 1) // 5) * 5
    scale = (WIDTH - LEFT - RIGHT) / (high - low)
    bottom = LINE * len(stages)
    parts = []
    for percent in range(low, high + 1, 5):
        x = LEFT + (percent - low) * scale
        parts.append(f'<line x1="{x:.1f}" y1="4" x2="{x:.1f}" y2="{bottom}"/>')
        parts.append(_note(x, bottom + 18, str(percent)))
    for place, (stage, seeds) in enumerate(found.items()):
        dots = {seed: (LEFT + (100 * s - low) * scale, 100 * s) for seed, s in seeds.items()}
        parts.append(_line(stage, dots, LINE * place + LINE / 2))
    middle = (LEFT + WIDTH - RIGHT) / 2
    title = "test top-1, percent: one dot per seed, the bar is the mean"
    parts.append(_note(middle, bottom + 38, title))
    box = f'viewBox="0 0 {WIDTH} {bottom + FOOT}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img">'
    return "\n".join([head, f"<title>{escape(file)}: {title}</title>", STYLE, *parts, "</svg>", ""])


def _note(x: float, y: float, text: str) -> str:
    return f'<text class="axis" x="{x:.1f}" y="{y:g}" text-anchor="middle">{text}</text>'


def _line(stage: str, dots: dict[int, tuple[float, float]], y: float) -> str:
    """One network: its name, its dots, and their mean, each with its value as title.

    Args:
        stage: name of the network.
        dots: by seed, the place in the figure and the value in percent.
        y: place of the line.
    """
    parts = [f'<text x="{LEFT - 12}" y="{y + 4:g}" text-anchor="end">{escape(stage)}</text>']
    for seed, (x, percent) in dots.items():
        title = f"<title>seed {seed}: {percent:.2f}</title>"
        parts.append(f'<circle cx="{x:.1f}" cy="{y:g}" r="4.5">{title}</circle>')
    x, percent = (sum(numbers) / len(dots) for numbers in zip(*dots.values(), strict=True))
    place = f'x="{x - 1:.1f}" y="{y - 12:g}" width="2" height="24"'
    parts.append(f"<rect {place}><title>mean: {percent:.2f}</title></rect>")
    kind = "refined" if stage.endswith("refined") else "given"
    return "\n".join([f'<g class="{kind}">', *parts, "</g>"])


def main() -> int:
    """Write the figures, or check them."""
    stale = []
    texts = {**{name: figure(name) for name in FIGURES}, "lookup-tradeoff": tradeoff_figure()}
    for name, text in texts.items():
        path = ROOT / "docs" / "images" / f"{name}.svg"
        if text is not None and (not path.exists() or path.read_text("utf-8") != text):
            stale.append(path.relative_to(ROOT))
            if "--check" not in sys.argv:
                Path(path).write_text(text, "utf-8")
    print("\n".join(f"{'stale' if '--check' in sys.argv else 'written'}: {path}" for path in stale))
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
