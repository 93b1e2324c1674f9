"""Logs and metrics. No personal value leaves the process through either.

Log lines are JSON on stderr. Values under personal names are dropped, at any depth; of an exception
only its type and the places in the code are written, because messages quote values (PostgreSQL's do).
"""

import logging
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from types import TracebackType
from typing import Any

import structlog
from prometheus_client import CollectorRegistry
from structlog.typing import Processor

REGISTRY = CollectorRegistry()  # our own: what is exported is what we chose

PERSONAL = frozenset(
    (
        *("name", "given_name", "family_name", "full_name", "birthday", "national_id"),
        *("address", "addresses", "phone", "msisdn", "number", "email", "to", "recipient"),
        *("body", "content", "message", "text", "title", "payload", "personal"),
        *("headers", "query", "token", "url"),
    )
)
_QUIET = (
    "arq",
    "aiohttp.access",
    "apscheduler",
    "asyncio",
    "twilio",
)  # arq logs arguments, aiohttp addresses, Twilio's library whole requests


def drop_personal(
    _logger: Any, _method: str, line: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Remove what may name a person; `dropped` says which names were used, so that code gets fixed."""
    dropped: set[str] = set()
    kept = _without_personal(line, dropped)
    if dropped:
        kept["dropped"] = sorted(dropped)
    return kept


def _without_personal(values: Mapping[str, Any], dropped: set[str]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in values.items():
        if key.lower() in PERSONAL:
            dropped.add(key)
        else:
            kept[key] = _cleaned(value, dropped)
    return kept


def _cleaned(value: Any, dropped: set[str]) -> Any:
    if isinstance(value, Mapping):
        return _without_personal(value, dropped)
    if isinstance(value, list | tuple):
        return [_cleaned(each, dropped) for each in value]
    return value


def name_exception(
    _logger: Any, _method: str, line: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Type and places of an exception, without its message."""
    given = line.pop("exc_info", None)
    problem = sys.exc_info()[1] if given is True else given
    if isinstance(problem, tuple):
        problem = problem[1]
    if isinstance(problem, BaseException):
        line["exception"] = f"{type(problem).__module__}.{type(problem).__qualname__}"
        line["places"] = _places(problem.__traceback__)
    return line


def _places(trace: TracebackType | None) -> list[str]:
    return [
        f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)
    ]


def set_up_logging(level: str) -> None:
    """Send our lines and the libraries' to stderr as JSON."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name_exception,
        drop_personal,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(),
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
