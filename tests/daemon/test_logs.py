import io
import json
import logging
import warnings
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.daemon.logs import (
    SECRET,
    TEXT_CHARACTERS,
    HumanFormatter,
    JsonFormatter,
    Redaction,
    configure,
    printable,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)


def record(message: str, **extra: Any) -> logging.LogRecord:
    fields = {"name": "monitor.daemon", "levelname": "INFO", "msg": message, "created": 1_700_000_000.5}
    return logging.makeLogRecord({**fields, **extra})


def raised(error: Exception) -> tuple[type[Exception], Exception, TracebackType | None]:
    try:
        raise error
    except type(error):
        return type(error), error, error.__traceback__


def test_terminal_gets_a_line_for_people() -> None:
    configure(stream := Terminal(), Redaction())
    logging.getLogger("monitor.daemon").info("measured %s", "once", extra={"target": "x-home", "status": "accessible"})
    assert stream.getvalue().endswith("Z INFO monitor.daemon: measured once target=x-home status=accessible\n")


def test_anything_else_gets_an_object_a_line() -> None:
    configure(stream := io.StringIO(), Redaction())
    log = logging.getLogger("monitor.daemon")
    log.info("measured", extra={"target": "x-home", "elapsed_seconds": 0.25, "layer": None, "is_deep": False})
    log.warning("slow")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "level": "info",
        "logger": "monitor.daemon",
        "message": "measured",
        "target": "x-home",
        "elapsed_seconds": 0.25,
        "layer": None,
        "is_deep": False,
    }
    assert (second["level"], second["message"]) == ("warning", "slow")


def test_configuring_twice_prints_once() -> None:
    configure(io.StringIO(), Redaction())
    configure(stream := io.StringIO(), Redaction())
    logging.getLogger("monitor").info("once")
    assert stream.getvalue().count("\n") == 1


def test_warnings_of_python_are_logged() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        configure(stream := io.StringIO(), Redaction())
        warnings.warn("old call", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(capture=False)
    assert "old call" in json.loads(stream.getvalue())["message"]


@pytest.mark.parametrize("name", ["httpx", "apscheduler.scheduler"])
def test_libraries_do_not_report_each_request(name: str) -> None:
    configure(stream := io.StringIO(), Redaction())
    logging.getLogger(name).info("GET https://x.com/")
    assert stream.getvalue() == ""


def test_message_of_uvicorn_is_told_once() -> None:
    assert "1mstarted" not in JsonFormatter(Redaction()).format(record("started", color_message="\x1b[1mstarted"))


def test_record_cannot_pass_for_another_by_its_fields() -> None:
    line = JsonFormatter(Redaction()).format(record("true", time="forged", level="forged", logger="forged"))
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.500+00:00",
        "level": "info",
        "logger": "monitor.daemon",
        "message": "true",
    }


@given(st.text(), st.text())
@example("\x7f", "\x7f")
def test_text_from_the_network_stays_on_its_line_without_controls(message: str, title: str) -> None:
    hostile = record("%s", args=(message,), title=title)
    assert HumanFormatter(Redaction()).format(hostile).isprintable()
    line = JsonFormatter(Redaction()).format(hostile)
    assert line.isascii()
    assert line.isprintable()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("a\nINFO forged", r"a\nINFO forged"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\x9b31m", r"\x9b31m"),
        ("\ud800", r"\ud800"),
        ("پاکستان", "پاکستان"),
    ],
)
def test_only_what_could_deceive_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize("formatter", [HumanFormatter, JsonFormatter])
def test_secrets_appear_in_no_part_of_a_line(formatter: type[HumanFormatter | JsonFormatter]) -> None:
    redaction = Redaction(["hunter2", ""])
    redaction.hide(['quo"ted\\secret/', "hunter2-longer"])
    texts = 'hunter2 quo"ted\\secret/ hunter2-longer http://quo%22ted%5Csecret%2F@proxy'
    line = formatter(redaction).format(record(texts, because=texts, nested=[texts], exc_info=raised(ValueError(texts))))
    assert "hunter2" not in line
    assert "quo" not in line
    assert "longer" not in line
    assert line.count(SECRET) == 16


def test_secret_across_the_cut_leaves_no_piece() -> None:
    text = "a" * (TEXT_CHARACTERS - 3) + "hunter2" + "b" * TEXT_CHARACTERS
    line = JsonFormatter(Redaction(["hunter2"])).format(record(text))
    assert "hun" not in line
    assert len(line) < TEXT_CHARACTERS + 200


def test_traceback_of_our_own_mistake_is_kept() -> None:
    broken = record("failed", exc_info=raised(KeyError("lost\x1b[0m")))
    human = HumanFormatter(Redaction()).format(broken).splitlines()
    assert human[1] == "  Traceback (most recent call last):"
    assert all(line.isprintable() for line in human)
    assert "KeyError" in json.loads(JsonFormatter(Redaction()).format(broken))["traceback"]
