r"""Take the screenshots of README.md and docs: what ships, a report, an audit, a terminal.

    tinyrefinery demo
    tinyrefinery audit runs/demo --out audit
    script -qec "stty cols 100; tinyrefinery run starter/folder --smoke" terminal.txt
    python tools/screenshots.py --fit runs/demo/page.html --report runs/demo/report.html \
        --audit audit/audit.html --terminal terminal.txt

Needs playwright and Chromium: on the path, or its executable in TINYREFINERY_CHROMIUM.
"""

import argparse
import os
import shutil
import sys
import tempfile
from io import BytesIO, StringIO
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

IMAGES = Path(__file__).parent.parent / "docs" / "images"
MOST_BYTES = 200_000
SIZE = (1280, 1600)  # CSS pixels of the window
COLUMNS = 100  # of the terminal
_PAGE = """<!DOCTYPE html><meta charset="utf-8"><style>
{stylesheet} body {{ margin: 0; padding: 20px; color: {foreground}; background: {background}; }}
pre {{ font: 17px/1.35 monospace; }}</style><pre>{code}</pre>"""


def main() -> None:
    """Take the pictures of the files that are named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("fit", "report", "audit", "terminal"):
        parser.add_argument(f"--{name}", type=Path, metavar="FILE")
    given = parser.parse_args()
    for name in ("fit", "report", "audit"):
        if (page := getattr(given, name)) is not None:
            save(name, shot(page))
    if given.terminal is not None:
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "terminal.html"
            page.write_text(terminal_page(given.terminal.read_text("utf-8")), "utf-8")
            save("terminal", shot(page, whole=True))


def shot(page: Path, *, whole: bool = False) -> Image.Image:
    """A page from its heading on, as a window shows it, or all of it."""
    try:
        from playwright.sync_api import ViewportSize, sync_playwright
    except ImportError:
        sys.exit("screenshots need playwright: pip install playwright")
    chromium = os.environ.get("TINYREFINERY_CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        sys.exit("no chromium on the path: install it, or set TINYREFINERY_CHROMIUM to it")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        width, height = SIZE
        size = ViewportSize(width=width, height=100 if whole else height)
        tab = browser.new_page(viewport=size, color_scheme="light")
        tab.set_default_timeout(300_000)
        tab.goto(page.resolve().as_uri())
        if not whole:
            tab.evaluate("document.querySelector('h1').scrollIntoView()")
        data = tab.screenshot(full_page=whole)
        browser.close()
    return Image.open(BytesIO(data)).convert("RGB")


def terminal_page(recorded: str) -> str:
    """What a terminal showed, as a page. `recorded` is from `script`, escape codes included."""
    lines = [line.rstrip() for line in recorded.replace("\r\n", "\n").split("\n")]
    lines = [line for line in lines if not line.startswith("Script ")]
    console = Console(record=True, width=COLUMNS, file=StringIO())
    for line in lines:
        console.print(Text.from_ansi(line), soft_wrap=True)
    return console.export_html(theme=MONOKAI, code_format=_PAGE)


def save(name: str, image: Image.Image) -> None:
    """Write NAME.webp, which must stay small."""
    path = IMAGES / f"{name}.webp"
    image.save(path, "webp", quality=80, method=6)
    size = path.stat().st_size
    print(f"{path}: {size:,} bytes")
    if size > MOST_BYTES:
        sys.exit(f"{path}: more than {MOST_BYTES:,} bytes: name a smaller page")


if __name__ == "__main__":
    main()
