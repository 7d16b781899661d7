"""YAML files as plain data: no repeated keys, numbers as people write them, errors with a line."""

import re
import shlex
from pathlib import Path
from typing import Any

import yaml

from tinyrefinery.errors import RecipeError


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which also reads 1e-4 as a number and refuses a repeated key."""


def _unique_keys(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
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
        RecipeError: when it is not YAML, with the line where there is more than one.
    """
    try:
        return _unshared(yaml.load(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f"line {mark.line + 1}: " if mark and "\n" in text else ""
        raise RecipeError(f"{line}{error.problem or 'not YAML'}") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"not YAML: {error}") from error


def _unshared(value: Any) -> Any:
    """A copy in which what `*alias` repeats is no longer one object: one may change alone."""
    if isinstance(value, dict):
        return {key: _unshared(item) for key, item in value.items()}
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
        value = parse(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RecipeError(f"{path}: no such file") from error
    except OSError as error:
        raise RecipeError(f"{path}: can't be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not a text file (byte {error.start} is not UTF-8)") from error
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error
    if not isinstance(value, dict):
        what = "empty" if value is None else f"a {type(value).__name__}"
        raise RecipeError(f"{path}: should be a mapping of keys, but is {what}")
    return value
