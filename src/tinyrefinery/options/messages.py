"""Check a part, with error messages for the person who wrote it.

pydantic finds what is wrong. Here its messages get a place as overrides write it (stages by id, no
marks of unions), and what would be right: the nearest key, or the names that are known.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from types import NoneType
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tinyrefinery.errors import RecipeError

T = TypeVar("T", bound=BaseModel)
Path = tuple[int | str, ...]


def check(raw: Any, kind: type[T], source: str) -> T:
    """Plain data as a checked `kind`; `source` starts each line of the error.

    Raises:
        RecipeError: with a line for each mistake.
    """
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        lines = explain(error, raw, kind)
        raise RecipeError("\n".join(f"{source}: {line}" for line in lines)) from error


def explain(error: ValidationError, raw: Any, root: type[BaseModel]) -> list[str]:
    """One line for each mistake: `path: what is wrong (what would be right)`.

    Args:
        error: what validating `raw` as a `root` raised.
        raw: the data as the file and the overrides gave it.
        root: the outermost part, whose fields give the known keys.
    """
    mistakes = error.errors()
    places = [item["loc"] for item in mistakes]
    first = [item for item in mistakes if not _follows(item, places, raw)] or mistakes
    lines = [line for item in first for line in _lines(item, raw, root)]
    return list(dict.fromkeys(lines))


def _follows(item: ErrorDetails, places: Sequence[Path], raw: Any) -> bool:
    """Whether a mistake only repeats another: a list without its wrong items, a derived default."""
    deeper = any(len(place) > len(item["loc"]) and _starts(place, item["loc"]) for place in places)
    if item["type"] == "too_short" and deeper:
        return True
    first = item["loc"][:2]
    return first == ("data", "eval_crop") and "eval_crop" not in _mapping(_mapping(raw).get("data"))


def _starts(place: Path, start: Path) -> bool:
    return place[: len(start)] == start


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _lines(item: ErrorDetails, raw: Any, root: type[BaseModel]) -> Iterator[str]:
    where, context = address(item["loc"], raw), item.get("ctx", {})
    if item["type"] == "wrong":
        for below, text in context["mistakes"]:
            yield _line(f"{where}.{below}".strip("."), text)
    elif item["type"] == "extra_forbidden":
        yield _line(where, _unknown_key(item["loc"], raw, root))
    else:
        yield _line(where, _explanation(item))


def _line(where: str, text: str) -> str:
    return f"{where}: {text}" if where else text


def _unknown_key(place: Path, raw: Any, root: type[BaseModel]) -> str:
    """What to write instead: the same key where it is known, else the nearest key here."""
    key, here = str(place[-1]), address(place[:-1], raw)
    places = [path for path in _addresses(key, root, raw) if path.startswith(here)]
    if not places:
        return f"unknown key ({hint(key, list(known_keys(root, place)))})"
    where = "here" if here else "at the top"
    others = ", ..." if len(places) > 3 else ""
    return f"no such key {where}; write {' or '.join(places[:3])}{others}"


def _addresses(key: str, part: type[BaseModel], raw: Any, path: str = "") -> Iterator[str]:
    """Where in a recipe a key is known, as overrides write it: by the ids of stages."""
    for name, field in part.model_fields.items():
        value, where = _mapping(raw).get(name), f"{path}.{name}".strip(".")
        if name == key:
            yield where
        if isinstance(value, list):
            ids = [_mapping(element).get("id", number) for number, element in enumerate(value)]
            inside = {f"{where}.{id}": element for id, element in zip(ids, value, strict=True)}
        else:
            inside = {where: {} if value is None else value}
        for below, element in inside.items():
            kinds = [kind for kind in _parts(field.annotation) if _is_kind(kind, element)]
            if len(kinds) == 1:
                yield from _addresses(key, kinds[0], element, below)


def _is_kind(part: type[BaseModel], value: Any) -> bool:
    """Whether a value may be such a part, as its `name` says where there are several kinds."""
    names = _names(part)
    return not names or _mapping(value).get("name") in names


def _explanation(item: ErrorDetails) -> str:
    """What is wrong with one value, and what would be right."""
    kind, given, context = item["type"], item["input"], item.get("ctx", {})
    if kind == "missing":
        return "missing"
    if kind == "union_tag_invalid":
        names = [name.strip("'") for name in context["expected_tags"].split(", ")]
        return f"no kind is named {context['tag']!r} ({hint(context['tag'], names)})"
    if kind == "union_tag_not_found":
        return "needs a `name` that says which kind it is"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        write = f"; write {{name: {given}}}" if isinstance(given, str) else ""
        return f"should be a mapping of keys, not {_quoted(given)}{write}"
    if kind == "literal_error":
        names = [name.strip("'") for name in context["expected"].replace(" or ", ", ").split(", ")]
        suggestion = _suggestion(str(given), names)
        return f"should be {context['expected']}, not {_quoted(given)}{suggestion}"
    if kind in ("bool_parsing", "bool_type"):
        return f"should be true or false, not {_quoted(given)}"
    if kind == "string_pattern_mismatch":
        return f"should be lower-case letters, digits, _ and -, not {_quoted(given)}"
    if kind == "too_short" and context.get("actual_length") == 0:
        return "should have at least one element"
    return f"{_plain(item)}, not {_quoted(given)}" if kind != "value_error" else _plain(item)


def _plain(item: ErrorDetails) -> str:
    message = item["msg"].removeprefix("Value error, ").split(", unable to parse")[0]
    return message.replace("Input should", "should").replace("a valid tuple", "a list")


def _quoted(value: Any) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def hint(name: str, known: Sequence[str]) -> str:
    """`did you mean 'x'?` when a known name is near, else the known names."""
    return _suggestion(name, known).strip(" ()") or f"known: {', '.join(known) or 'none'}"


def _suggestion(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""


def address(place: Path, raw: Any) -> str:
    """A pydantic location as an override would write it: stages by id, no marks of unions."""
    steps: list[str] = []
    here = raw
    for number, step in enumerate(place):
        if isinstance(step, int):
            here = here[step] if isinstance(here, list | tuple) and step < len(here) else None
            name = here.get("id") if isinstance(here, dict) else None
            steps.append(str(name if name is not None else step))
        elif isinstance(here, dict) and step not in here and here.get("name") == step:
            continue  # the mark of a union's member
        else:
            steps.append(step)
            here = here.get(step) if isinstance(here, dict) else None
            if here is None and number + 1 < len(place):
                continue
    return ".".join(steps)


def known_keys(root: type[BaseModel], place: Path) -> Iterable[str]:
    """The keys that the part which holds the last step of `place` may have."""
    parts, is_key = {root}, False
    for step in place[:-1]:
        if isinstance(step, int) or is_key:
            is_key = False
            continue
        marked = {part for part in parts if step in _names(part)}
        fields = [part.model_fields[step] for part in parts if step in part.model_fields]
        parts = marked or {part for field in fields for part in _parts(field.annotation)}
        is_key = any(_origin(field.annotation) is dict for field in fields)
    return dict.fromkeys(name for part in parts for name in part.model_fields)


def _origin(annotation: Any) -> Any:
    """What an annotation is of, e.g. dict, without its marks."""
    inner = get_args(annotation)
    return _origin(inner[0]) if get_origin(annotation) is Annotated else get_origin(annotation)


def _names(part: type[BaseModel]) -> tuple[str, ...]:
    """The values of a part's `name`, where it is a member of a union."""
    field = part.model_fields.get("name")
    return get_args(field.annotation) if field and get_origin(field.annotation) else ()


def _parts(annotation: Any) -> Iterator[type[BaseModel]]:
    """The parts within an annotation: members of unions, elements of lists."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    inner = get_args(annotation)
    for choice in inner[:1] if get_origin(annotation) is Annotated else inner:
        if choice not in (NoneType, Ellipsis):
            yield from _parts(choice)
