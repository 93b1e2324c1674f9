"""No personal value reaches a log line."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from agent.telemetry import set_up_logging

PHONE = "+2348012345678"


@pytest.fixture(autouse=True)
def logging_of_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_personal_values_are_dropped_at_any_depth(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info")
    nested = {"phone": PHONE, "list": [{"body": PHONE, "ok": 1}]}
    structlog.get_logger("duly.test").info("sent", loan="L1", Address=PHONE, nested=nested)
    (line,) = lines(capsys)
    assert PHONE not in json.dumps(line)
    assert (line["event"], line["loan"], line["level"]) == ("sent", "L1", "info")
    assert line["nested"] == {"list": [{"ok": 1}]}
    assert line["dropped"] == ["Address", "body", "phone"]


def test_an_exception_is_named_without_its_message(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info")
    try:
        raise ValueError(PHONE)
    except ValueError:
        structlog.get_logger("duly.test").exception("failed")
        logging.getLogger("some.library").exception("failed too")
    for line in lines(capsys):
        assert line["exception"] == "builtins.ValueError"
        assert PHONE not in json.dumps(line)
        assert "test_telemetry.py" in json.dumps(line["places"])


def test_libraries_that_log_arguments_are_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info")
    logging.getLogger("arq.worker").info("job(%s)", PHONE)
    logging.getLogger("aiohttp.access").info("GET /b/token")
    assert lines(capsys) == []


def test_lines_below_the_level_are_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("warning")
    structlog.get_logger("duly.test").info("dropped")
    structlog.get_logger("duly.test").warning("kept")
    assert [line["event"] for line in lines(capsys)] == ["kept"]
