"""Every page at two widths, light and dark: layout, contrast, keyboard and names of pictures.

With TINYREFINERY_AXE, a path to axe.min.js of npm's axe-core, its rules are checked too. With
TINYREFINERY_SCREENSHOTS, a folder, each page is also kept as pictures.
"""

import os
from pathlib import Path

import pytest

from tests.browsers import browser
from tests.deploy.export.conftest import converter
from tests.pages.every_page import PAGES

__all__ = ["browser", "converter"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("converter"),  # two pages show exported files
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]

CHECKS = (Path(__file__).parent / "checks.js").read_text("utf-8")
WIDTHS = (390, 1280)
SCHEMES = ("light", "dark")
FOCUS = """() => {
    const e = document.activeElement;
    if (e === document.body) return null;
    const style = getComputedStyle(e), box = e.getBoundingClientRect();
    const all = [...document.querySelectorAll('*')];
    return {
        place: all.indexOf(e),
        what: e.outerHTML.slice(0, 80),
        marked: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0,
        inside: box.bottom > 0 && box.top < innerHeight,
    };
}"""
STOPS = """() => [...document.querySelectorAll('a[href], button, input, summary, [tabindex]')]
    .filter((each) => each.tabIndex >= 0 && !each.disabled && each.checkVisibility()).length"""
MOST_STOPS = 100


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Name of a page -> its file, made once when it is first asked for."""
    folder = tmp_path_factory.mktemp("pages")
    made: dict[str, Path] = {}

    def file(name: str) -> Path:
        if name not in made:
            place = folder / name.replace(" ", "-")
            place.mkdir()
            path = place / "page.html"
            path.write_text(PAGES[name](place), "utf-8")
            made[name] = path
        return made[name]

    return file


@pytest.fixture
def opened(browser, files):
    contexts = []

    def open_page(name: str, width: int, scheme: str):
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True
        )
        contexts.append(context)
        page = context.new_page()
        page.goto(files(name).as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        if out := os.environ.get("TINYREFINERY_SCREENSHOTS"):
            path = Path(out) / f"{name.replace(' ', '-')}-{width}-{scheme}.png"
            page.screenshot(path=path, full_page=True)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_cut_faint_or_without_a_name(opened, name, width, scheme):
    page = opened(name, width, scheme)
    faults = page.evaluate(CHECKS)
    if axe := os.environ.get("TINYREFINERY_AXE"):
        page.add_script_tag(path=axe)
        broken = page.evaluate("() => axe.run().then(found => found.violations)")
        faults += [
            f"{rule['id']}: {node['html'][:120]}" for rule in broken for node in rule["nodes"][:3]
        ]
    assert not faults, "\n" + "\n".join(faults)


@pytest.mark.parametrize("name", PAGES)
def test_keys_reach_everything_in_the_order_of_the_page(opened, name):
    page = opened(name, 1280, "light")
    places, faults = [], []
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        stop = page.evaluate(FOCUS)
        if stop is None or (places and stop["place"] == places[0]):
            break
        places.append(stop["place"])
        faults += [f"{key}: {stop['what']}" for key in ("marked", "inside") if not stop[key]]
    assert len(places) >= min(page.evaluate(STOPS), MOST_STOPS)
    assert places == sorted(places)
    assert not faults, "not marked or out of sight when it has the focus:\n" + "\n".join(faults)
