"""What stands beside the code for those who cite, redistribute or report: it must keep up."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import tinyrefinery

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FORMS = sorted(p for p in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if p.stem != "config")


def package(requirement):
    """The normalized name of a requirement: `Jinja2>=3.1` -> `jinja2`."""
    return re.match(r"[A-Za-z0-9_.-]+", requirement)[0].lower().replace("_", "-")


def test_the_version_is_one():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"] == tinyrefinery.__version__
    assert citation["license"] == PROJECT["license"]


def test_the_notice_lists_every_dependency():
    lines = (ROOT / "NOTICE").read_text().splitlines()
    listed = [package(line.strip()) for line in lines if re.match(r"  \S+  ", line)]
    assert sorted(listed) == sorted(map(package, PROJECT["dependencies"]))


def test_the_lock_pins_every_development_package():
    text = (ROOT / "requirements-dev.lock").read_text()
    pinned = {package(line) for line in text.splitlines() if re.match(r"\S+==", line)}
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *extras["dev"], *extras["docs"]]
    assert {package(each) for each in wanted} <= pinned
    assert "://" not in text


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_issue_forms_are_whole(path):
    """What GitHub refuses a form for."""
    form = yaml.safe_load(path.read_text())
    assert {"name", "description", "body"} <= form.keys()
    ids = [field["id"] for field in form["body"]]
    assert len(set(ids)) == len(ids)
    for field in form["body"]:
        assert field["type"] in ("textarea", "input", "checkboxes", "dropdown")
        assert field["attributes"]["label"]
