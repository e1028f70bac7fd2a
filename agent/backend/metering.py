"""Readings of containers become Amazon's stats sets: least, most, sum and number of the samples since the last message.

Nothing is kept but these sums and the last reading of each container that runs, so it is as large as there are
containers. Source: amazon-ecs-agent `agent/stats/queue.go`, `container.go`.
"""

from typing import Any

from agent.machine.stats import Network, Reading, cpu_percent
from wire.tcs_shapes import ContainerMetric, CountersSet, NetworkStatsSet, StatsSet, StorageStatsSet

BYTES_PER_MIB = 1 << 20
SAMPLES_MIN = 2
"""Fewer readings since the last message make no metric."""

_COUNTERS = Network.__struct_fields__
_RATES = ("rx_bytes", "tx_bytes")


class _Sum:
    """Least, most, sum and number of what was added."""

    def __init__(self) -> None:
        self.least = self.most = self.total = 0.0
        self.number = 0

    def add(self, value: float) -> None:
        self.least = min(self.least, value) if self.number else value
        self.most = max(self.most, value) if self.number else value
        self.total += value
        self.number += 1

    def stats(self) -> StatsSet:
        return StatsSet(min=self.least, max=self.most, sample_count=self.number, sum=self.total)

    def counters(self) -> CountersSet:
        return CountersSet(min=int(self.least), max=int(self.most), sample_count=self.number, sum=int(self.total))


class Meter:
    """The samples of one container."""

    def __init__(self, cores: float) -> None:
        """`cores` of the whole instance: CPU is told in percent of it."""
        self._cores = cores
        self._last: Reading | None = None
        self._begin()

    def add(self, reading: Reading) -> None:
        """Take a reading in."""
        last, self._last = self._last, reading
        self._sums["memory"].add(max(reading.memory_bytes - reading.cache_bytes, 0) // BYTES_PER_MIB)
        self._sums["read"].add(reading.read_bytes)
        self._sums["written"].add(reading.written_bytes)
        for name in _COUNTERS if reading.network else ():
            self._sums[name].add(getattr(reading.network, name))
        if last is None:
            return
        percent = cpu_percent(last, reading, self._cores)
        if percent is not None:
            self._sums["cpu"].add(percent)
        if last.network and reading.network and reading.at > last.at:
            for name in _RATES:
                rate = (getattr(reading.network, name) - getattr(last.network, name)) / (reading.at - last.at)
                self._sums[f"{name}_per_second"].add(max(rate, 0.0))

    def take(self, name: str) -> ContainerMetric | None:
        """The metric of the container `name` since the last call; None where there are too few samples yet."""
        sums = self._sums
        if sums["memory"].number < SAMPLES_MIN or not sums["cpu"].number:
            return None
        self._begin()
        network = None
        if sums["rx_bytes"].number:
            members: dict[str, Any] = {name: sums[name].counters() for name in _COUNTERS}
            members |= {f"{name}_per_second": sums[f"{name}_per_second"].stats() for name in _RATES}
            network = NetworkStatsSet(**members)
        return ContainerMetric(
            container_name=name,
            cpu_stats_set=sums["cpu"].stats(),
            memory_stats_set=sums["memory"].stats(),
            network_stats_set=network,
            storage_stats_set=StorageStatsSet(
                read_size_bytes=sums["read"].counters(), write_size_bytes=sums["written"].counters()
            ),
        )

    def _begin(self) -> None:
        rates = [f"{name}_per_second" for name in _RATES]
        self._sums = {name: _Sum() for name in ("cpu", "memory", "read", "written", *_COUNTERS, *rates)}
