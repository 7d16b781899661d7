"""YAML from anyone is a value or one message: never a traceback, never much memory."""

import tracemalloc

import pytest

from tinyrefinery.audit.accepted import read_accepted
from tinyrefinery.audit.target import source_options
from tinyrefinery.errors import DataError, RecipeError
from tinyrefinery.recipe.document import parse, read
from tinyrefinery.recipe.load import load_recipe
from tinyrefinery.recipe.shipped import locate

WRONG = {
    "a date that is none": "seed: 2001-99-99",
    "a list as a key": "? [a]\n: 1",
    "a mapping as a key": "? {a: 1}\n: 1",
    "an alias inside itself": "&a [*a]",
    "an alias inside its mapping": "&a {b: *a}",
    "deep": "[" * 5000,
    "deep and closed": "[" * 5000 + "]" * 5000,
    "too many digits": "seed: " + "9" * 5000,
    "a timestamp": "a: !!timestamp x",
    "an int": "a: !!int x",
    "an omap": "a: !!omap [1]",
    "merge": "a: {<<: 3}",
    "code": "!!python/object/apply:os.system [ls]",
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG.keys())
def test_what_constructors_refuse_is_one_message(text, tmp_path):
    with pytest.raises(RecipeError):
        parse(text)
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(RecipeError, match=r"r\.yaml: "):
        read(tmp_path / "r.yaml")
    with pytest.raises(DataError, match=r"r\.yaml: "):
        read_accepted(tmp_path / "r.yaml", ("a", "b"))


@pytest.mark.parametrize("text", ["2001-99-99", "{? [a] : 1}", "&a [*a]"])
def test_overrides_too(text):
    with pytest.raises(RecipeError, match="override 'seed="):
        load_recipe(locate("starter/folder"), [f"seed={text}"])
    with pytest.raises(DataError, match="group="):
        source_options([f"group={text}"])


@pytest.mark.parametrize("merge", [False, True])
def test_aliases_are_bounded_before_they_are_copied(merge):
    """396 bytes stand for 9^9 values."""
    start = "a0: &a0 {k: 1}\n" if merge else "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    form = "{{<<: [{}]}}" if merge else "[{}]"
    lines = [f"a{n}: &a{n} " + form.format(", ".join([f"*a{n - 1}"] * 9)) for n in range(1, 10)]
    tracemalloc.start()
    with pytest.raises(RecipeError, match=r"line \d+: holds more than 100,000 values"):
        parse(start + "\n".join(lines))
    assert tracemalloc.get_traced_memory()[1] < 10e6
    tracemalloc.stop()


def test_aliases_that_people_use_stay():
    value = parse("a: &a {x: [1, 2]}\nb: *a\nc: {<<: *a, y: 1e-4}")
    assert value == {"a": {"x": [1, 2]}, "b": {"x": [1, 2]}, "c": {"x": [1, 2], "y": 1e-4}}
    value["a"]["x"].append(3)
    assert value["b"]["x"] == [1, 2]
