"""What the server counts and measures, in the text format that Prometheus reads."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from ..runtime.embedder import Embedder
from .byte_budget import ByteBudget
from .in_flight import InFlightRequests
from .model_pool import ModelPool

BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, math.inf)
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """`request_ended` counts each request. All else is read from the server's parts when somebody asks for it."""

    def __init__(self, model_pool: ModelPool, in_flight: InFlightRequests, byte_budget: ByteBudget) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "openclip_requests", "Requests answered", ["method", "route", "status"], registry=self._registry
        )
        self._errors = Counter("openclip_errors", "Requests that failed", ["type"], registry=self._registry)
        self._seconds = Histogram(
            "openclip_request_seconds", "From headers to answer", ["route"], buckets=SECONDS, registry=self._registry
        )
        self._stages = Histogram(
            "openclip_stage_seconds",
            "What a request waited for: the slowest of its items",
            ["stage"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self._registry.register(_Readings(model_pool, in_flight, byte_budget))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def request_ended(
        self, method: str, route: str, status: int, error: str | None, seconds: float, stages: Mapping[str, float]
    ) -> None:
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        if error is not None:
            self._errors.labels(error).inc()
        for stage, duration in stages.items():
            self._stages.labels(stage).observe(duration)

    def text(self) -> bytes:
        return generate_latest(self._registry)

    def figures(self) -> list[Metric]:
        return list(self._registry.collect())


class _Readings(Collector):
    def __init__(self, model_pool: ModelPool, in_flight: InFlightRequests, byte_budget: ByteBudget) -> None:
        self._model_pool, self._in_flight, self._byte_budget = model_pool, in_flight, byte_budget

    def collect(self) -> Iterator[Metric]:
        embedders = self._model_pool.loaded()
        yield _gauge("openclip_requests_under_way", "Requests accepted and not answered", len(self._in_flight))
        yield _gauge("openclip_bodies_bytes", "Bytes of request bodies held", self._byte_budget.held)
        yield _gauge("openclip_models_loaded", "Models in memory", len(embedders))
        yield _by_model("openclip_queue_items", "Items in flight", embedders, lambda e: e.queue.items)
        yield _by_model("openclip_queue_bytes", "Bytes these hold", embedders, lambda e: e.queue.bytes)
        yield _by_model(
            "openclip_engine_busy_seconds", "Age of the batch that is computed", embedders, lambda e: e.busy_seconds
        )
        yield from self._batches(embedders)

    def _batches(self, embedders: Mapping[str, Embedder]) -> Iterable[Metric]:
        items = CounterMetricFamily("openclip_items", "Items the engine was given", labels=["model", "kind"])
        sizes = HistogramMetricFamily("openclip_batch_items", "Items in one forward pass", labels=["model", "kind"])
        for model, embedder in embedders.items():
            batches = dict(embedder.batches)  # (kind, size) → how often
            for kind in sorted({kind for kind, _ in batches}):
                of_kind = {size: count for (other, size), count in batches.items() if other == kind}
                total = sum(size * count for size, count in of_kind.items())
                items.add_metric([model, kind], total)
                buckets = [
                    (
                        "+Inf" if bound == math.inf else str(float(bound)),
                        sum(count for size, count in of_kind.items() if size <= bound),
                    )
                    for bound in BATCH_SIZES
                ]
                sizes.add_metric([model, kind], buckets, total)
        return [items, sizes]


def _gauge(name: str, help: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help, value=value)


def _by_model(name: str, help: str, embedders: Mapping[str, Embedder], read: Callable[[Embedder], float]) -> Metric:
    gauge = GaugeMetricFamily(name, help, labels=["model"])
    for model, embedder in embedders.items():
        gauge.add_metric([model], read(embedder))
    return gauge
