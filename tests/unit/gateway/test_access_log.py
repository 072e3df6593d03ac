"""What becomes of Envoy's access log."""

from pathlib import Path

import pytest

from tallystick.gateway import access_log
from tallystick.gateway.access_log import AccessLog


@pytest.fixture
def log(tmp_path: Path) -> AccessLog:
    return AccessLog(tmp_path / "access.log")


@pytest.mark.parametrize("text", [None, ""])
def test_without_a_line_there_is_nothing_to_replay(log: AccessLog, text: str | None) -> None:
    if text is not None:
        log.path.write_text(text)
    assert not log.set_aside()


def test_lines_are_set_aside_until_they_were_replayed(log: AccessLog) -> None:
    log.path.write_text("one\n")
    assert log.set_aside()
    assert not log.path.exists()
    log.path.write_text("two\n")
    assert log.set_aside(), "the replay was interrupted"
    assert log.unsettled.read_text() == "one\ntwo\n"
    assert log.set_aside(), "and again, with nothing new"
    log.replayed()
    assert log.last.read_text() == "one\ntwo\n"
    assert not log.set_aside()


def test_a_long_one_is_turned_and_only_that(log: AccessLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log, "MOST_BYTES", 4)
    assert not log.turn()
    log.path.write_text("abc")
    assert not log.turn()
    log.path.write_text("abcd")
    assert log.turn()
    assert (log.path.exists(), log.last.read_text()) == (False, "abcd")
