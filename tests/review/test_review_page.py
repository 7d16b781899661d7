"""The review page in a real browser, driven by keys as a person would."""

import json
import os
import shlex
import shutil

import pytest

from tests.review.queues import served, small_queue
from tinyrefinery.data.overlay.decisions import newest_by_image, read_decisions, valid_decisions
from tinyrefinery.review.page import static_page
from tinyrefinery.review.queue_pictures import Pictures, open_queue_data
from tinyrefinery.review.reviewing import open_review

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def browser():
    driver = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra dev)")
    found = os.environ.get("TINYREFINERY_CHROMIUM") or shutil.which("chromium")
    if found is None:
        pytest.skip("no chromium on the path; set TINYREFINERY_CHROMIUM to its executable")
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 1200, "height": 800}, accept_downloads=True)
    page = context.new_page()
    page.said = []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("dialog", lambda dialog: (page.said.append("a dialog"), dialog.accept()))
    yield page
    context.close()


def until(page, expression):
    """Wait for an expression; the page's policy forbids playwright's own way of waiting."""
    for _ in range(500):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"never came true: {expression}; the page said {page.said}")


def at(page, n, total=6):
    until(page, f"document.querySelector('#count').textContent == '{n} of {total} reviewed'")


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def test_it_shows_what_there_is_to_know(page, tmp_path):
    item = small_queue().items[0]
    with served(tmp_path / "d.jsonl") as server:
        page.goto(server.url)
        at(page, 0)
        assert page.inner_text("#why") == item.why  # its markup is text
        assert page.inner_text("#given") == item.given
        assert item.file_name in page.inner_text("#file")
        assert "network: 3 0.75, 8 0.20" in page.inner_text("#predicted")
        assert page.get_attribute("#view", "class").startswith("seen")
        until(page, "document.querySelector('#picture').naturalWidth == 24")
        press(page, "Space")
        until(page, "document.querySelector('#picture').naturalWidth == 48")
        press(page, "t")  # an image of training can't become a test
        assert page.is_disabled("#test")
        assert page.said == []


def test_keys_decide(page, tmp_path):
    path, queue = tmp_path / "d.jsonl", small_queue()
    items, classes = queue.items, queue.classes
    third = "1" if items[2].given != "1" else "2"  # classes that are digits are their own keys
    with served(path) as server:
        page.goto(server.url)
        at(page, 0)
        # right; of a test image, a class, since Enter takes no prediction there; a class
        steps = [["Enter"], ["t", items[1].suggest], [third], ["h"]]
        for done, keys in enumerate(steps, 1):
            press(page, *keys)
            at(page, done)
        press(page, "u")
        at(page, 3)
        press(page, "x")
        at(page, 4)
        press(page, "/", *next(c for c in classes if c != items[4].given), "Enter")
        at(page, 5)
        press(page, "s")
        at(page, 6)
        assert page.is_visible("#done")
        assert page.said == []
        page.reload()
        at(page, 6)
        press(page, "u")
        at(page, 5)
    said = valid_decisions(read_decisions(path))
    assert [each.verdict for each in said] == ["ok", "relabel", "relabel", "drop", "relabel"]
    assert [each.uid for each in said] == [each.uid for each in items[:5]]
    assert said[1].label == items[1].suggest
    assert [each.slices for each in said] == [(), ("fixed",), (), (), ()]
    assert said[2].label == third


def test_a_test_image_comes_without_the_prediction(page, tmp_path):
    path, queue = tmp_path / "d.jsonl", small_queue()
    assert [each.split for each in queue.items[:2]] == ["train", "test"]
    with served(path) as server:
        page.goto(server.url)
        at(page, 0)
        press(page, "Enter")
        at(page, 1)
        assert page.inner_text("#predicted") == "hidden: this is a test image"
        assert page.is_hidden("#accept")
        assert page.query_selector("#classes .suggested") is None
        assert "0.75" not in page.inner_text("body")
        press(page, "Enter")  # accepts nothing
        until(page, "!document.querySelector('#error').hidden")
        assert "choose a class" in page.inner_text("#error")
        at(page, 1)
        press(page, "o")
        at(page, 2)
        assert page.is_hidden("#error")
    assert [each.verdict for each in read_decisions(path)] == ["ok", "ok"]


def test_the_bar_fills_and_the_end_names_the_file_and_the_command(page, tmp_path):
    path = tmp_path / "it's decided.jsonl"
    width = "document.querySelector('#progress b').getBoundingClientRect().width"
    whole = "document.querySelector('#progress').getBoundingClientRect().width"
    with served(path) as server:
        page.goto(server.url)
        at(page, 0)
        assert page.get_attribute("#progress", "aria-valuenow") == "0"
        for done in (1, 2, 3):
            press(page, "s")
            at(page, done)
        assert page.get_attribute("#progress", "aria-valuenow") == "50"
        until(page, f"Math.abs({width} / {whole} - 0.5) < 0.01")
        for done in (4, 5, 6):
            press(page, "s")
            at(page, done)
        until(page, f"Math.abs({width} / {whole} - 1) < 0.01")
        assert str(path) in page.inner_text("#doneword")
        words = shlex.split(page.inner_text("#next"))
        assert words == ["tinyrefinery", "apply", str(path)]


def test_a_word_that_could_not_be_kept_is_told_and_stays_open(page, tmp_path):
    with served(tmp_path / "d.jsonl") as server:
        page.goto(server.url)
        at(page, 0)
        page.route("**/decide", lambda route: route.abort())  # the command has ended
        press(page, "Enter")
        until(page, "!document.querySelector('#error').hidden")
        assert "Not saved" in page.inner_text("#error")
        at(page, 0)
        page.unroute("**/decide")
        press(page, "Enter")
        at(page, 1)
        assert page.is_hidden("#error")


def test_a_foreign_page_can_neither_read_nor_decide(page, tmp_path):
    with served(tmp_path / "d.jsonl") as server, served(tmp_path / "other.jsonl") as other:
        page.goto(other.url)  # the nearest that there is to a foreign page: another port
        at(page, 0)
        page.route("**/evil", lambda route: route.fulfill(body="<p>", content_type="text/html"))
        page.goto(f"http://localhost:{other.server_port}/evil")
        script = """async (url) => {
            const tries = [
                () => fetch(url + 'state').then((a) => a.text()),
                () => fetch(url + 'decide', {method: 'POST', mode: 'no-cors',
                    headers: {'Content-Type': 'text/plain'}, body: '{"index":0,"verdict":"drop"}'})
                    .then((answer) => answer.text().then((text) => text || Promise.reject())),
                () => fetch(url + 'decide', {method: 'POST',
                    headers: {'Content-Type': 'application/json'},
                    body: '{"index":0,"verdict":"drop"}'}),
                () => new Promise((good, bad) => { const image = new Image(); image.onload = good;
                    image.onerror = bad; image.src = url + 'image/0/seen'; }),
            ];
            const said = [];
            for (const each of tries) {
                try { await each(); said.push('in'); }
                catch (error) { said.push('out'); }
            }
            return said;
        }"""
        assert page.evaluate(script, server.url) == ["out"] * 4
        assert not (tmp_path / "d.jsonl").exists()


def test_the_page_to_take_along(page, tmp_path):
    queue = small_queue()
    review = open_review(queue, tmp_path / "d.jsonl", "ann")
    file = tmp_path / "review.html"
    file.write_text(static_page(review, Pictures(queue, open_queue_data(queue))))
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    at(page, 0)
    until(page, "document.querySelector('#picture').naturalWidth == 24")
    for key in ("Enter", "t", queue.items[1].suggest, "h", "u", "x"):
        page.keyboard.press(key)
    at(page, 3)
    with page.expect_download() as waiting:
        page.click("#download")
    waiting.value.save_as(tmp_path / "taken.jsonl")
    said = newest_by_image(read_decisions(tmp_path / "taken.jsonl"))
    assert [each.verdict for each in said.values()] == ["ok", "relabel", "drop"]
    assert list(said) == [each.uid for each in queue.items[:3]]
    assert said[queue.items[1].uid].slices == ("fixed",)
    assert {url.split(":")[0] for url in asked} <= {"file", "data", "blob"}
    assert page.said == []


def test_it_can_be_seen_in_light_and_dark_and_narrow(browser, tmp_path):
    with served(tmp_path / "d.jsonl") as server:
        for scheme, width in (("light", 1200), ("dark", 1200), ("light", 420)):
            context = browser.new_context(
                viewport={"width": width, "height": 800}, color_scheme=scheme
            )
            page = context.new_page()
            page.said = []
            page.goto(server.url)
            at(page, 0)
            colors = page.evaluate(
                "(() => { const s = getComputedStyle(document.body);"
                "return [s.color, s.backgroundColor, document.body.scrollWidth]; })()"
            )
            ink, ground = (sum(json.loads(f"[{c[4:-1]}]")) for c in colors[:2])
            assert (ink < 150 < 600 < ground) if scheme == "light" else (ground < 150 < 600 < ink)
            assert colors[2] <= width
            page.screenshot(path=str(tmp_path / f"{scheme}-{width}.png"))
            context.close()
