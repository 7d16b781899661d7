"""Expressions: SQL's answers, clear refusals, nothing that reaches beyond the table."""

import sqlite3

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyrefinery.data_tests.where import parse
from tinyrefinery.errors import DataTestError

TABLE = pa.table(
    {
        "label": ["person", "no_person", None, "person", "Cat's"],
        "d": pa.array([1.0, None, 9.0, 8.0, -2.5]),
        "flag": pa.array([True, False, None, True, False]),
        "group": ["a", "b", "a", None, "c"],
        "pose of it": ["back", "front", "back", "side", ""],
    }
)
DATABASE = sqlite3.connect(":memory:")
DATABASE.execute(
    "CREATE TABLE t (label TEXT, d REAL, flag INTEGER, 'group' TEXT, 'pose of it' TEXT)"
)
DATABASE.executemany(
    "INSERT INTO t VALUES (?, ?, ?, ?, ?)", [tuple(r.values()) for r in TABLE.to_pylist()]
)
DATABASE.execute("PRAGMA case_sensitive_like = ON")

GOOD = [
    "label = 'person'",
    "label <> 'person'",
    "label != 'person' OR d > 5",
    "NOT label = 'person'",
    "NOT (label = 'person' AND d > 7)",
    "label = 'person' AND d >= 8",
    "d BETWEEN 1 AND 8",
    "d NOT BETWEEN 1 AND 8",
    "label IN ('person', 'x')",
    "label NOT IN ('person')",
    "d IN (1, 8)",
    "label LIKE 'p%'",
    "label LIKE '_erson'",
    "label NOT LIKE 'p%'",
    "label IS NULL",
    "label IS NOT NULL",
    "d IS NULL OR d < 0",
    "flag",
    "NOT flag",
    "flag = TRUE AND d < 5",
    "ABS(d) > 2",
    "-d > 2",
    "d * 2 + 1 > 10",
    "d / 2 < 1",
    "d - 1 = 0",
    "8 / (d - 1) > 0",
    "d / 0 > 5",
    "LENGTH(label) > 6",
    "LOWER(label) = 'cat''s'",
    "UPPER(label) = 'PERSON'",
    "label = 'Cat''s'",
    "COALESCE(d, 0) < 1",
    "COALESCE(label, 'none') = 'none'",
    "\"group\" = 'a'",
    "\"pose of it\" = 'back' AND \"group\" = 'a'",
    "d = NULL",
    "d <> NULL OR d > 0",
    "d > 1e0 AND d < .9e1",
    "(((d > 0)))",
    "TRUE",
    "FALSE",
    "1 < 2",
]


@pytest.mark.parametrize("text", GOOD)
def test_the_rows_are_those_that_a_database_gives(text):
    query = f"SELECT rowid FROM t WHERE {text}"
    expected = [number for (number,) in DATABASE.execute(query)]
    found = np.flatnonzero(parse(text).rows(TABLE)) + 1
    assert found.tolist() == sorted(expected)


def test_ilike_and_is_true():
    assert parse("label ILIKE 'PER%'").rows(TABLE).tolist() == [True, False, False, True, False]
    assert parse("flag IS TRUE").rows(TABLE).tolist() == [True, False, False, True, False]
    assert parse("flag IS NOT TRUE").rows(TABLE).tolist() == [False, True, True, False, True]


HOSTILE = [
    "d IN (SELECT d FROM read_csv('/etc/passwd'))",
    "(SELECT 1) = 1",
    "EXISTS (SELECT 1)",
    "read_csv('/etc/passwd') IS NOT NULL",
    "read_text('/etc/passwd') = 'x'",
    "getenv('HOME') = 'x'",
    "load_extension('x')",
    "d > 1; DROP TABLE t",
    "1 = 1) OR (1 = 1",
    "d > 1 UNION SELECT 1",
    "COUNT(*) > 1",
    "d > AVG(d)",
    "ROW_NUMBER() OVER () > 1",
    "SUM(d) OVER (PARTITION BY label) > 1",
    "REPEAT('x', 1000000000) = label",
    "label ~ '(a+)+$'",
    "REGEXP_LIKE(label, '(a+)+$')",
    "RANDOM() > 0.5",
    "CASE WHEN d > 1 THEN TRUE END",
    "CAST(d AS TEXT) = '1'",
    "d::int = 1",
    "t.d = 1",
    "a.b.c.d = 1",
    "d = ?",
    "d = :x",
    "d = @x",
    "*",
    "d > 1 AS x",
    "SELECT 1",
    "DROP TABLE t",
    "d > ANY(SELECT 1)",
    "label || label = 'x'",
    "CURRENT_TIMESTAMP > 1",
    "INTERVAL '1' DAY > 1",
    "[d] = 1",
    "{'a': 1} = d",
    "LENGTH(label, d) > 1",
    "ABS(DISTINCT d) > 1",
    "label LIKE 'a' ESCAPE '#'",
    "(" * 100 + "d" + ")" * 100 + " > 1",
    "NOT " * 5000 + "flag",
    "d > 1 " + "AND d > 1 " * 400,
    "d > 1 " + "AND d > 1 " * 100,
    "d > 1\x00",
    "",
    "   ",
    "d >",
    "'unclosed",
    "d > 1 -",
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:40])
def test_what_is_not_allowed_is_refused(text):
    with pytest.raises(DataTestError) as error:
        parse(text).rows(TABLE)
    assert len(str(error.value)) < 6000
    assert "Traceback" not in str(error.value)


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text):
    try:
        rows = parse(text).rows(TABLE)
    except DataTestError:
        return
    assert rows.dtype == bool
    assert len(rows) == TABLE.num_rows


WORDS = "d label flag 1 'x' NULL AND OR NOT = < IN ( ) , LIKE IS BETWEEN SELECT FROM ABS COALESCE"
WORDS += " - * /"


@given(st.lists(st.sampled_from(WORDS.split()), max_size=12))
def test_any_words_of_sql_are_read_or_refused(words):
    try:
        rows = parse(" ".join(words)).rows(TABLE)
    except DataTestError:
        return
    assert rows.dtype == bool
    assert len(rows) == TABLE.num_rows


def test_an_unknown_column_names_the_nearest():
    with pytest.raises(DataTestError, match=r"no column 'lable'\. Did you mean 'label'\?"):
        parse("lable = 'x'").rows(TABLE)
    with pytest.raises(DataTestError, match="Did you mean 'brightness'"):
        parse("brigtness > 1").rows(TABLE, ["brightness"])
    with pytest.raises(DataTestError, match="'single quotes'"):
        parse('label = "qqqq"').rows(TABLE)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("d = 'x'", "can't compare d, which is a number, to 'x'"),
        ("label > 3", "can't compare label, which is text, to 3"),
        ("d + label > 3", "label is text, but must be a number"),
        ("label AND flag", "label is text, but must be true or false"),
        ("d", "is a number, not true or false"),
        ("COALESCE(d, 'x') = 1", "COALESCE mixes a number and text"),
        ("d IN (1, NULL)", "IN"),
        ("d IN ()", "IN"),
        ("label LIKE label", "pattern in single quotes"),
        ("LOWER(d) = 'x'", "d is a number, but must be text"),
    ],
)
def test_kinds_that_do_not_go_together(text, said):
    with pytest.raises(DataTestError, match=said.replace("(", r"\(")):
        parse(text).rows(TABLE)


def test_a_word_of_sql_as_a_column_is_told_how_to_write():
    with pytest.raises(DataTestError, match="in double quotes"):
        parse("case = 'a'")
    with pytest.raises(DataTestError, match="in double quotes"):
        parse("from > 1")
    assert parse('"from" > 1').columns == ("from",)


def test_no_rows():
    assert parse("d > 1").rows(TABLE.slice(0, 0)).tolist() == []
    assert parse("TRUE").rows(TABLE.slice(0, 0)).tolist() == []
