"""Logs: one form for all, and no secrets."""

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from tallystick.observe.logs import REDACTED, configure, debug_enabled, redact


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("tallystick")
    before = (root.handlers[:], root.level, ours.level)
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def test_events_are_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    structlog.get_logger("tallystick.engine").info("policy applied", version=3, tenant="acme")
    (line,) = lines(capsys)
    assert datetime.fromisoformat(line.pop("timestamp")).tzinfo == UTC
    assert line == {
        "event": "policy applied",
        "level": "info",
        "logger": "tallystick.engine",
        "version": 3,
        "tenant": "acme",
    }


def test_libraries_come_out_in_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    logging.getLogger("uvicorn.error").warning("slow %s", "client", extra={"port": 1})
    logging.getLogger("grpc").error("broken")
    logging.getLogger("uvicorn.error").info("too much to tell")
    logging.getLogger("tallystick.store").info("ours")
    told = lines(capsys)
    assert [(line["event"], line["level"], line["logger"]) for line in told] == [
        ("slow client", "warning", "uvicorn.error"),
        ("broken", "error", "grpc"),
        ("ours", "info", "tallystick.store"),
    ]
    assert told[0]["port"] == 1


def test_levels(capsys: pytest.CaptureFixture[str]) -> None:
    configure("warning")
    log = structlog.get_logger("tallystick")
    log.info("no")
    log.warning("yes")
    assert not debug_enabled()
    configure("debug")
    assert debug_enabled()
    structlog.get_logger("tallystick").debug("now")
    logging.getLogger("grpc").info("also")
    logging.getLogger("grpc").debug("not")
    assert [line["event"] for line in lines(capsys)] == ["yes", "now", "also"]


def test_configured_twice_tells_once(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    configure()
    structlog.get_logger("tallystick").info("once")
    assert len(lines(capsys)) == 1


def failing() -> None:
    local = "".join(["hid", "den"])
    raise ValueError(f"wrong length {len(local)}")


def test_exceptions_are_told_without_local_variables(capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("json", "text"):
        configure("info", form)
        try:
            failing()
        except ValueError:
            structlog.get_logger("tallystick").exception("failed")
        told = capsys.readouterr().err
        assert "ValueError: wrong length 6" in told
        assert "hidden" not in told
        assert len(told.splitlines()) == 1 or form == "text"


@pytest.mark.parametrize(
    "key",
    [
        *("authorization", "api_key", "key", "token", "password", "tally", "body", "prompt"),
        *("Authorization", "x-api-key", "apiKey", "APIKey", "access_token", "proxy-authorization"),
        *(
            "HTTPAuthorization",
            "request_body",
            "store_password",
            "tokens",
            "client.secret",
            "keys",
            "apikeys",
        ),
    ],
)
def test_secrets_are_replaced(key: str) -> None:
    for event in ({key: "s3cret"}, {"a": {key: ["s3cret"]}}, {"a": [{"b": ({key: b"s3cret"},)}]}):
        told = json.dumps(redact(None, "info", dict(event)))
        assert "s3cret" not in told
        assert REDACTED in told


def test_secrets_are_replaced_on_the_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("json", "text"):
        configure("info", form)
        with structlog.contextvars.bound_contextvars(token="s3cret"):
            structlog.get_logger("tallystick").info(
                "call", password="s3cret", headers={"x-api-key": "s3cret"}
            )
        logging.getLogger("grpc").error("call", extra={"prompt": "s3cret"})
        told = capsys.readouterr().err
        assert "s3cret" not in told
        assert told.count(REDACTED) == 4


def test_counts_are_not_secrets() -> None:
    event = {"prompt_tokens": 12, "tokens_per_second": 1.5, "tally": 7, "keyboard": "qwerty", "monkey": "yes"}
    assert redact(None, "info", dict(event)) == {**event, "tally": REDACTED}


def test_endless_nesting_ends() -> None:
    knot: dict[str, Any] = {}
    knot["again"] = [knot]
    assert REDACTED in json.dumps(redact(None, "info", knot))


def test_text_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "text")
    structlog.get_logger("tallystick").info("policy applied", version=3)
    told = capsys.readouterr().err
    assert "policy applied" in told
    assert "version=3" in told
