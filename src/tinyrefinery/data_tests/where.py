"""Slices by a SQL expression over the columns of a data set.

sqlglot parses the text; this file alone says what may stand in it and computes it with Arrow. What
is not in its tables is refused, so an expression can't read files, call functions that matter, look
at other rows or run for long. NULL is SQL's: neither true nor false; a row is chosen when the
expression is true.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from tinyrefinery.data.arrow import pc
from tinyrefinery.errors import DataTestError
from tinyrefinery.names import did_you_mean

LONGEST = 2000
"""Characters of an expression."""
DEEPEST = 60
"""Levels of brackets and operators."""

_COMPARE: dict[str, Callable[..., Any]] = {
    "EQ": pc.equal,
    "NEQ": pc.not_equal,
    "GT": pc.greater,
    "GTE": pc.greater_equal,
    "LT": pc.less,
    "LTE": pc.less_equal,
}
_ARITHMETIC: dict[str, Callable[..., Any]] = {
    "Add": pc.add,
    "Sub": pc.subtract,
    "Mul": pc.multiply,
    "Div": lambda one, two: pc.divide(one, pc.if_else(pc.equal(two, 0), None, two)),
}
_LOGIC: dict[str, Callable[..., Any]] = {"And": pc.and_kleene, "Or": pc.or_kleene}
_OF_TEXT: dict[str, Callable[..., Any]] = {
    "Lower": pc.utf8_lower,
    "Upper": pc.utf8_upper,
    "Length": pc.utf8_length,
}
_ALLOWED = "AND, OR, NOT, =, <>, <, <=, >, >=, BETWEEN, IN (...), LIKE, ILIKE, IS NULL, + - * /, "
_ALLOWED += "ABS, LOWER, UPPER, LENGTH, COALESCE, columns, numbers, 'text', TRUE and FALSE"


@dataclass(frozen=True)
class Expression:
    """An expression that holds nothing but what is allowed."""

    text: str
    columns: tuple[str, ...]
    """Names of the columns it reads, in the order of their first use."""
    _tree: Any = field(repr=False, compare=False)

    def rows(self, table: pa.Table, known: Sequence[str] = ()) -> np.ndarray:
        """Which rows of a table it is true for, (N,) bool.

        Args:
            table: the columns.
            known: names of further columns, for the error about a column that is missing.

        Raises:
            DataTestError: when a column is missing, or text meets a number.
        """
        for name in self.columns:
            if name not in table.column_names:
                raise unknown_column(name, [*table.column_names, *known])
        try:
            value = _value(self._tree, table)
        except pa.ArrowException as error:
            raise DataTestError(f"'{self.text}' can't be computed ({error})") from error
        if value.type != pa.bool_():
            raise DataTestError(
                f"'{self.text}' gives {_kind(value)}, not true or false; compare it with something"
            )
        if isinstance(value, pa.Scalar):
            return np.full(table.num_rows, bool(value.as_py()), bool)
        return pc.fill_null(value, False).to_numpy(zero_copy_only=False)


def unknown_column(name: str, known: list[str]) -> DataTestError:
    """The error of an unknown column, which names the nearest and all others."""
    quotes = " Text stands in 'single quotes'." if not did_you_mean(name, known) else ""
    return DataTestError(
        f"no column '{name}'.{did_you_mean(name, known)} Columns: {', '.join(known)}.{quotes}"
    )


def parse(text: str) -> Expression:
    """Read an expression.

    Raises:
        DataTestError: when it isn't SQL, or holds what isn't allowed.
    """
    from sqlglot import parse_one
    from sqlglot.errors import SqlglotError

    if len(text) > LONGEST:
        raise DataTestError(f"is {len(text)} characters long, more than {LONGEST}")
    if text.count("(") > DEEPEST:
        raise DataTestError(f"has more than {DEEPEST} brackets")
    try:
        tree = parse_one(text)
    except (SqlglotError, RecursionError, ValueError) as error:
        raise DataTestError(f"'{text}' is no SQL expression: {_said(error)}") from error
    columns: dict[str, None] = {}
    for node in _allowed(tree, 0, text):
        if type(node).__name__ == "Column":
            columns[node.name] = None
    return Expression(text, tuple(columns), tree)


_QUOTES = "a column whose name is a word of SQL stands in double quotes"


def _said(error: Exception) -> str:
    """The parser's message in a line, and the remedy for its most frequent cause."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if "No expression" in str(error):
        return "there is nothing to read"
    details = getattr(error, "errors", None)
    if not details:
        return f"{str(error).partition(' but got')[0][:120]}; {_QUOTES}"
    first = details[0]
    what = first.get("description") or ""
    what = "something is missing" if "Required keyword" in what else what.lower()
    return f"{what} at '{(first.get('highlight') or '').strip()}' ({_QUOTES})"


def _allowed(node: Any, depth: int, text: str) -> Iterator[Any]:
    """A node and all below it.

    Raises:
        DataTestError: when one of them isn't allowed.
    """
    kind, parts = type(node).__name__, {k: v for k, v in node.args.items() if v not in (None, [])}
    if depth > DEEPEST:
        raise DataTestError(f"'{text}' is nested too deeply")
    if kind not in _PARTS or any(key not in _PARTS[kind] and value for key, value in parts.items()):
        raise DataTestError(
            f"'{text}': {_named(node, kind)} isn't allowed here. Allowed: {_ALLOWED}"
        )
    yield node
    for key in _PARTS[kind]:
        value = parts.get(key)
        for part in value if isinstance(value, list) else [value]:
            if hasattr(part, "args"):
                yield from _allowed(part, depth + 1, text)


def _named(node: Any, kind: str) -> str:
    """A node as the writer knows it, shortened."""
    try:
        shown = node.sql()
    except Exception:  # the printer refuses some trees that the parser made
        shown = kind
    return f"'{shown}'" if len(shown) <= 60 else f"'{shown[:57]}...'"


_TWO = ("this", "expression")
_PARTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys([*_COMPARE, *_ARITHMETIC, *_LOGIC], _TWO),
    **dict.fromkeys(["Not", "Paren", "Neg", "Abs", *_OF_TEXT], ("this",)),
    **{"Like": (*_TWO, "negate"), "ILike": (*_TWO, "negate"), "Is": _TWO},
    **{"Between": ("this", "low", "high"), "In": ("this", "expressions")},
    **{"Coalesce": ("this", "expressions"), "Column": ("this",), "Identifier": ("this", "quoted")},
    **{"Literal": ("this", "is_string"), "Boolean": ("this",), "Null": ()},
}
"""Nodes of sqlglot that may stand in an expression, with the parts they may have."""


def _value(node: Any, table: pa.Table) -> Any:
    """An Arrow array or scalar."""
    kind = type(node).__name__
    if kind in _LOGIC:
        return _LOGIC[kind](_truth(node.this, table), _truth(node.expression, table))
    if kind in _COMPARE:
        one, two = _pair(node.this, node.expression, table)
        return _COMPARE[kind](one, two)
    if kind in _ARITHMETIC:
        one, two = (_number(each, table) for each in (node.this, node.expression))
        return _ARITHMETIC[kind](one, two)
    if kind in _OF_TEXT:
        return _OF_TEXT[kind](_text(node.this, table))
    return _OTHER[kind](node, table)


def _literal(node: Any, _: pa.Table) -> pa.Scalar:
    return pa.scalar(node.this, pa.string()) if node.is_string else pa.scalar(float(node.this))


def _column(node: Any, table: pa.Table) -> pa.ChunkedArray:
    return table.column(node.name)


def _not(node: Any, table: pa.Table) -> Any:
    return pc.invert(_truth(node.this, table))


def _is(node: Any, table: pa.Table) -> Any:
    kind = type(node.expression).__name__
    if kind == "Null":
        return pc.is_null(_value(node.this, table))
    if kind != "Boolean":
        raise DataTestError("IS goes with NULL, TRUE and FALSE only; write = for other values")
    return pc.fill_null(pc.equal(_truth(node.this, table), node.expression.this), False)


def _between(node: Any, table: pa.Table) -> Any:
    low = _pair(node.this, node.args["low"], table)
    high = _pair(node.this, node.args["high"], table)
    return pc.and_kleene(pc.greater_equal(*low), pc.less_equal(*high))


def _in(node: Any, table: pa.Table) -> Any:
    found: Any = pa.scalar(False)
    if not node.expressions:
        raise DataTestError("IN () has no value; write IN ('a', 'b')")
    for choice in node.expressions:
        if type(choice).__name__ == "Null":
            raise DataTestError("IN (..., NULL) is never false; write OR ... IS NULL instead")
        found = pc.or_kleene(found, pc.equal(*_pair(node.this, choice, table)))
    return found


def _like(node: Any, table: pa.Table) -> Any:
    if type(node.expression).__name__ != "Literal" or not node.expression.is_string:
        raise DataTestError("LIKE takes a pattern in single quotes, e.g. 'porch_%'")
    ignore = type(node).__name__ == "ILike"
    text = _text(node.this, table)
    found = pc.match_like(text, node.expression.this, ignore_case=ignore)
    return pc.invert(found) if node.args.get("negate") else found


def _coalesce(node: Any, table: pa.Table) -> Any:
    values = [_value(each, table) for each in (node.this, *node.expressions)]
    kinds = {_kind(each) for each in values} - {"nothing"}
    if len(kinds) > 1:
        raise DataTestError(f"COALESCE mixes {' and '.join(sorted(kinds))}")
    return pc.coalesce(*values)


_OTHER: dict[str, Callable[[Any, pa.Table], Any]] = {
    "Paren": lambda node, table: _value(node.this, table),
    "Column": _column,
    "Literal": _literal,
    "Boolean": lambda node, _: pa.scalar(bool(node.this)),
    "Null": lambda *_: pa.scalar(None, pa.null()),
    "Not": _not,
    "Neg": lambda node, table: pc.negate(_number(node.this, table)),
    "Abs": lambda node, table: pc.abs(_number(node.this, table)),
    "Is": _is,
    "Between": _between,
    "In": _in,
    "Like": _like,
    "ILike": _like,
    "Coalesce": _coalesce,
}


def _kind(value: Any) -> str:
    kind = value.type
    if pa.types.is_boolean(kind):
        return "true or false"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "a number"
    return "nothing" if pa.types.is_null(kind) else "text"


def _pair(one: Any, two: Any, table: pa.Table) -> tuple[Any, Any]:
    """Both sides of a comparison, of one kind."""
    left, right = _value(one, table), _value(two, table)
    kinds = _kind(left), _kind(right)
    if kinds[0] != kinds[1] and "nothing" not in kinds:
        raise DataTestError(
            f"{one.sql()} is {kinds[0]}, but {two.sql()} is {kinds[1]}; they can't be compared"
        )
    if "nothing" in kinds:  # = NULL is never true
        null = pa.scalar(None, pa.float64())
        return null, null
    return left, right


def _of_kind(node: Any, table: pa.Table, wanted: str) -> Any:
    value = _value(node, table)
    if _kind(value) == "nothing":
        return value.cast({"a number": pa.float64(), "text": pa.string()}.get(wanted, pa.bool_()))
    if _kind(value) != wanted:
        raise DataTestError(f"{node.sql()} is {_kind(value)}, but {wanted} is needed there")
    return value.cast(pa.float64()) if wanted == "a number" else value


def _number(node: Any, table: pa.Table) -> Any:
    return _of_kind(node, table, "a number")


def _text(node: Any, table: pa.Table) -> Any:
    return _of_kind(node, table, "text")


def _truth(node: Any, table: pa.Table) -> Any:
    return _of_kind(node, table, "true or false")
