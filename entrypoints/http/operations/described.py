"""The operations for operators as the OpenAPI document describes them."""

from litestar.openapi.spec import OpenAPIMediaType

from entrypoints.http.openapi.components import answer, json_of, text
from entrypoints.http.openapi.operation import operation
from entrypoints.http.openapi.problems import problems

PROMETHEUS_TEXT = "text/plain; version=0.0.4; charset=utf-8"
_OK = json_of("Health", {"status": "ok"})
_READY = json_of("Ready", {"status": "degraded", "reasons": {"storage": "no_space"}})
LIVE = operation(answers={"200": answer("It does.", _OK)} | problems("invalid_parameter", path="/health/live"))
METRICS = operation(
    answers={
        "200": answer(
            "In Prometheus's text format.",
            {PROMETHEUS_TEXT: OpenAPIMediaType(text(), example="drivebay_workers 1.0\n")},
            required=["Cache-Control"],
        )
    }
    | problems("invalid_parameter", "internal_error", path="/metrics")
)
READY = operation(
    answers={
        "200": answer(
            "Blobs are read, and stored: `ok`. Or they are read and deleted, but for a reason that is named, such as"
            " `no_space`, none is stored: `degraded`.",
            _READY,
            required=["Cache-Control"],
        )
    }
    | problems("invalid_parameter", "not_ready", "internal_error", path="/health/ready")
)
