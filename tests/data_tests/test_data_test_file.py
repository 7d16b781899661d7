"""Files of tests: what is read, and one clear line for each mistake."""

import pytest
import yaml

from tinyrefinery.data_tests.data_test_file import Suite, load_suite
from tinyrefinery.data_tests.suggest import template_names, template_text
from tinyrefinery.errors import DataTestError


def load(tmp_path, text):
    (tmp_path / "data_tests.yaml").write_text(text)
    return load_suite(tmp_path / "data_tests.yaml")


MISTAKES = {
    "it: {at_least: 0.9, wher: x}": "tests.it.wher: unknown key (did you mean 'where'?)",
    "it: {where: x}": "tests.it: has no bound: set exactly one of at_least",
    "it: {at_least: 0.9, at_most: 1}": "tests.it: has at_least and at_most: set exactly one",
    "it: {at_least: 90}": "tests.it.at_least: should be less than or equal to 1",
    "it: {at_least: true}": "tests.it.at_least: should be a valid number",
    "it: {at_most: 5}": "tests.it.at_most: must be a share from 0 to 1, not 5",
    "it: {metric: errors, at_most: 0.5}": "must be a whole number",
    "it: {metric: errors, max_regression: 0}": "must be a whole number",
    "it: {metric: recal(x), at_least: 0.9}": "Did you mean 'recall'?",
    "it: {metric: recall, at_least: 0.9}": "recall needs a class: recall(CLASS)",
    "it: {metric: accuracy(x), at_least: 0.9}": "accuracy takes no class",
    "it: {metric: flip_rate, at_most: 0.9}": "tests.it.perturb: flip_rate needs a change",
    "it: {metric: precision(x), max_regression: 0}": "can't use precision",
    "it: {threshold: 0.5, at_least: 0.9}": "threshold: has no effect with accuracy",
    "it: {compare: {a: d > 1, b: d < 1}, at_least: 0.9}": "compare and max_gap go together",
    "it: {compare: {a: d > 1, b: d < 1}, max_gap: 0.9, not_worse: c}": (
        "tests.it.not_worse: is not a part of compare: 'c'. Parts: a, b"
    ),
    "it: {max_gap: 0.9}": "compare and max_gap go together",
    "it: {compare: {a: d > 1}, max_gap: 0.9}": "tests.it.compare: needs at least two slices",
    "it: {where: d IN (SELECT 1), at_least: 0.9}": "isn't allowed here",
    "it: {split: tset, at_least: 0.9}": "no split is named 'tset'",
    "it: {perturb: {gian: 1}, at_least: 0.9}": "tests.it.perturb.gian: unknown key",
    "it: {perturb: {}, at_least: 0.9}": "tests.it.perturb: needs one of gain, blur, shift",
    "it: {perturb: {jpeg: 101}, at_least: 0.9}": "tests.it.perturb.jpeg: should be less",
    "it: {perturb: {blur: 1.0e+6}, at_least: 0.9}": "tests.it.perturb.blur: should be less",
    "it: {perturb: {gain: .inf}, at_least: 0.9}": "tests.it.perturb.gain",
    "It: {at_least: 0.9}": "should be lower-case letters, digits, _ and -, not 'It'",
    "it: {min_n: 0, at_least: 0.9}": "tests.it.min_n: should be greater than 0",
    "it: {confidence: 95, at_least: 0.9}": "tests.it.confidence: should be less than 1",
    "it: {known_failure: '', at_least: 0.9}": "tests.it.known_failure",
    "metric: {at_lest: 0.9}": "tests.metric.at_lest: unknown key (did you mean 'at_least'?)",
}


@pytest.mark.parametrize("test", MISTAKES)
def test_a_mistake_is_told(tmp_path, test):
    with pytest.raises(DataTestError) as error:
        load(tmp_path, f"tests:\n  {test}\n")
    assert MISTAKES[test] in str(error.value)
    assert str(error.value).startswith(str(tmp_path / "data_tests.yaml"))


def test_all_mistakes_are_told_at_once(tmp_path):
    with pytest.raises(DataTestError) as error:
        load(tmp_path, "titel: x\ndefaults: {min_m: 1}\ntests: {a: {where: x}, b: {at_least: 2}}")
    assert len(str(error.value).splitlines()) == 4


@pytest.mark.parametrize("text", ["", "tests: {}", "[]", "tests: [", "a: 1\na: 2"])
def test_files_that_are_no_tests(tmp_path, text):
    with pytest.raises(DataTestError, match=r"data_tests\.yaml"):
        load(tmp_path, text)


def test_no_such_file(tmp_path):
    with pytest.raises(DataTestError, match="no such file"):
        load_suite(tmp_path / "data_tests.yaml")


def test_a_folder_folded_a_source(tmp_path):
    suite = load(tmp_path, "data: photos/\ntests: {a: {at_least: 0.9}}")
    assert (suite.data.name, suite.data.root) == ("folder", "photos/")
    with pytest.raises(DataTestError, match="no kind is named 'foldr'"):
        load(tmp_path, "data: {name: foldr}\ntests: {a: {at_least: 0.9}}")


def test_defaults_and_own_settings(tmp_path):
    text = "defaults: {min_n: 9}\ntests: {a: {at_least: 0.9}, b: {at_least: 0.9, min_n: 3}}"
    suite = load(tmp_path, text)
    settings = [suite.setting(suite.tests[name], "min_n") for name in "ab"]
    assert settings == [9, 3]
    assert suite.setting(suite.tests["a"], "split") == "test"


@pytest.mark.parametrize("name", ["generic", "person"])
def test_templates_are_good(tmp_path, name):
    assert template_names() == ["generic", "person"]
    assert load(tmp_path, template_text(name)).tests
    uncommented = [
        line.replace("  # ", "  ", 1) if line.startswith("  # ") and ":" in line else line
        for line in template_text(name).splitlines()
        if "# Distance" not in line
    ]
    assert len(Suite.model_validate(yaml.safe_load("\n".join(uncommented))).tests) > len(
        load(tmp_path, template_text(name)).tests
    )


def test_the_template_of_persons_goes_along_the_axes_of_the_world():
    tests = yaml.safe_load(template_text("person"))["tests"]
    read = " ".join(f"{test.get('where')} {test.get('compare')}" for test in tests.values())
    for column in ("distance_m", "pose", "brightness", "contains", "occluded"):
        assert column in read


def test_an_unknown_template():
    with pytest.raises(DataTestError, match="Did you mean 'person'"):
        template_text("persn")
