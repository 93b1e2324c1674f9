"""The API described as OpenAPI 3.1. Kept by hand; a test holds it equal to the routes."""

from typing import Any

from agent.api.events import EVENTS_MAX
from agent.api.outcomes import PAGE, PAGE_MAX


def _answer(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _problem(text: str) -> dict[str, Any]:
    return {
        "description": text,
        "content": {"application/problem+json": {"schema": _ref("Problem")}},
    }


def _guarded(scope: str, *more: tuple[str, str]) -> dict[str, Any]:
    return {
        "401": _problem("No key, or an unknown one"),
        "403": _problem(f"The key lacks the scope {scope}"),
        **{status: _problem(text) for status, text in more},
        "503": _problem("The database does not answer; safe to send again"),
    }


_INTEGER = {"type": "integer", "minimum": 0}
_COUNTS = {"type": "object", "additionalProperties": _INTEGER}
_OBJECT: dict[str, Any] = {"type": "object"}

_SCHEMAS: dict[str, Any] = {
    "Problem": {
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": _INTEGER,
            "detail": {"type": "string"},
        },
    },
    "Outcome": {
        "type": "object",
        "description": "A CloudEvent. Its id is the idempotency key; sequence counts per subject.",
        "required": ["specversion", "id", "source", "type", "subject", "time", "sequence", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"type": "string"},
            "source": {"type": "string"},
            "type": {"type": "string"},
            "subject": {"type": "string", "description": "The loan's reference"},
            "time": {"type": "string", "format": "date-time"},
            "sequence": {"type": "integer", "minimum": 1},
            "data": _OBJECT,
        },
    },
    "Page": {
        "type": "object",
        "required": ["outcomes", "next"],
        "properties": {
            "outcomes": {"type": "array", "items": _ref("Outcome")},
            "next": {"type": ["string", "null"], "description": "Cursor of the next page"},
        },
    },
    "Ids": {
        "type": "object",
        "required": ["ids"],
        "properties": {"ids": {"type": "array", "maxItems": PAGE_MAX, "items": {"type": "string"}}},
    },
    "Acknowledged": {
        "type": "object",
        "required": ["acknowledged", "already", "unknown"],
        "properties": {
            "acknowledged": _INTEGER,
            "already": _INTEGER,
            "unknown": {"type": "array", "items": _INTEGER, "description": "Places in the list"},
        },
    },
    "Taken": {
        "type": "object",
        "required": ["accepted", "duplicate", "rejected", "reasons", "problems"],
        "properties": {
            "accepted": _INTEGER,
            "duplicate": _INTEGER,
            "rejected": _INTEGER,
            "reasons": _COUNTS,
            "problems": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "event": {"type": "integer", "minimum": 1},
                        "reason": {"type": "string"},
                        "detail": {"type": "string"},
                    },
                },
            },
            "problems_left_out": _INTEGER,
        },
    },
}


def _query(name: str, text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": text, "schema": schema}


_EVENTS_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/cloudevents-batch+json": {
            "schema": {"type": "array", "maxItems": EVENTS_MAX, "items": _OBJECT}
        },
        "application/cloudevents+json": {"schema": _OBJECT},
        "application/json": {"schema": {"type": ["array", "object"]}},
        "application/x-ndjson": {"schema": {"type": "string"}},
    },
}

_PATHS: dict[str, Any] = {
    "/livez": {
        "get": {
            "summary": "The process answers",
            "security": [],
            "responses": {"200": _answer("It does", _OBJECT)},
        }
    },
    "/readyz": {
        "get": {
            "summary": "The database takes writes",
            "security": [],
            "responses": {
                "200": _answer("It does", _OBJECT),
                "503": _answer("It does not", _OBJECT),
            },
        }
    },
    "/metrics": {
        "get": {
            "summary": "Counts for Prometheus",
            "security": [],
            "responses": {
                "200": {
                    "description": "Text exposition format",
                    "content": {"text/plain": {"schema": {"type": "string"}}},
                }
            },
        }
    },
    "/openapi.json": {
        "get": {
            "summary": "This description",
            "security": [],
            "responses": {"200": _answer("OpenAPI 3.1", _OBJECT)},
        }
    },
    "/v1/events": {
        "post": {
            "summary": "Ledger events in, each once by its id",
            "requestBody": _EVENTS_BODY,
            "responses": {
                "200": _answer("What became of them", _ref("Taken")),
                **_guarded(
                    "events:write",
                    ("400", "Not JSON"),
                    ("413", "Too large"),
                    ("415", "Neither a CloudEvents batch nor NDJSON"),
                ),
            },
        }
    },
    "/v1/outcomes": {
        "get": {
            "summary": "Outcomes not acknowledged, in order per loan",
            "parameters": [
                _query("portfolio", "Needed if there are several", {"type": "string"}),
                _query("cursor", "From the page before", {"type": "string"}),
                _query(
                    "limit",
                    "Outcomes a page",
                    {"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE},
                ),
            ],
            "responses": {
                "200": _answer("A page", _ref("Page")),
                **_guarded("outcomes:read", ("400", "A parameter cannot be used")),
            },
        }
    },
    "/v1/outcomes/ack": {
        "post": {
            "summary": "Acknowledge outcomes by their ids",
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": _ref("Ids")}},
            },
            "responses": {
                "200": _answer("What was done", _ref("Acknowledged")),
                **_guarded("outcomes:read", ("400", "Not a list of ids")),
            },
        }
    },
}

DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {
        "title": "Duly",
        "version": "1",
        "description": "Ledger events in, outcomes out. Errors are problem+json.",
    },
    "security": [{"key": []}],
    "paths": _PATHS,
    "components": {
        "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        "schemas": _SCHEMAS,
    },
}
