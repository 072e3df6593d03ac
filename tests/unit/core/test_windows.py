"""Windows tile time, and begin and end where the zone's clocks say."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.core.windows import (
    BUCKETS,
    CALENDAR,
    MAX_LENGTH_MS,
    MS_PER_DAY,
    MS_PER_HOUR,
    MS_PER_MINUTE,
    Span,
    Window,
    find_zone,
    length_text,
)


def unix_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def utc_text(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")


# Zones with the clocks that have gone wrong in other systems, and then all the rest.
ODD_ZONES = [
    "UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Asia/Beirut", "Australia/Lord_Howe",
    "America/St_Johns", "Pacific/Apia", "Pacific/Kwajalein", "Pacific/Chatham", "Pacific/Kiritimati",
    "Etc/GMT+12", "Asia/Kathmandu", "Africa/Casablanca", "Asia/Gaza", "Antarctica/Troll",
    "America/Scoresbysund", "America/Havana", "Asia/Tehran", "Europe/Dublin", "Asia/Pyongyang",
]  # fmt: skip
CALENDAR_SPANS = [span for span in Span if span in CALENDAR]
ALL_ZONES = sorted(zone for zone in available_timezones() if zone != "localtime")
INSTANTS = st.integers(unix_ms("1990-01-01T00:00"), unix_ms("2100-12-31T23:59"))
LENGTHS = st.sampled_from([1, 1_000, 30_000, 60_000, 600_000, 6 * MS_PER_HOUR, 7 * MS_PER_DAY, MAX_LENGTH_MS])
WINDOWS = st.one_of(
    st.builds(
        Window,
        st.sampled_from(CALENDAR_SPANS),
        st.just(0),
        st.one_of(st.sampled_from(ODD_ZONES), st.sampled_from(ALL_ZONES)),
        st.integers(0, 6),
    ),
    st.builds(Window, st.just(Span.FIXED), LENGTHS),
)


def bounds(window: Window, now_ms: int) -> tuple[int, int]:
    found = window.bounds(now_ms)
    assert found is not None
    return found


def check_tiling(window: Window, now_ms: int) -> None:
    """The window around this instant is one and the same for all of it, and its neighbours touch it."""
    start, end = bounds(window, now_ms)
    assert start <= now_ms < end
    assert bounds(window, start) == bounds(window, end - 1) == (start, end)
    before, after = bounds(window, start - 1), bounds(window, end)
    assert before[1] == start
    assert after[0] == end
    assert before[0] < start < end < after[1]


@settings(max_examples=1500, deadline=None)
@given(WINDOWS, INSTANTS)
def test_windows_tile_time(window: Window, now_ms: int) -> None:
    check_tiling(window, now_ms)


def offset_changes(zone: str, first: str, last: str) -> list[int]:
    """When the zone's offset changes, to the hour, found without the code under test."""
    clock, hours = ZoneInfo(zone), range(unix_ms(first), unix_ms(last), MS_PER_HOUR)
    offsets = [datetime.fromtimestamp(hour // 1000, clock).utcoffset() for hour in hours]
    return [hours[i] for i in range(1, len(hours)) if offsets[i] != offsets[i - 1]]


@pytest.mark.parametrize("zone", ODD_ZONES)
@pytest.mark.parametrize("span", CALENDAR_SPANS)
def test_windows_tile_time_around_every_change_of_the_clocks(zone: str, span: Span) -> None:
    window = Window(span, zone=zone)
    for years in (("1993-06-01", "1995-02-01"), ("2006-01-01", "2007-01-01"), ("2011-06-01", "2013-01-01"),
                  ("2018-01-01", "2019-01-01"), ("2023-01-01", "2025-01-01")):  # fmt: skip
        for change in offset_changes(zone, *years):
            for minutes in (-1500, -90, -60, -59, -31, -30, -29, -1, 0, 1, 29, 30, 31, 59, 60, 61, 90, 1500):
                check_tiling(window, change + minutes * MS_PER_MINUTE)
                check_tiling(window, change + minutes * MS_PER_MINUTE - 1)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(ODD_ZONES + ALL_ZONES), INSTANTS)
def test_minutes_and_hours_are_never_longer_than_their_name(zone: str, now_ms: int) -> None:
    for span, longest in ((Span.MINUTE, MS_PER_MINUTE), (Span.HOUR, MS_PER_HOUR)):
        start, end = bounds(Window(span, zone=zone), now_ms)
        assert 0 < end - start <= longest


GOLDEN = [
    # a plain one of each kind
    (Span.MINUTE, "UTC", "2024-05-06T07:08:09", "2024-05-06T07:08:00", "2024-05-06T07:09:00"),
    (Span.HOUR, "UTC", "2024-05-06T07:08:09", "2024-05-06T07:00:00", "2024-05-06T08:00:00"),
    (Span.DAY, "UTC", "2024-05-06T07:08:09", "2024-05-06T00:00:00", "2024-05-07T00:00:00"),
    (Span.WEEK, "UTC", "2024-05-12T23:59:59", "2024-05-06T00:00:00", "2024-05-13T00:00:00"),
    (Span.MONTH, "UTC", "2024-05-31T23:59:59", "2024-05-01T00:00:00", "2024-06-01T00:00:00"),
    (Span.QUARTER, "UTC", "2024-05-06T07:08:09", "2024-04-01T00:00:00", "2024-07-01T00:00:00"),
    (Span.YEAR, "UTC", "2024-05-06T07:08:09", "2024-01-01T00:00:00", "2025-01-01T00:00:00"),
    # days of 23 and 25 hours
    (Span.DAY, "Europe/Berlin", "2024-03-31T12:00:00", "2024-03-30T23:00:00", "2024-03-31T22:00:00"),
    (Span.DAY, "Europe/Berlin", "2024-10-27T12:00:00", "2024-10-26T22:00:00", "2024-10-27T23:00:00"),
    (Span.DAY, "America/New_York", "2024-03-10T12:00:00", "2024-03-10T05:00:00", "2024-03-11T04:00:00"),
    (Span.DAY, "America/New_York", "2024-11-03T12:00:00", "2024-11-03T04:00:00", "2024-11-04T05:00:00"),
    (Span.MONTH, "Europe/Berlin", "2024-03-15T00:00:00", "2024-02-29T23:00:00", "2024-03-31T22:00:00"),
    (Span.YEAR, "Europe/Berlin", "2024-07-01T00:00:00", "2023-12-31T23:00:00", "2024-12-31T23:00:00"),
    # the other way round in the southern hemisphere: 25 hours in April, 23 in October
    (Span.DAY, "Australia/Sydney", "2024-04-07T12:00:00", "2024-04-06T13:00:00", "2024-04-07T14:00:00"),
    (Span.DAY, "Australia/Sydney", "2024-10-06T12:00:00", "2024-10-05T14:00:00", "2024-10-06T13:00:00"),
    (Span.MONTH, "Australia/Sydney", "2024-04-07T12:00:00", "2024-03-31T13:00:00", "2024-04-30T14:00:00"),
    (Span.YEAR, "Australia/Sydney", "2024-12-31T12:59:59", "2023-12-31T13:00:00", "2024-12-31T13:00:00"),
    (Span.DAY, "Pacific/Chatham", "2024-04-07T00:00:00", "2024-04-06T10:15:00", "2024-04-07T11:15:00"),
    (Span.DAY, "Pacific/Chatham", "2024-09-29T00:00:00", "2024-09-28T11:15:00", "2024-09-29T10:15:00"),
    # weeks, months and quarters with a change in them
    (Span.WEEK, "Europe/Berlin", "2024-03-31T12:00:00", "2024-03-24T23:00:00", "2024-03-31T22:00:00"),
    (Span.WEEK, "Europe/Berlin", "2024-10-27T22:59:59", "2024-10-20T22:00:00", "2024-10-27T23:00:00"),
    (Span.WEEK, "America/New_York", "2024-03-10T12:00:00", "2024-03-04T05:00:00", "2024-03-11T04:00:00"),
    (Span.MONTH, "America/New_York", "2024-11-30T12:00:00", "2024-11-01T04:00:00", "2024-12-01T05:00:00"),
    (Span.QUARTER, "America/New_York", "2024-03-31T12:00:00", "2024-01-01T05:00:00", "2024-04-01T04:00:00"),
    # midnight does not exist: the day begins at 01:00
    (Span.DAY, "America/Sao_Paulo", "2018-11-04T12:00:00", "2018-11-04T03:00:00", "2018-11-05T02:00:00"),
    (Span.DAY, "America/Sao_Paulo", "2018-11-04T02:59:59", "2018-11-03T03:00:00", "2018-11-04T03:00:00"),
    (Span.DAY, "Asia/Beirut", "2022-03-26T22:00:00", "2022-03-26T22:00:00", "2022-03-27T21:00:00"),
    # clocks go back from midnight to 23:00: the day before has 25 hours
    (Span.DAY, "America/Sao_Paulo", "2018-02-18T02:30:00", "2018-02-17T02:00:00", "2018-02-18T03:00:00"),
    # clocks go back from 00:01 to 23:01: the day that has begun stays begun
    (Span.DAY, "America/St_Johns", "2006-10-29T02:30:30", "2006-10-29T02:30:00", "2006-10-30T03:30:00"),
    (Span.DAY, "America/St_Johns", "2006-10-29T03:00:30", "2006-10-29T02:30:00", "2006-10-30T03:30:00"),
    # a gap around midnight (23:30 to 00:30): the day begins at its end
    (Span.DAY, "America/Toronto", "1919-03-31T04:40:00", "1919-03-31T04:30:00", "1919-04-01T04:00:00"),
    # a date that was skipped
    (Span.DAY, "Pacific/Apia", "2011-12-30T09:59:59", "2011-12-29T10:00:00", "2011-12-30T10:00:00"),
    (Span.DAY, "Pacific/Apia", "2011-12-30T10:00:00", "2011-12-30T10:00:00", "2011-12-31T10:00:00"),
    (Span.MONTH, "Pacific/Kiritimati", "1994-12-31T12:00:00", "1994-12-31T10:00:00", "1995-01-31T10:00:00"),
    # an hour that is repeated is two; one of which half is skipped or repeated is cut
    (Span.HOUR, "Europe/Berlin", "2024-10-27T00:30:00", "2024-10-27T00:00:00", "2024-10-27T01:00:00"),
    (Span.HOUR, "Europe/Berlin", "2024-10-27T01:30:00", "2024-10-27T01:00:00", "2024-10-27T02:00:00"),
    (Span.HOUR, "Europe/Berlin", "2024-03-31T00:59:59", "2024-03-31T00:00:00", "2024-03-31T01:00:00"),
    (Span.HOUR, "America/New_York", "2024-11-03T05:30:00", "2024-11-03T05:00:00", "2024-11-03T06:00:00"),
    (Span.HOUR, "America/New_York", "2024-11-03T06:30:00", "2024-11-03T06:00:00", "2024-11-03T07:00:00"),
    (Span.HOUR, "America/New_York", "2024-03-10T07:00:00", "2024-03-10T07:00:00", "2024-03-10T08:00:00"),
    (Span.MINUTE, "Australia/Sydney", "2024-10-05T15:59:59", "2024-10-05T15:59:00", "2024-10-05T16:00:00"),
    (Span.HOUR, "Australia/Lord_Howe", "2024-04-06T14:45:00", "2024-04-06T14:00:00", "2024-04-06T15:00:00"),
    (Span.HOUR, "Australia/Lord_Howe", "2024-04-06T15:15:00", "2024-04-06T15:00:00", "2024-04-06T15:30:00"),
    (Span.HOUR, "Australia/Lord_Howe", "2024-10-05T15:45:00", "2024-10-05T15:30:00", "2024-10-05T16:00:00"),
    (Span.HOUR, "Australia/Lord_Howe", "2024-10-05T16:45:00", "2024-10-05T16:00:00", "2024-10-05T17:00:00"),
    # zones that are not a whole hour from UTC, and those at both ends
    (Span.HOUR, "Asia/Kathmandu", "2024-05-06T07:08:09", "2024-05-06T06:15:00", "2024-05-06T07:15:00"),
    (Span.DAY, "Pacific/Chatham", "2024-01-01T00:00:00", "2023-12-31T10:15:00", "2024-01-01T10:15:00"),
    (Span.DAY, "Pacific/Chatham", "2024-07-01T00:00:00", "2024-06-30T11:15:00", "2024-07-01T11:15:00"),
    (Span.DAY, "Etc/GMT+12", "2024-01-01T11:59:59", "2023-12-31T12:00:00", "2024-01-01T12:00:00"),
    (Span.HOUR, "Pacific/Chatham", "2024-01-01T00:20:00", "2024-01-01T00:15:00", "2024-01-01T01:15:00"),
    (Span.WEEK, "Pacific/Chatham", "2024-01-07T10:14:59", "2023-12-31T10:15:00", "2024-01-07T10:15:00"),
    (Span.MONTH, "Pacific/Chatham", "2024-02-29T10:14:59", "2024-01-31T10:15:00", "2024-02-29T10:15:00"),
    (Span.YEAR, "Pacific/Chatham", "2023-12-31T10:15:00", "2023-12-31T10:15:00", "2024-12-31T10:15:00"),
    (Span.WEEK, "Etc/GMT+12", "2024-01-01T11:59:59", "2023-12-25T12:00:00", "2024-01-01T12:00:00"),
    (Span.MONTH, "Etc/GMT+12", "2024-03-01T11:59:59", "2024-02-01T12:00:00", "2024-03-01T12:00:00"),
    (Span.YEAR, "Etc/GMT+12", "2024-01-01T11:59:59", "2023-01-01T12:00:00", "2024-01-01T12:00:00"),
    (Span.DAY, "Pacific/Kiritimati", "2024-01-01T00:00:00", "2023-12-31T10:00:00", "2024-01-01T10:00:00"),
    # leap days, ends of months and years
    (Span.DAY, "UTC", "2024-02-29T23:59:59", "2024-02-29T00:00:00", "2024-03-01T00:00:00"),
    (Span.DAY, "UTC", "2000-02-29T12:00:00", "2000-02-29T00:00:00", "2000-03-01T00:00:00"),
    (Span.DAY, "UTC", "2023-02-28T23:59:59", "2023-02-28T00:00:00", "2023-03-01T00:00:00"),
    (Span.WEEK, "UTC", "2024-02-29T12:00:00", "2024-02-26T00:00:00", "2024-03-04T00:00:00"),
    (Span.MONTH, "UTC", "2000-02-29T12:00:00", "2000-02-01T00:00:00", "2000-03-01T00:00:00"),
    (Span.MONTH, "UTC", "2024-01-31T23:59:59", "2024-01-01T00:00:00", "2024-02-01T00:00:00"),
    (Span.MONTH, "UTC", "2024-04-30T23:59:59", "2024-04-01T00:00:00", "2024-05-01T00:00:00"),
    (Span.MONTH, "Europe/Berlin", "2024-04-29T22:00:00", "2024-03-31T22:00:00", "2024-04-30T22:00:00"),
    (Span.MONTH, "UTC", "2023-02-28T23:59:59", "2023-02-01T00:00:00", "2023-03-01T00:00:00"),
    (Span.MONTH, "UTC", "2024-02-29T12:00:00", "2024-02-01T00:00:00", "2024-03-01T00:00:00"),
    (Span.MONTH, "UTC", "2100-02-28T12:00:00", "2100-02-01T00:00:00", "2100-03-01T00:00:00"),
    (Span.MONTH, "UTC", "2024-12-31T23:59:59", "2024-12-01T00:00:00", "2025-01-01T00:00:00"),
    (Span.QUARTER, "UTC", "2024-12-31T23:59:59", "2024-10-01T00:00:00", "2025-01-01T00:00:00"),
    (Span.QUARTER, "UTC", "2024-02-29T00:00:00", "2024-01-01T00:00:00", "2024-04-01T00:00:00"),
    (Span.QUARTER, "Europe/Berlin", "2024-09-30T22:00:00", "2024-09-30T22:00:00", "2024-12-31T23:00:00"),
    (Span.WEEK, "UTC", "2025-01-01T00:00:00", "2024-12-30T00:00:00", "2025-01-06T00:00:00"),
    (Span.YEAR, "America/New_York", "2025-01-01T04:59:59", "2024-01-01T05:00:00", "2025-01-01T05:00:00"),
    # before the epoch
    (Span.DAY, "UTC", "1969-12-31T23:59:59", "1969-12-31T00:00:00", "1970-01-01T00:00:00"),
]


@pytest.mark.parametrize(("span", "zone", "now", "start", "end"), GOLDEN)
def test_golden_bounds(span: Span, zone: str, now: str, start: str, end: str) -> None:
    found = bounds(Window(span, zone=zone), unix_ms(now))
    assert tuple(map(utc_text, found)) == (start, end)


@pytest.mark.parametrize(
    ("week_start", "start"),
    list(enumerate(["05-06", "05-07", "05-08", "05-09", "05-03", "05-04", "05-05"])),
)
def test_a_week_begins_on_the_day_it_is_told(week_start: int, start: str) -> None:
    found = bounds(Window(Span.WEEK, week_start=week_start), unix_ms("2024-05-09T12:00"))
    assert utc_text(found[0]) == f"2024-{start}T00:00:00"
    assert found[1] - found[0] == 7 * MS_PER_DAY


@pytest.mark.parametrize(
    ("zone", "week_start", "now", "start", "end"),
    [  # the week in which the clocks change, and zones in which it is another day than in UTC
        ("America/New_York", 6, "2024-03-10T12:00:00", "2024-03-10T05:00:00", "2024-03-17T04:00:00"),
        ("America/New_York", 6, "2024-11-03T12:00:00", "2024-11-03T04:00:00", "2024-11-10T05:00:00"),
        ("Europe/Berlin", 5, "2024-03-29T22:59:59", "2024-03-22T23:00:00", "2024-03-29T23:00:00"),
        ("Europe/Berlin", 5, "2024-03-29T23:00:00", "2024-03-29T23:00:00", "2024-04-05T22:00:00"),
        ("Pacific/Chatham", 6, "2024-01-06T10:15:00", "2024-01-06T10:15:00", "2024-01-13T10:15:00"),
        ("Etc/GMT+12", 6, "2024-01-07T11:59:59", "2023-12-31T12:00:00", "2024-01-07T12:00:00"),
    ],
)
def test_a_week_begins_on_its_day_in_its_zone(
    zone: str, week_start: int, now: str, start: str, end: str
) -> None:
    found = bounds(Window(Span.WEEK, zone=zone, week_start=week_start), unix_ms(now))
    assert tuple(map(utc_text, found)) == (start, end)


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(st.sampled_from(ODD_ZONES), st.sampled_from(ALL_ZONES)),
    st.sampled_from([Span.WEEK, Span.MONTH, Span.QUARTER, Span.YEAR]),
    st.integers(0, 6),
    INSTANTS,
)
def test_longer_windows_are_made_of_whole_days(zone: str, span: Span, week_start: int, now_ms: int) -> None:
    start, end = bounds(Window(span, zone=zone, week_start=week_start), now_ms)
    day = Window(Span.DAY, zone=zone)
    assert bounds(day, start)[0] == start
    assert bounds(day, end)[0] == end
    if span in (Span.QUARTER, Span.YEAR):
        assert bounds(Window(Span.MONTH, zone=zone), start)[0] == start


@pytest.mark.parametrize(("year", "days"), [(2023, 365), (2024, 366)])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Sydney", "Pacific/Chatham"])
def test_the_days_of_a_year_one_by_one(zone: str, year: int, days: int) -> None:
    start, end = bounds(Window(Span.YEAR, zone=zone), unix_ms(f"{year}-07-01T00:00"))
    lengths = []
    while start < end:
        day_start, day_end = bounds(Window(Span.DAY, zone=zone), start)
        local = datetime.fromtimestamp(start / 1000, ZoneInfo(zone))
        assert (day_start, local.hour, local.minute) == (start, 0, 0)
        lengths.append((day_end - day_start) // MS_PER_HOUR)
        start = day_end
    assert start == end
    assert sorted(set(lengths)) == [23, 24, 25]
    assert (len(lengths), lengths.count(23), lengths.count(25)) == (days, 1, 1)


def test_a_fixed_length_is_aligned_to_the_epoch() -> None:
    ten_minutes = Window(Span.FIXED, 600_000)
    assert ten_minutes.bounds(0) == (0, 600_000)
    assert ten_minutes.bounds(599_999) == (0, 600_000)
    assert ten_minutes.bounds(600_000) == (600_000, 1_200_000)
    assert ten_minutes.bounds(-1) == (-600_000, 0)


@pytest.mark.parametrize(
    "window", [Window(Span.SESSION), Window(Span.TOTAL), Window(Span.ROLLING, MS_PER_HOUR)]
)
def test_session_total_and_rolling_have_no_bounds(window: Window) -> None:
    assert window.bounds(0) is None
    assert window.bounds(10**18) is None  # nor an instant that they could not say


@pytest.mark.parametrize(
    ("length_ms", "bucket_ms"),
    [
        (1, 1),
        (59, 1),
        (60, 1),
        (61, 2),
        (1_000, 17),
        (30_000, 500),
        (90_001, 1_501),
        (MS_PER_HOUR, MS_PER_MINUTE),
        (30 * MS_PER_DAY, 12 * MS_PER_HOUR),
        (MAX_LENGTH_MS, 527_040_000),
    ],
)
def test_a_rolling_window_has_sixty_buckets(length_ms: int, bucket_ms: int) -> None:
    assert Window(Span.ROLLING, length_ms).bucket_ms == bucket_ms


@given(st.integers(1, MAX_LENGTH_MS))
def test_the_buckets_of_a_rolling_window_cover_it_and_are_no_longer_than_that(length_ms: int) -> None:
    bucket_ms = Window(Span.ROLLING, length_ms).bucket_ms
    assert (bucket_ms - 1) * BUCKETS < length_ms <= bucket_ms * BUCKETS


@pytest.mark.parametrize(
    ("window", "text", "is_short"),
    [
        (Window(Span.MINUTE), "minute", True),
        (Window(Span.HOUR), "hour", True),
        (Window(Span.DAY), "day", False),
        (Window(Span.QUARTER), "quarter", False),
        (Window(Span.SESSION), "session", False),
        (Window(Span.TOTAL), "total", False),
        (Window(Span.FIXED, 30_000), "30s", True),
        (Window(Span.FIXED, 90_000), "90s", True),
        (Window(Span.FIXED, 600_000), "10m", True),
        (Window(Span.FIXED, MS_PER_HOUR), "1h", True),
        (Window(Span.FIXED, MS_PER_HOUR + 1), "3600001ms", False),
        (Window(Span.FIXED, 6 * MS_PER_HOUR), "6h", False),
        (Window(Span.FIXED, 2 * MS_PER_DAY), "2d", False),
        (Window(Span.ROLLING, 90_000), "rolling 90s", True),
        (Window(Span.ROLLING, MS_PER_HOUR), "rolling 1h", True),
        (Window(Span.ROLLING, MS_PER_HOUR + 1), "rolling 3600001ms", False),
        (Window(Span.ROLLING, 30 * MS_PER_DAY), "rolling 30d", False),
    ],
)
def test_text_and_shortness(window: Window, text: str, is_short: bool) -> None:
    assert window.text() == text
    assert window.is_short is is_short


def test_length_text_keeps_the_length_whole() -> None:
    assert [length_text(ms) for ms in (1, 1_500, 86_400_000)] == ["1ms", "1500ms", "1d"]


@pytest.mark.parametrize(
    ("span", "length_ms", "zone", "week_start"),
    [
        (Span.FIXED, 0, "UTC", 0),
        (Span.FIXED, -1, "UTC", 0),
        (Span.FIXED, MAX_LENGTH_MS + 1, "UTC", 0),
        (Span.ROLLING, 0, "UTC", 0),
        (Span.ROLLING, -1, "UTC", 0),
        (Span.ROLLING, MAX_LENGTH_MS + 1, "UTC", 0),
        (Span.DAY, 1, "UTC", 0),
        (Span.TOTAL, 1, "UTC", 0),
        (Span.WEEK, 0, "UTC", 7),
        (Span.WEEK, 0, "UTC", -1),
        (Span.DAY, 0, "Mars/Olympus", 0),
        (Span.DAY, 0, "", 0),
        (Span.DAY, 0, "Europe", 0),
        (Span.DAY, 0, "../UTC", 0),
        (Span.DAY, 0, "/etc/passwd", 0),
        (Span.DAY, 0, "a\0b", 0),
        (Span.DAY, 0, "x" * 5000, 0),
        (Span.DAY, 0, "\ud800", 0),
        (Span.DAY, 0, "localtime", 0),
        (Span.DAY, 0, "right/Europe/Berlin", 0),
    ],
)
def test_impossible_windows_are_refused(span: Span, length_ms: int, zone: str, week_start: int) -> None:
    with pytest.raises(ValueError, match=r"zone|length|window has|week"):
        Window(span, length_ms, zone, week_start)


def test_an_instant_out_of_the_calendar_overflows() -> None:
    for now_ms in (10**18, -(10**18)):
        with pytest.raises(OverflowError):
            Window(Span.DAY).bounds(now_ms)


def test_zones_are_found_once() -> None:
    assert find_zone("Europe/Berlin") is find_zone("Europe/Berlin")
    assert find_zone("UTC") is UTC
