"""Seconds that `tinyrefinery --help` takes, against the import of the libraries it rests on."""

from statistics import median

from imports import COMMAND, once
from timing import Figure, quick, report

LIBRARIES = "import typer, rich, pydantic"
HELP = "tinyrefinery --help"
PROGRAMS = {LIBRARIES: LIBRARIES, HELP: COMMAND.format(arguments=["--help"])}
LIMIT = 1.3
"""Times the import of the libraries that the help may take."""
ROUNDS = 9


def main() -> None:
    """Measure, print, keep."""
    short = quick()
    walls: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for number in range((2 if short else ROUNDS) + 1):
        for name, program in PROGRAMS.items():
            wall = once(program)[0]
            if number:  # the first fills the file cache
                walls[name].append(wall)
    ratio = median(a / b for a, b in zip(walls[HELP], walls[LIBRARIES], strict=True))
    unit = "s on the wall"
    figures = [
        Figure(LIBRARIES, unit, walls[LIBRARIES]),
        Figure(HELP, unit, walls[HELP], ratio, LIBRARIES),
    ]
    report(f"Help (aim: below {LIMIT:g} times the libraries alone)", figures, keep=not short)


if __name__ == "__main__":
    main()
