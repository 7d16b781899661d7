"""Results as JUnit XML, for continuous integration."""

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from tinyrefinery.data_tests.reports import texts
from tinyrefinery.data_tests.reports.records import Facts
from tinyrefinery.data_tests.verdicts import Result, Verdict

WORST = 10
"""Largest number of images listed per failure."""

_SKIPPED = (Verdict.UNPROVEN, Verdict.TOO_FEW, Verdict.KNOWN)
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(facts: Facts, results: Sequence[Result], paths: Sequence[str], *, release: bool) -> str:
    """Write one `<testcase>` per test.

    FAIL becomes `<failure>`, ERROR `<error>`, and UNPROVEN, TOO FEW and KNOWN `<skipped>`.

    Args:
        facts: facts of the results.
        results: results of the tests.
        paths: paths of the data's rows.
        release: whether unproven tests count as failed.
    """
    kinds = [_kind(result, release) for result in results]
    numbers = {
        "tests": len(results),
        "failures": kinds.count("failure"),
        "errors": kinds.count("error"),
        "skipped": kinds.count("skipped"),
    }
    counts = {name: str(number) for name, number in numbers.items()}
    root = ET.Element("testsuites", {"name": "tinyrefinery", **counts})
    suite = ET.SubElement(
        root, "testsuite", {"name": _clean(facts.suite), **counts, "timestamp": facts.when[:19]}
    )
    about = {"network": facts.network, "baseline": facts.baseline, "data": facts.data}
    about |= {"data_digest": facts.data_digest, "tinyrefinery": facts.version}
    _properties(suite, about)
    for result, kind in zip(results, kinds, strict=True):
        _case(suite, facts, result, kind, paths)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _kind(result: Result, release: bool) -> str | None:
    if result.verdict is Verdict.ERROR:
        return "error"
    if result.verdict is Verdict.FAIL:
        return "failure"
    if result.verdict in _SKIPPED:
        return "failure" if release and result.verdict is not Verdict.KNOWN else "skipped"
    return None


def _case(
    suite: ET.Element, facts: Facts, result: Result, kind: str | None, paths: Sequence[str]
) -> None:
    place = _clean(f"{facts.suite.rpartition('.')[0] or facts.suite}.{facts.network}")
    case = ET.SubElement(suite, "testcase", {"classname": place, "name": _clean(result.name)})
    about: dict[str, object] = {"verdict": texts.word(result), "metric": result.metric}
    about["need"] = result.need
    if result.measured is not None:
        measured = result.measured
        about |= {"value": f"{measured.value:.6g}", "n": measured.n}
        about |= {"low": f"{measured.low:.6g}", "high": f"{measured.high:.6g}"}
    if result.p_value is not None:
        about["p_value"] = f"{result.p_value:.6g}"
    _properties(case, about)
    if kind is None:
        return
    outcome = ET.SubElement(case, kind, {"message": _clean(texts.message(result))})
    if kind != "skipped":
        outcome.set("type", result.verdict.value)
    names = [paths[row] for row in result.worst[:WORST]]
    if names:
        outcome.text = _clean("\n".join([f"worst of {result.bad:,} errors:", *names]))


def _properties(parent: ET.Element, values: dict[str, object] | dict[str, str | None]) -> None:
    properties = ET.SubElement(parent, "properties")
    for name, value in values.items():
        if value is not None:
            ET.SubElement(properties, "property", {"name": name, "value": _clean(str(value))})


def _clean(text: str) -> str:
    """Replace characters that XML can't contain."""
    return _ILLEGAL.sub("\ufffd", text)
