"""A headless Chromium for tests of pages. Tests skip where there is none."""

import os
import shutil

import pytest


@pytest.fixture(scope="module")
def browser():
    """Chromium by playwright, started once per module."""
    driver = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra dev)")
    found = os.environ.get("TINYREFINERY_CHROMIUM") or shutil.which("chromium")
    if found is None:
        pytest.skip("no chromium on the path; set TINYREFINERY_CHROMIUM to its executable")
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()
