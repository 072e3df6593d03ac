"""Windows of time: the stretch of a budget's limit that an instant belongs to.

Windows of one kind tile time: each ends where the next begins, whatever the
clocks of the zone do. Days and longer begin at the first instant whose local
date is in them, so a day may have 23 or 25 hours, and a date that a zone skipped
has none. Minutes and hours end at the latest when the zone's offset changes, so
an hour that the clocks repeat is two windows, and none is longer than its name.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import Enum
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

MS_PER_SECOND = 1_000
MS_PER_MINUTE = 60 * MS_PER_SECOND
MS_PER_HOUR = 60 * MS_PER_MINUTE
MS_PER_DAY = 24 * MS_PER_HOUR
MAX_LENGTH_MS = 366 * MS_PER_DAY
"""The longest fixed or rolling window."""
BUCKETS = 60
"""The sub-buckets of a rolling window."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LENGTHS = (("d", MS_PER_DAY), ("h", MS_PER_HOUR), ("m", MS_PER_MINUTE), ("s", MS_PER_SECOND), ("ms", 1))
# Found beside the zones on many machines: not zones that mean the same everywhere.
_NOT_ZONES = ("localtime", "posixrules", "posix/", "right/")


class Span(Enum):
    """How long a window is."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"
    FIXED = "fixed"
    """A fixed length, aligned to the Unix epoch."""
    ROLLING = "rolling"
    """A fixed length up to now, kept in sub-buckets (`Window.bucket_ms`)."""
    SESSION = "session"
    """As long as the session."""
    TOTAL = "total"
    """For ever."""


UNBOUNDED = frozenset({Span.SESSION, Span.TOTAL, Span.ROLLING})
CALENDAR = frozenset(Span) - UNBOUNDED - {Span.FIXED}
"""The spans that depend on the time zone."""


@dataclass(frozen=True, slots=True)
class Window:
    """A kind of window. Raises ValueError for a length, zone or week start that can't be."""

    span: Span
    length_ms: int = 0
    """Of FIXED and ROLLING only: 1 to `MAX_LENGTH_MS`."""
    zone: str = "UTC"
    """The IANA name of the time zone of calendar spans."""
    week_start: int = 0
    """The first day of a WEEK: 0 is Monday, 6 is Sunday."""

    def __post_init__(self) -> None:
        """Refuse what can't be."""
        if self.span in (Span.FIXED, Span.ROLLING):
            if not 1 <= self.length_ms <= MAX_LENGTH_MS:
                raise ValueError(
                    f"a {self.span.value} window has 1 to {MAX_LENGTH_MS} ms, not {self.length_ms}"
                )
        elif self.length_ms != 0:
            raise ValueError(f"only a fixed or rolling window has a length, not {self.span.value}")
        if not 0 <= self.week_start <= 6:
            raise ValueError(f"a week starts on day 0 (Monday) to 6 (Sunday), not {self.week_start}")
        find_zone(self.zone)

    @property
    def is_short(self) -> bool:
        """Whether it is at most one hour long, so that waiting is worth while."""
        return self.span in (Span.MINUTE, Span.HOUR) or 0 < self.length_ms <= MS_PER_HOUR

    @property
    def bucket_ms(self) -> int:
        """How long a sub-bucket of a ROLLING window is: a sixtieth of it, rounded up to milliseconds.

        What was spent counts until its whole bucket has left the window, so at most this much longer.
        """
        return -(-self.length_ms // BUCKETS)

    def bounds(self, now_ms: int) -> tuple[int, int] | None:
        """Find the window that contains this instant: [start, end) in Unix milliseconds.

        None where there are no bounds (SESSION, TOTAL, ROLLING).

        Raises:
            OverflowError: the window is not within the years 1 to 9999.

        """
        if self.span in UNBOUNDED:
            return None
        if self.span is Span.FIXED:
            start = now_ms - now_ms % self.length_ms
            return start, start + self.length_ms
        zone = find_zone(self.zone)
        if self.span is Span.MINUTE:
            return _clock_bounds(now_ms, MS_PER_MINUTE, zone)
        if self.span is Span.HOUR:
            return _clock_bounds(now_ms, MS_PER_HOUR, zone)
        return self._date_bounds(now_ms, zone)

    def period(self, now_ms: int) -> int:
        """Number the calendar period, a day or longer, that contains this instant; the next has one more."""
        first = self._first_date(
            _local(self._date_bounds(now_ms, find_zone(self.zone))[0], find_zone(self.zone)).date()
        )
        match self.span:
            case Span.DAY:
                return first.toordinal()
            case Span.WEEK:
                return first.toordinal() // 7
            case Span.MONTH:
                return first.year * 12 + first.month
            case Span.QUARTER:
                return first.year * 4 + (first.month - 1) // 3
            case _:
                return first.year

    def _date_bounds(self, now_ms: int, zone: tzinfo) -> tuple[int, int]:
        """Find the bounds of a day or of a longer calendar span."""
        first = self._first_date(_local(now_ms, zone).date())
        start = end = _begin_ms(first, zone)
        # More than once where the clocks went back over midnight, so that a date has begun
        # which they do not show yet, and over a date that they skip.
        while end <= now_ms:
            first = self._next_date(first)
            start, end = end, _begin_ms(first, zone)
        return start, end

    def _first_date(self, day: date) -> date:
        """Find the first date of the span that this date is in."""
        match self.span:
            case Span.WEEK:
                return day - timedelta(days=(day.weekday() - self.week_start) % 7)
            case Span.MONTH:
                return day.replace(day=1)
            case Span.QUARTER:
                return date(day.year, (day.month - 1) // 3 * 3 + 1, 1)
            case Span.YEAR:
                return date(day.year, 1, 1)
            case _:
                return day

    def _next_date(self, first: date) -> date:
        """Find the first date of the next span."""
        days = {Span.DAY: 1, Span.WEEK: 7, Span.MONTH: 31, Span.QUARTER: 92, Span.YEAR: 366}[self.span]
        return self._first_date(first + timedelta(days=days))

    def text(self) -> str:
        """Write it for people and tables: `day`, `10m`, `total`."""
        if self.span is Span.FIXED:
            return length_text(self.length_ms)
        if self.span is Span.ROLLING:
            return f"rolling {length_text(self.length_ms)}"
        name: str = self.span.value
        return name


def length_text(length_ms: int) -> str:
    """Write a length of time in the largest unit that keeps it whole: `90s`, `10m`, `2d`."""
    unit, size = next((unit, size) for unit, size in _LENGTHS if length_ms % size == 0)
    return f"{length_ms // size}{unit}"


@lru_cache(maxsize=1024)
def find_zone(name: str) -> tzinfo:
    """Find the time zone of an IANA name.

    Raises:
        ValueError: there is no such zone.

    """
    if name == "UTC":
        return UTC
    if name and not name.startswith(_NOT_ZONES):
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, OSError, ValueError):
            pass  # a folder, a path that leads outside, a name that can't be a file
    raise ValueError(f"there is no time zone {name!r}")


def _local(now_ms: int, zone: tzinfo) -> datetime:
    return (_EPOCH + timedelta(milliseconds=now_ms)).astimezone(zone)


def _unix_ms(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def _offset_ms(now_ms: int, zone: tzinfo) -> int:
    """Say how far the zone's clocks are ahead of UTC."""
    return (_local(now_ms, zone).utcoffset() or timedelta()) // timedelta(milliseconds=1)


def _begin_ms(day: date, zone: tzinfo) -> int:
    """Find the first instant at which the zone's date is this one or later."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    # Where clocks show midnight twice, fold=0 is the first. Where they skip it, the
    # readings with the offsets before (fold=0) and after (fold=1) lie around the change.
    begin = _unix_ms(midnight)
    after = _unix_ms(midnight.replace(fold=1))
    return _change_ms(after, begin, zone) if after < begin else begin


def _clock_bounds(now_ms: int, length_ms: int, zone: tzinfo) -> tuple[int, int]:
    """Find the bounds of the minute or hour on the zone's clocks, cut where the offset changes."""
    offset = _offset_ms(now_ms, zone)
    start = now_ms - (now_ms + offset) % length_ms
    end = start + length_ms
    if _offset_ms(start, zone) != offset:
        start = _change_ms(start, now_ms, zone)
    if _offset_ms(end - 1, zone) != offset:
        end = _change_ms(now_ms, end - 1, zone)
    return start, end


def _change_ms(before_ms: int, after_ms: int, zone: tzinfo) -> int:
    """Find when the offset changes: in (before, after], at whose ends it differs; on a whole second."""
    offset = _offset_ms(after_ms, zone)
    low, high = before_ms // MS_PER_SECOND, -(-after_ms // MS_PER_SECOND)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset_ms(middle * MS_PER_SECOND, zone) == offset:
            high = middle
        else:
            low = middle
    return high * MS_PER_SECOND
