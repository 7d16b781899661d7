"""YAML files as plain data: no repeated keys, numbers as people write them, errors with a line."""

import re
import shlex
from pathlib import Path
from typing import Any

import yaml

from tinyrefinery.errors import RecipeError

MOST_VALUES = 100_000
"""Values of a document, at most. The longest shipped recipe has a hundredth of that."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which also reads 1e-4 as a number and refuses a repeated key."""


def _unique_keys(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.MarkedYAMLError(
                problem="a key must be a text, not a list or mapping", problem_mark=key.start_mark
            )
        if key.value in seen:
            raise yaml.MarkedYAMLError(
                problem=f"the key '{key.value}' is here twice", problem_mark=key.start_mark
            )
        seen.add(key.value)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_keys)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def parse(text: str) -> Any:
    """The value that a YAML text stands for.

    Raises:
        RecipeError: when it is not YAML, with the line where there is more than one, or when its
            aliases stand for more than `MOST_VALUES` values.
    """
    try:
        return _unshared(_construct(text))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f"line {mark.line + 1}: " if mark and "\n" in text else ""
        raise RecipeError(f"{line}{error.problem or 'not YAML'}") from error
    except RecursionError as error:
        raise RecipeError("not YAML: nested too deeply") from error
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError) as error:
        # PyYAML's constructors pass on what Python's own types raise, e.g. of the date 2001-99-99.
        raise RecipeError(f"not YAML: {error}") from error


def _construct(text: str) -> Any:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check_size(node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _check_size(root: yaml.Node) -> None:
    """Refuse documents whose aliases stand for too much, before anything is copied."""
    sizes: dict[int, int] = {}
    inside: set[int] = set()

    def size(node: yaml.Node) -> int:
        """Values below a node, where what `*alias` repeats counts each time."""
        if id(node) in inside:
            raise yaml.MarkedYAMLError(
                problem="an alias is inside of what it stands for", problem_mark=node.start_mark
            )
        if id(node) not in sizes:
            inside.add(id(node))
            parts = node.value if isinstance(node, yaml.CollectionNode) else ()
            if isinstance(node, yaml.MappingNode):
                parts = [part for pair in node.value for part in pair]
            sizes[id(node)] = 1 + sum(map(size, parts))
            inside.remove(id(node))
        if sizes[id(node)] > MOST_VALUES:
            raise yaml.MarkedYAMLError(
                problem=f"holds more than {MOST_VALUES:,} values, counting what aliases repeat",
                problem_mark=node.start_mark,
            )
        return sizes[id(node)]

    size(root)


def _unshared(value: Any) -> Any:
    """A copy in which what `*alias` repeats is no longer one object: one may change alone."""
    if isinstance(value, dict):
        return {key: _unshared(item) for key, item in value.items()}
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        raise ValueError(f"the integer {str(value)[:24]} needs more than 64 bits")
    return [_unshared(item) for item in value] if isinstance(value, list) else value


def read(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds.

    Raises:
        RecipeError: when the file is missing, unreadable, no YAML or no mapping.
    """
    if Path(path).is_dir():
        place = shlex.quote(str(path))
        raise RecipeError(
            f"{path}: is a folder, not a recipe. To train on its pictures: "
            f"tinyrefinery run starter/folder data.source.root={place}"
        )
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise RecipeError(f"{path}: no such file") from error
    except OSError as error:
        raise RecipeError(f"{path}: can't be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not a text file (byte {error.start} is not UTF-8)") from error
    except ValueError as error:  # a NUL in the path
        raise RecipeError(f"{str(path)!r}: can't be read ({error})") from error
    try:
        value = parse(text)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error
    if not isinstance(value, dict):
        what = "empty" if value is None else f"a {type(value).__name__}"
        raise RecipeError(f"{path}: should be a mapping of keys, but is {what}")
    return value
