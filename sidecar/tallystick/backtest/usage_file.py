"""Usage files: CSV with a header, or JSON lines; gzip or not. All are told by their first bytes."""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from tallystick.backtest.calls import COLUMNS, REQUIRED, PastCall, Row, read_call
from tallystick.core.errors import InvalidArgument
from tallystick.core.subject import LABEL_PREFIX

MOST_BAD_ROWS_KEPT = 10
MOST_NAMES_KEPT = 200
_GZIP = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class BadRow(NamedTuple):
    """A row that is no call, and why."""

    line: int
    """In the file, from 1: where the row begins."""
    column: str
    """Empty where the row as a whole is wrong."""
    expected: str

    def __str__(self) -> str:
        """`17: output: expected …`."""
        return (
            f"{self.line}: {self.column}: {self.expected}" if self.column else f"{self.line}: {self.expected}"
        )


class BadUsageFile(Exception):
    """No more can be read: the header is wrong, the file is broken, or one row is and `strict` was asked."""

    def __init__(self, row: BadRow) -> None:
        super().__init__(str(row))
        self.row = row


class UsageFile:
    """The calls of a file, read once. Rows that are wrong are left out, counted, and the first ones kept."""

    def __init__(self, stream: io.BufferedReader, strict: bool = False) -> None:
        self._stream = stream
        self._strict = strict
        self._line = 1
        self.bad_count = 0
        self.bad_rows: list[BadRow] = []
        self.ignored: set[str] = set()
        """Columns of a meaning that is not ours: at most `MOST_NAMES_KEPT`."""

    def calls(self) -> Iterator[PastCall]:
        """Every call, in the order of the file.

        Raises:
            BadUsageFile: see there.
        """
        try:
            for row in self._rows():
                self._note_names(row)
                try:
                    call = read_call(row)
                except InvalidArgument as error:
                    self._bad(error.field, error.expected)
                else:
                    yield call
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise BadUsageFile(BadRow(self._line, "", f"expected whole gzip data: {error}")) from None

    def _rows(self) -> Iterator[Row]:
        stream: Any = self._stream
        if stream.peek(2)[:2] == _GZIP:
            stream = io.BufferedReader(gzip.GzipFile(fileobj=stream))
        first = stream.peek(256).removeprefix(_BYTE_ORDER_MARK).lstrip()
        # What is not UTF-8 comes as surrogates, which no value may have: one bad row, not a broken file.
        text = io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape", newline="")
        return self._json_rows(text) if first.startswith(b"{") else self._csv_rows(text)

    def _json_rows(self, text: io.TextIOWrapper) -> Iterator[Row]:
        for self._line, line in enumerate(text, 1):
            if line.isspace():
                continue
            try:
                row = flatten(json.loads(line, parse_float=Decimal, parse_constant=_refuse_constant))
            except (ValueError, RecursionError):
                self._bad("", "expected one JSON object on a line")
            except InvalidArgument as error:
                self._bad(error.field, error.expected)
            else:
                yield row

    def _csv_rows(self, text: io.TextIOWrapper) -> Iterator[Row]:
        reader = csv.reader(text, strict=True)
        header = _read_header(reader)
        while True:
            self._line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                self._bad("", f"expected CSV: {error}")
                continue
            if len(cells) == len(header):
                yield dict(zip(header, cells, strict=True))
            elif cells:
                self._bad("", f"expected {len(header)} cells, as in the header, got {len(cells)}")

    def _note_names(self, row: Row) -> None:
        for name in row.keys() - COLUMNS:
            if not name.startswith(LABEL_PREFIX) and len(self.ignored) < MOST_NAMES_KEPT:
                self.ignored.add(name)

    def _bad(self, column: str, expected: str) -> None:
        row = BadRow(self._line, column, expected)
        if self._strict:
            raise BadUsageFile(row)
        self.bad_count += 1
        if len(self.bad_rows) < MOST_BAD_ROWS_KEPT:
            self.bad_rows.append(row)


def _read_header(reader: Iterator[list[str]]) -> list[str]:
    """The names of the columns, if a file with them can be read."""
    try:
        names = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise BadUsageFile(BadRow(1, "", f"expected CSV: {error}")) from None
    for name in REQUIRED:
        if name not in names:
            raise BadUsageFile(BadRow(1, name, "expected a column of this name in the header, or JSON lines"))
    for name in names:
        if names.count(name) > 1:
            raise BadUsageFile(BadRow(1, name[:64], "expected each column once"))
    return names


def flatten(document: Any) -> Row:
    """A row out of a JSON object, whose `subject` may be an object, with `labels` in it.

    Raises:
        ValueError: it is no object.
        InvalidArgument: `subject` or its labels are none.
    """
    if not isinstance(document, dict):
        raise ValueError  # noqa: TRY004 - as what is no JSON at all
    subject = document.pop("subject", None) or {}
    labels = subject.pop("labels", None) or {} if isinstance(subject, dict) else None
    if not isinstance(labels, dict):
        raise InvalidArgument("subject", "expected an object of dimensions, and in it one of labels")
    return document | subject | {LABEL_PREFIX + name: value for name, value in labels.items()}


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)
