"""Counters for Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats/)."""

from collections.abc import Collection
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asr.server.jobs import JobPool

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
JOB_SECONDS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200)  # bounds of the histogram's buckets
OTHER = "other"  # a path that is not among those that are counted by name: clients may ask for any


class Streams(Protocol):
    """Live streams."""

    open: int


class Metrics:
    """What the server counts."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter("asr_requests", "Requests", ["path", "status"], registry=self._registry)
        self._audio = Counter("asr_audio_seconds", "Seconds of audio recognised", registry=self._registry)
        about = "Seconds from request to result"
        self._seconds = Histogram("asr_job_seconds", about, buckets=JOB_SECONDS, registry=self._registry)

    def watch(self, jobs: JobPool, streams: Streams) -> None:
        """Report what runs and waits."""
        running = Gauge("asr_jobs_running", "Jobs that run", registry=self._registry)
        running.set_function(lambda: jobs.running)
        waiting = Gauge("asr_jobs_waiting", "Jobs that wait for a worker", registry=self._registry)
        waiting.set_function(lambda: jobs.waiting)
        live = Gauge("asr_live_streams", "Live streams that are open", registry=self._registry)
        live.set_function(lambda: streams.open)

    def request(self, path: str, status: int) -> None:
        """Count a request."""
        self._requests.labels(path, str(status)).inc()

    def audio(self, seconds: float) -> None:
        """Count recognised audio."""
        self._audio.inc(seconds)

    def seconds(self, seconds: float) -> None:
        """Count a job."""
        self._seconds.observe(seconds)

    def to_text(self) -> bytes:
        """All counters, as Prometheus reads them."""
        return generate_latest(self._registry)


class CountRequests:
    """ASGI middleware: counts requests over HTTP by path and status."""

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: Collection[str]):
        self._app, self._metrics, self._paths = app, metrics, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                path = scope["path"] if scope["path"] in self._paths else OTHER
                self._metrics.request(path, message["status"])
            await send(message)

        await self._app(scope, receive, counted if scope["type"] == "http" else send)
