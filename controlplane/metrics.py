"""What the control plane counts, for Prometheus. Counters only; the story is what tells."""

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest


class Metrics:
    """The counters of one control plane, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "berth_api_requests", "API calls, by operation and answer.", ("operation", "code"), registry=self._registry
        )
        self._by_answer: dict[tuple[str, str], Counter] = {}
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

    def count_request(self, operation: str, code: str) -> None:
        """One API call and its answer."""
        counter = self._by_answer.get((operation, code))
        if counter is None:
            counter = self._by_answer[operation, code] = self.requests.labels(operation, code)
        counter.inc()

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        text: bytes = generate_latest(self._registry)
        return text
