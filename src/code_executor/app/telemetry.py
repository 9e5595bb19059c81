"""Whether, and where to, this process tells OpenTelemetry: by the standard variables ``OTEL_*`` alone.

Without them, and without the extra ``otel``, nothing is loaded and nothing is put around a run.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import structlog

from code_executor._version import __version__

if TYPE_CHECKING:
    from code_executor.service.telemetry import Telemetry

log = structlog.get_logger()

_PROTOCOLS = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}


class _NoTelemetryError(Exception):
    """It is configured, and cannot be had."""


def is_configured() -> bool:
    return bool(_exporter("TRACES") or _exporter("METRICS"))


def has_traces() -> bool:
    """Whether spans are sent anywhere, and not measurements alone."""
    return bool(_exporter("TRACES"))


def is_installed() -> bool:
    try:
        return find_spec("opentelemetry.sdk") is not None
    except ModuleNotFoundError:  # nothing of it at all
        return False


def _exporter(signal: str) -> str:
    """Return the name of the exporter for ``TRACES`` or ``METRICS``; empty for none."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return ""
    otlp = "OTEL_EXPORTER_OTLP_"
    there = os.environ.get(f"{otlp}{signal}_ENDPOINT") or os.environ.get(f"{otlp}ENDPOINT")
    name = os.environ.get(f"OTEL_{signal}_EXPORTER", "").strip() or ("otlp" if there else "none")
    if name == "otlp":
        protocol = os.environ.get(f"{otlp}{signal}_PROTOCOL") or os.environ.get(f"{otlp}PROTOCOL")
        return _PROTOCOLS.get(protocol or "http/protobuf", f"otlp over {protocol}")
    return "" if name == "none" else name


def from_environment() -> Telemetry | None:
    """Return what the variables ask for; None where they ask for nothing. It is ended with the process.

    If it cannot be had, the log says so: that is no reason to serve nobody.
    """
    if not is_configured():
        return None
    try:
        return _make()
    except _NoTelemetryError as error:
        log.warning("no_telemetry", why=str(error))
        return None


def _make() -> Telemetry:
    try:
        from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415  # takes a while, and only some have it
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

        from code_executor.service.telemetry import Telemetry  # noqa: PLC0415
    except ImportError:
        raise _NoTelemetryError("the extra is missing: pip install 'code-executor[otel]'") from None
    about = {"service.name": os.environ.get("OTEL_SERVICE_NAME") or "code-executor", "service.version": __version__}
    resource = Resource.create({**about, "process.pid": os.getpid()})
    tracers = TracerProvider(resource=resource)
    if spans := _exporter("TRACES"):
        tracers.add_span_processor(BatchSpanProcessor(_made("traces", spans)))
    measured = _exporter("METRICS")
    readers = [PeriodicExportingMetricReader(_made("metrics", measured))] if measured else []
    return Telemetry(tracers, MeterProvider(readers, resource=resource), __version__)


def _made(signal: str, name: str) -> Any:
    found = entry_points(group=f"opentelemetry_{signal}_exporter", name=name)
    if not found:
        raise _NoTelemetryError(f"no exporter {name!r} for {signal} is installed")
    return next(iter(found)).load()()


def note_trace(_: object, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add the ids of the current span to a log line."""
    from opentelemetry import trace  # noqa: PLC0415  # not without the extra

    current = trace.get_current_span().get_span_context()
    if current.is_valid:
        line["trace_id"] = trace.format_trace_id(current.trace_id)
        line["span_id"] = trace.format_span_id(current.span_id)
    return line
