"""What all parts of a recipe share: frozen, strict, each field documented beside it."""

import os.path
from pathlib import PurePath
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PlainSerializer,
    PositiveInt,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

ID = r"[a-z0-9][a-z0-9_-]*"


def _require_name(schema: dict[str, Any]) -> None:
    """In a JSON Schema: a part's fixed `name` is not optional, since it tells kinds apart."""
    name = schema.get("properties", {}).get("name", {})
    if "const" in name:
        name.pop("default", None)
        schema["required"] = ["name", *schema.get("required", ())]


def at_home(place: str) -> str:
    """A path, or `file:PATH`, with the user's folder in place of a leading `~`."""
    kind, prefix, path = place.rpartition("file:")
    return place if kind else f"{prefix}{os.path.expanduser(path)}"


class Part(BaseModel):
    """A part of a recipe: immutable, and it accepts no other keys than its fields.

    Parts that are told apart by `name` have it by default in Python: `Sgd(lr=0.1)`.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        protected_namespaces=(),
        json_schema_extra=_require_name,
    )

    @property
    def options(self) -> dict[str, Any]:
        """The fields except `name`: what the function of that name takes."""
        return {field: getattr(self, field) for field in type(self).model_fields if field != "name"}

    @model_validator(mode="before")
    @classmethod
    def _no_switch_for_a_number(cls, part: Any) -> Any:
        """Turn `flip: true` into text, which fails. pydantic would read it as the number 1."""
        if not isinstance(part, dict):
            return part
        return {
            name: str(value).lower() if isinstance(value, bool) and _is_number(cls, name) else value
            for name, value in part.items()
        }


def _is_number(part: type[BaseModel], name: str) -> bool:
    if name not in part.model_fields:
        return False
    annotation = part.model_fields[name].annotation
    choices = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else [annotation]
    bare = {get_args(kind)[0] if get_origin(kind) is Annotated else kind for kind in choices}
    return bare - {NoneType} in ({int}, {float})


def wrong(*mistakes: tuple[str, str]) -> PydanticCustomError:
    """An error of a part's validator: (path below the part, message) pairs."""
    text = "; ".join(": ".join(mistake) for mistake in mistakes)
    return PydanticCustomError("wrong", "{text}", {"text": text, "mistakes": mistakes})


def _square(value: Any) -> Any:
    """One number as a pair of it.

    Raises:
        ValueError: when it isn't one or two whole numbers above zero.
    """
    pair = value if isinstance(value, list | tuple) else (value, value)
    if len(pair) != 2 or not all(type(side) is int and side > 0 for side in pair):
        raise ValueError(f"should be one or two whole numbers of pixels above zero, not {value!r}")
    return pair


def _text_of_path(path: Any) -> Any:
    return str(path) if isinstance(path, PurePath) else path


def _ascending(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"should be [least, most], but {pair[0]} > {pair[1]}")
    return pair


def _parts(value: Any) -> Any:
    """A number, or a name or list of names as a tuple.

    Raises:
        ValueError: for anything else.
    """
    if type(value) is int and value >= 0:
        return value
    names = (value,) if isinstance(value, str) else value
    if isinstance(names, list | tuple) and all(isinstance(name, str) and name for name in names):
        return tuple(names)
    raise ValueError(f"should be a number of blocks or names of parts, not {value!r}")


Slug = Annotated[str, Field(pattern=rf"^{ID}$", max_length=60)]
"""A name that is safe in paths and overrides: lower-case letters, digits, `_` and `-`."""

FilePath = Annotated[str, BeforeValidator(_text_of_path)]
"""A file or folder; from Python a `pathlib.Path` too."""

Share = Annotated[float, Field(ge=0, le=1)]
"""A share or probability, 0 to 1."""

Frozen = Annotated[NonNegativeInt | tuple[str, ...], BeforeValidator(_parts)]
"""Names of parts of a network, or how many of its first blocks."""

NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]

Range = Annotated[tuple[Positive, Positive], AfterValidator(_ascending)]
"""[least, most], both above zero."""

ShareRange = Annotated[
    tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0, le=1)]],
    AfterValidator(_ascending),
]
"""[least, most], both above zero and at most one."""

Size = Annotated[
    tuple[PositiveInt, PositiveInt],
    BeforeValidator(_square),
    PlainSerializer(lambda size: size[0] if size[0] == size[1] else list(size)),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 1},
                    "minItems": 2,
                    "maxItems": 2,
                },
            ]
        }
    ),
]
"""Height and width in pixels; written as one number when they are equal."""
