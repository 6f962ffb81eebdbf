"""Counters for Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats/)."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from asr.server.jobs import JobPool
from asr.server.live import LiveStreams

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """What the server counts."""

    def __init__(self, jobs: JobPool, streams: LiveStreams):
        self._registry = CollectorRegistry()
        self._requests = Counter("asr_requests", "Requests", ["path", "status"], registry=self._registry)
        self._audio = Counter("asr_audio_seconds", "Seconds of audio recognised", registry=self._registry)
        self._seconds = Histogram("asr_job_seconds", "Seconds from request to result", registry=self._registry)
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
