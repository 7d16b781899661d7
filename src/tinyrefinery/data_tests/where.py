"""Selecting slices by an SQL expression over the columns of a dataset.

sqlglot parses the text. This module checks the parts against its tables of allowed nodes, and
computes the expression with Arrow. Everything else is rejected, so an expression can't read files,
call other functions, use other rows or run for long. NULL is neither true nor false, as in SQL, and
a row is selected if the expression is true.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from tinyrefinery.data.arrow import pc
from tinyrefinery.errors import DataTestError, did_you_mean

LONGEST = 2000
"""Largest number of characters in an expression."""
DEEPEST = 60
"""Largest nesting depth of parentheses and operators."""

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
    "Div": lambda a, b: pc.divide(a, pc.if_else(pc.equal(b, 0), None, b)),
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
    """A checked expression."""

    text: str
    columns: tuple[str, ...]
    """Names of the columns it reads, in the order of their first use."""
    _tree: Any = field(repr=False, compare=False)

    def rows(self, table: pa.Table, computable: Sequence[str] = ()) -> np.ndarray:
        """The rows of a table for which the expression is true, (N,) bool.

        Args:
            table: the columns.
            computable: names of further columns to list in an error about an unknown column.

        Raises:
            DataTestError: when a column is unknown, or a text is compared to a number.
        """
        for name in self.columns:
            if name not in table.column_names:
                raise unknown_column(name, [*table.column_names, *computable])
        try:
            value = _value(self._tree, table)
        except pa.ArrowException as error:
            raise DataTestError(f"'{self.text}' can't be computed ({error})") from error
        if value.type != pa.bool_():
            raise DataTestError(
                f"'{self.text}' is {_kind(value)}, not true or false: compare it to a value"
            )
        if isinstance(value, pa.Scalar):
            return np.full(table.num_rows, bool(value.as_py()), bool)
        return pc.fill_null(value, False).to_numpy(zero_copy_only=False)


def unknown_column(name: str, columns: list[str]) -> DataTestError:
    """The error for an unknown column, with the most similar name and a list of all columns."""
    quotes = " Write text in 'single quotes'." if not did_you_mean(name, columns) else ""
    return DataTestError(
        f"no column '{name}'.{did_you_mean(name, columns)} Columns: {', '.join(columns)}.{quotes}"
    )


def parse(text: str) -> Expression:
    """Parse an expression.

    Raises:
        DataTestError: when it isn't SQL, or contains anything not allowed.
    """
    from sqlglot import parse_one
    from sqlglot.errors import SqlglotError

    if len(text) > LONGEST:
        raise DataTestError(f"has {len(text)} characters, more than the limit of {LONGEST}")
    if text.count("(") > DEEPEST:
        raise DataTestError(f"has more than {DEEPEST} parentheses")
    try:
        tree = parse_one(text)
    except (SqlglotError, RecursionError, ValueError) as error:
        raise DataTestError(f"'{text}' is not an SQL expression: {_explain(error)}") from error
    columns: dict[str, None] = {}
    for node in _checked_nodes(tree, 0, text):
        if type(node).__name__ == "Column":
            columns[node.name] = None
    return Expression(text, tuple(columns), tree)


_QUOTES = "put column names that are SQL keywords in double quotes"


def _explain(error: Exception) -> str:
    """The parser's message in one line, and the remedy for its most frequent cause."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if "No expression" in str(error):
        return "it is empty"
    details = getattr(error, "errors", None)
    if not details:
        return f"{str(error).partition(' but got')[0][:120]} ({_QUOTES})"
    first = details[0]
    what = first.get("description") or ""
    what = "something is missing" if "Required keyword" in what else what.lower()
    return f"{what} at '{(first.get('highlight') or '').strip()}' ({_QUOTES})"


def _checked_nodes(node: Any, depth: int, text: str) -> Iterator[Any]:
    """Yield a node and all nodes below it.

    Raises:
        DataTestError: when one of them isn't allowed.
    """
    kind, parts = type(node).__name__, {k: v for k, v in node.args.items() if v not in (None, [])}
    if depth > DEEPEST:
        raise DataTestError(f"'{text}' is nested too deeply")
    if kind not in _PARTS or any(key not in _PARTS[kind] and value for key, value in parts.items()):
        raise DataTestError(
            f"'{text}': {_node_text(node, kind)} isn't allowed here. Allowed: {_ALLOWED}"
        )
    yield node
    for key in _PARTS[kind]:
        value = parts.get(key)
        for part in value if isinstance(value, list) else [value]:
            if hasattr(part, "args"):
                yield from _checked_nodes(part, depth + 1, text)


def _node_text(node: Any, kind: str) -> str:
    """A node as SQL, shortened."""
    try:
        shown = node.sql()
    except Exception:  # sqlglot can't print all trees that it parses
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
"""Allowed nodes of sqlglot, with their allowed parts."""


def _value(node: Any, table: pa.Table) -> Any:
    """Compute a node as an Arrow array or scalar."""
    kind = type(node).__name__
    if kind in _LOGIC:
        return _LOGIC[kind](_truth(node.this, table), _truth(node.expression, table))
    if kind in _COMPARE:
        return _COMPARE[kind](*_pair(node.this, node.expression, table))
    if kind in _ARITHMETIC:
        return _ARITHMETIC[kind](_number(node.this, table), _number(node.expression, table))
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
        raise DataTestError("IS takes only NULL, TRUE and FALSE: write = for other values")
    return pc.fill_null(pc.equal(_truth(node.this, table), node.expression.this), False)


def _between(node: Any, table: pa.Table) -> Any:
    low = _pair(node.this, node.args["low"], table)
    high = _pair(node.this, node.args["high"], table)
    return pc.and_kleene(pc.greater_equal(*low), pc.less_equal(*high))


def _in(node: Any, table: pa.Table) -> Any:
    result: Any = pa.scalar(False)
    if not node.expressions:
        raise DataTestError("IN () has no value: write IN ('a', 'b')")
    for choice in node.expressions:
        if type(choice).__name__ == "Null":
            raise DataTestError("IN (..., NULL) is never false: write OR ... IS NULL instead")
        result = pc.or_kleene(result, pc.equal(*_pair(node.this, choice, table)))
    return result


def _like(node: Any, table: pa.Table) -> Any:
    if type(node.expression).__name__ != "Literal" or not node.expression.is_string:
        raise DataTestError("LIKE takes a pattern in single quotes, e.g. 'porch_%'")
    ignore_case = type(node).__name__ == "ILike"
    text = _text(node.this, table)
    matches = pc.match_like(text, node.expression.this, ignore_case=ignore_case)
    return pc.invert(matches) if node.args.get("negate") else matches


def _coalesce(node: Any, table: pa.Table) -> Any:
    values = [_value(part, table) for part in (node.this, *node.expressions)]
    kinds = {_kind(value) for value in values} - {"nothing"}
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


def _pair(a: Any, b: Any, table: pa.Table) -> tuple[Any, Any]:
    """Both sides of a comparison, which must be of one kind."""
    left, right = _value(a, table), _value(b, table)
    kinds = _kind(left), _kind(right)
    if kinds[0] != kinds[1] and "nothing" not in kinds:
        raise DataTestError(
            f"can't compare {a.sql()}, which is {kinds[0]}, to {b.sql()}, which is {kinds[1]}"
        )
    if "nothing" in kinds:  # = NULL is never true
        null = pa.scalar(None, pa.float64())
        return null, null
    return left, right


def _of_kind(node: Any, table: pa.Table, kind: str) -> Any:
    value = _value(node, table)
    if _kind(value) == "nothing":
        return value.cast({"a number": pa.float64(), "text": pa.string()}.get(kind, pa.bool_()))
    if _kind(value) != kind:
        raise DataTestError(f"{node.sql()} is {_kind(value)}, but must be {kind}")
    return value.cast(pa.float64()) if kind == "a number" else value


def _number(node: Any, table: pa.Table) -> Any:
    return _of_kind(node, table, "a number")


def _text(node: Any, table: pa.Table) -> Any:
    return _of_kind(node, table, "text")


def _truth(node: Any, table: pa.Table) -> Any:
    return _of_kind(node, table, "true or false")
