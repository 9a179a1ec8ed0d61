"""What the server counts, for Prometheus. Counted where requests arrive, so that one place knows all."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The figures of one server."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter("alexnet_requests", "Requests answered.", ["path", "status"], registry=registry)
        self.seconds = Histogram(
            "alexnet_request_seconds", "Until a request was answered.", ["path"], buckets=SECONDS, registry=registry
        )
        self.pictures = Counter("alexnet_pictures", "Pictures answered or refused.", ["status"], registry=registry)
        self.batches = Histogram(
            "alexnet_batch_pictures", "Pictures in a batch.", buckets=(1, 2, 4, 8, 16, 32), registry=registry
        )
        self.waiting = Gauge("alexnet_pictures_waiting", "Pictures in the line.", registry=registry)
        self.buffered = Gauge("alexnet_upload_bytes", "Bytes of uploads in memory.", registry=registry)
        self.ready = Gauge("alexnet_processes_ready", "Model processes that take pictures.", registry=registry)
        self.restarts = Gauge("alexnet_process_restarts", "Model processes started anew.", registry=registry)

    def text(self) -> bytes:
        """All figures, as Prometheus reads them."""
        return generate_latest(self.registry)
