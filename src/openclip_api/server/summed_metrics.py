"""What all workers of a server count, as if it was one process."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

MOST = {"openclip_models_loaded", "openclip_engine_busy_seconds", "python_info", "process_max_fds"}
LEAST = {"process_start_time_seconds"}
CREATED = "_created"  # when a counter began


def packed(figures: Sequence[Metric]) -> bytes:
    return pickle.dumps(list(figures))


def unpacked(data: bytes) -> list[Metric]:
    figures: list[Metric] = pickle.loads(data)  # noqa: S301  # of another worker of this server
    return figures


def summed_text(of_workers: Sequence[Sequence[Metric]], workers: int) -> bytes:
    """In Prometheus's format. of_workers: the figures of those that told theirs, out of so many workers."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Summed(of_workers, workers))
    return generate_latest(registry)


class _Summed(Collector):
    def __init__(self, of_workers: Sequence[Sequence[Metric]], workers: int) -> None:
        self._of_workers, self._workers = of_workers, workers

    def collect(self) -> Iterator[Metric]:
        told = len(self._of_workers)
        yield GaugeMetricFamily("openclip_workers", "Workers whose figures are added up here", value=told)
        yield GaugeMetricFamily(
            "openclip_workers_silent", "Workers whose figures are missing here", value=self._workers - told
        )
        families: dict[str, list[Metric]] = {}
        for figures in self._of_workers:
            for family in figures:
                families.setdefault(family.name, []).append(family)
        for same in families.values():
            yield _added_up(same)


def _added_up(same: Sequence[Metric]) -> Metric:
    values: dict[tuple[str, tuple[tuple[str, str], ...]], list[float]] = {}
    for family in same:
        for sample in family.samples:
            values.setdefault((sample.name, tuple(sorted(sample.labels.items()))), []).append(sample.value)
    first = same[0]
    whole = Metric(first.name, first.documentation, first.type)
    whole.samples = [Sample(name, dict(labels), _rule(name)(found)) for (name, labels), found in values.items()]
    return whole


def _rule(name: str) -> Callable[[Iterable[float]], float]:
    if name in MOST:
        return max
    return min if name in LEAST or name.endswith(CREATED) else sum
