"""What the control plane counts, for Prometheus. Counters only; the story is what tells."""

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector


class _Requests(Collector):
    """API calls by operation and answer: a counter without the lock that one for many threads has."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], int] = {}
        self._since: dict[tuple[str, str], float] = {}

    def count(self, operation: str, code: str) -> None:
        answer = operation, code
        if answer in self.counts:
            self.counts[answer] += 1
        else:
            self.counts[answer], self._since[answer] = 1, time.time()

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(
            "berth_api_requests", "API calls, by operation and answer.", labels=("operation", "code")
        )
        for answer, count in self.counts.items():
            family.add_metric(answer, count, created=self._since[answer])
        yield family


class Metrics:
    """The counters of one control plane, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = _Requests()
        self._registry.register(self._requests)
        self.count_request = self._requests.count
        self.conflicts = Counter(
            "berth_conflicts", "Plans that met another and were decided anew.", registry=self._registry
        )
        self.agents_connected = Gauge(
            "berth_agents_connected", "Instances with an open ACS session.", registry=self._registry
        )
        self.payloads = Counter(
            "berth_acs_payloads", "Payload messages sent to agents, repeats included.", registry=self._registry
        )
        self.readers_cut = Counter(
            "berth_story_readers_cut", "Readers of the story that were too slow.", registry=self._registry
        )

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        text: bytes = generate_latest(self._registry)
        return text
