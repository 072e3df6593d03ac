"""Rows into calls: both formats, every column, and what is said of rows that are none."""

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.backtest import BadUsageFile
from tallystick.core.subject import Subject
from tallystick.core.usage import Usage
from tests.unit.backtest.trial import document, read, reader

FULL_CSV = (
    "time,user,label.product,model,provider,input,cache_read,cache_write_5m,cache_write_1h,output,"
    "reasoning,max_output,duration_ms,cost_usd\n"
    '2026-06-01T12:00:00.5+02:00,"a, b",search,house,openai,1,2,3,4,5,5,6,7.9,0.0000000015\n'
)
FULL_JSON = {
    "time": 1_780_308_000.5,
    "subject": {"user": "a, b", "labels": {"product": "search"}},
    "model": "house",
    "provider": "openai",
    **dict(zip(Usage._fields, (1, 2, 3, 4, 5, 5), strict=True)),
    "max_output": 6,
    "duration_ms": 7.9,
    "cost_usd": 1.5e-9,
}


def test_every_column() -> None:
    (call,) = read(FULL_CSV)
    assert call.time_ms == 1_780_308_000_500
    assert call.subject == Subject(user="a, b", labels=(("product", "search"),))
    assert (call.model, call.provider) == ("house", "openai")
    assert call.usage == Usage(1, 2, 3, 4, 5, 5)
    assert (call.max_output, call.duration_ms, call.billed_nano_usd) == (6, 7, 2)  # half to even


def test_json_lines_say_the_same() -> None:
    assert read(json.dumps(FULL_JSON) + "\n\n") == read(FULL_CSV)
    flat = FULL_JSON | {"user": "a, b", "label.product": "search", "subject": None}
    assert read(json.dumps(flat)) == read(FULL_CSV)


def test_only_time_and_model_are_required() -> None:
    (call,) = read("model,time\nhouse,2026-06-01T10:00:00Z\n")
    assert call == read('{"model": "house", "time": "2026-06-01T10:00:00Z", "user": null}')[0]
    assert (call.usage, call.max_output, call.duration_ms, call.billed_nano_usd) == (Usage(), None, 0, None)


@pytest.mark.parametrize("time", ["2026-06-01T10:00:00Z", "1780308000", "1780308000000", "1.780308e9"])
def test_times(time: str) -> None:
    assert read(f"time,model\n{time},m\n")[0].time_ms == 1_780_308_000_000


def test_the_format_is_told_by_the_first_bytes() -> None:
    plain = b"\xef\xbb\xbf" + FULL_CSV.replace("\n", "\r\n").encode()
    assert read(plain) == read(gzip.compress(plain)) == read(FULL_CSV)
    assert read(gzip.compress(json.dumps(FULL_JSON).encode())) == read(FULL_CSV)


def test_columns_of_another_meaning_are_told() -> None:
    rows = reader("time,model,status,cached_read\n1780308000,m,200,7\n")
    assert len(list(rows.calls())) == 1
    assert rows.ignored == {"status", "cached_read"}


HEADER = "time,user,model,input,output,reasoning,duration_ms,cost_usd,label.Bad"
GOOD = ["1780308000", "alice", "m", "1", "2", "0", "3", "0.5", ""]
BAD_CELLS = [
    ("time", "", "got none"),
    ("time", "yesterday", "expected RFC 3339 with an offset"),
    ("time", "2026-06-01T10:00:00", "got '2026-06-01T10:00:00'"),
    ("time", "99999999999999999999", "expected RFC 3339"),
    ("time", "1969-12-31T23:59:59Z", "expected RFC 3339"),
    ("user", "a" * 257, "at most 256 bytes"),
    ("user", "a\tb", "printable"),
    ("model", "", "expected text"),
    ("model", "m" * 300, "at most 256 bytes"),
    ("input", "-1", "expected a whole number from 0 to 1000000000, got '-1'"),
    ("input", "1.5", "whole number"),
    ("input", "1000000001", "whole number"),
    ("input", "9" * 5000, "whole number"),
    ("input", "²", "whole number"),
    ("output", "many", "got 'many'"),
    ("reasoning", "3", "expected at most output"),
    ("duration_ms", "86400001", "from 0 to 86400000"),
    ("cost_usd", "$5", "US dollars as a plain number"),
    ("cost_usd", "NaN", "US dollars as a plain number"),
    ("label.Bad", "x", "names of 1 to 64"),
]


@pytest.mark.parametrize(("column", "cell", "expected"), BAD_CELLS)
def test_a_bad_cell_is_told_with_its_line_and_column(column: str, cell: str, expected: str) -> None:
    names = HEADER.split(",")
    cells = dict(zip(names, GOOD, strict=True))
    good, bad = ",".join(GOOD), ",".join((cells | {column: cell}).values())
    rows = reader(f"{HEADER}\n{good}\n\n{bad}\n{good}\n")
    assert len(list(rows.calls())) == 2
    (row,) = rows.bad_rows
    assert (row.line, rows.bad_count) == (4, 1)
    assert row.column in (column, "labels")
    assert expected in row.expected
    assert len(str(row)) < 200


@pytest.mark.parametrize(
    ("line", "column"),
    [
        ('{"time": 1', ""),
        ("[1]", ""),
        ("[" * 100_000, ""),
        ('{"time": NaN, "model": "m"}', ""),
        ('{"time": true, "model": "m"}', "time"),
        ('{"time": 1780308000, "model": 5}', "model"),
        ('{"time": 1780308000, "model": "\\ud800"}', "model"),
        ('{"time": 1780308000, "model": "m", "input": true}', "input"),
        ('{"time": 1780308000, "model": "m", "input": 1e999999}', "input"),
        ('{"time": 1780308000, "model": "m", "user": {}}', "user"),
        ('{"time": 1780308000, "model": "m", "subject": "alice"}', "subject"),
        ('{"time": 1780308000, "model": "m", "subject": {"labels": ["x"]}}', "subject"),
    ],
)
def test_bad_json_lines(line: str, column: str) -> None:
    rows = reader(json.dumps(FULL_JSON) + "\n" + line + "\n")
    assert len(list(rows.calls())) == 1
    assert [(row.line, row.column) for row in rows.bad_rows] == [(2, column)]


def test_rows_of_another_length_and_bytes_that_are_not_utf_8() -> None:
    rows = reader(b'time,model\n1,m,x\n1,"m"x\n1,\xff\n"1\n",m\n1,m\n')
    assert [call.model for call in rows.calls()] == ["m"]
    assert [(row.line, row.column) for row in rows.bad_rows] == [(2, ""), (3, ""), (4, "model"), (5, "time")]


def test_only_the_first_bad_rows_are_kept_and_all_are_counted() -> None:
    rows = reader("time,model\n" + "x,m\n" * 25)
    assert list(rows.calls()) == []
    assert (rows.bad_count, len(rows.bad_rows)) == (25, 10)


def test_strict_stops_at_the_first() -> None:
    calls = reader("time,model\n1,m\nx,m\n1,m\n", strict=True).calls()
    next(calls)
    with pytest.raises(BadUsageFile, match=r"^3: time: expected RFC 3339"):
        next(calls)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "1: time: expected a column of this name in the header, or JSON lines"),
        (b"time,user\n", "1: model: expected a column"),
        (b"time,model,user,user\n", "1: user: expected each column once"),
        (b'"time', "1: expected CSV"),
        (gzip.compress(FULL_CSV.encode())[:-9], "expected whole gzip data"),
        (b"\x1f\x8bnot gzip", "expected whole gzip data"),
    ],
)
def test_files_that_cannot_be_read(data: bytes, said: str) -> None:
    with pytest.raises(BadUsageFile, match=said):
        list(reader(data).calls())


some_rows = st.lists(
    st.fixed_dictionaries(
        {"time": st.integers(1_780_308_000, 1_780_400_000), "model": st.sampled_from(["house", "other"])},
        optional={
            "user": st.sampled_from(["alice", 'b"o,b', "é"]),
            "label.x": st.sampled_from(["1", "2"]),
            "input": st.integers(0, 500),
            "output": st.integers(0, 500),
            "max_output": st.integers(0, 500),
            "duration_ms": st.integers(0, 100_000),
            "cost_usd": st.decimals(0, 5, places=7).map(float),
        },
    ),
    min_size=1,
    max_size=15,
)


def _csv(rows: list[dict[str, Any]]) -> str:
    names = sorted({name for row in rows for name in row})
    cells = [[str(row.get(name, "")).replace('"', '""') for name in names] for row in rows]
    return "\n".join(",".join(f'"{cell}"' for cell in line) for line in [names, *cells])


@given(some_rows)
def test_csv_and_json_lines_give_the_same(rows: list[dict[str, Any]]) -> None:
    lines = "\n".join(map(json.dumps, rows))
    calls = read(_csv(rows))
    assert calls == read(lines)
    assert document(calls) == document(read(lines))


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"time,model\n", b"time,model,user\n1,", b"{", b"\x1f\x8b"]),
)
def test_no_bytes_break_it(data: bytes, before: bytes) -> None:
    rows = reader(before + data)
    try:
        list(rows.calls())
    except BadUsageFile as error:
        assert error.row.line >= 1
