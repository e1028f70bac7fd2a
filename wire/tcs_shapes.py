"""Messages of the Telemetry Collection Service: what runs costs, how it is, whether the container runtime answers.

Source: amazon-ecs-agent `ecs-agent/tcs/model/api/api-2.json`; recorded traffic. Agents send each frame with a block of
signed HTTP headers in front of the JSON; a control plane answers with bare frames. Timestamps are epoch seconds.
"""

import msgspec

from wire.envelope import Frame, decode_frame, encode_frame

HEADERS_END = "\r\n\r\n"
TASKS_MAX = 10
"""Tasks in one message at most; the last message of a round says `fin`."""


class _Shape(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True, kw_only=True):
    """Amazon's spelling on the wire, ours in the code."""


class StatsSet(_Shape, frozen=True, omit_defaults=False):
    """Samples since the last message, summed up."""

    min: float = 0
    max: float = 0
    sample_count: int = 0
    sum: float = 0


class CountersSet(_Shape, frozen=True, omit_defaults=False):
    """The same for a counter; what does not fit 64 bits goes over into the `overflow` members, so they stay 0 here."""

    min: int = 0
    max: int = 0
    sample_count: int = 0
    sum: int = 0
    overflow_min: int = 0
    overflow_max: int = 0
    overflow_sum: int = 0


class NetworkStatsSet(_Shape, frozen=True):
    """Counters of a container's network interfaces."""

    rx_bytes: CountersSet
    rx_dropped: CountersSet
    rx_errors: CountersSet
    rx_packets: CountersSet
    tx_bytes: CountersSet
    tx_dropped: CountersSet
    tx_errors: CountersSet
    tx_packets: CountersSet
    rx_bytes_per_second: StatsSet
    tx_bytes_per_second: StatsSet


class StorageStatsSet(_Shape, frozen=True):
    """Bytes read from and written to block devices."""

    read_size_bytes: CountersSet
    write_size_bytes: CountersSet


class RestartStatsSet(_Shape, frozen=True, omit_defaults=False):
    """How often the restart policy has started the container again."""

    restart_count: int = 0


class ContainerMetric(_Shape, frozen=True):
    """One container. CPU is percent of the whole instance, memory MiB without the page cache."""

    container_name: str
    container_arn: str = ""
    cpu_stats_set: StatsSet | None = None
    memory_stats_set: StatsSet | None = None
    network_stats_set: NetworkStatsSet | None = None
    storage_stats_set: StorageStatsSet | None = None
    restart_stats_set: RestartStatsSet | None = None


class TaskMetric(_Shape, frozen=True):
    """One task that runs."""

    task_arn: str
    cluster_arn: str = ""
    task_definition_family: str = ""
    task_definition_version: str = ""
    container_metrics: list[ContainerMetric] = []


class MetricsMetadata(_Shape, frozen=True):
    """Who publishes. `idle`: nothing runs."""

    cluster: str = ""
    container_instance: str = ""
    message_id: str = ""
    fin: bool | None = None
    idle: bool | None = None


class PublishMetricsRequest(_Shape, frozen=True):
    """What the containers used since the last time."""

    metadata: MetricsMetadata
    timestamp: float = 0
    task_metrics: list[TaskMetric] = []


class ContainerHealth(_Shape, frozen=True):
    """HEALTHY, UNHEALTHY or UNKNOWN, since when, and what the check has said."""

    container_name: str
    health_status: str = "UNKNOWN"
    status_since: float = 0
    status_message: str = ""


class TaskHealth(_Shape, frozen=True):
    """The containers of a task that have a health check of their own."""

    task_arn: str
    cluster_arn: str = ""
    task_definition_family: str = ""
    task_definition_version: str = ""
    containers: list[ContainerHealth] = []


class HealthMetadata(_Shape, frozen=True):
    """Who publishes."""

    cluster: str = ""
    container_instance: str = ""
    message_id: str = ""
    fin: bool | None = None


class PublishHealthRequest(_Shape, frozen=True):
    """How the containers are that have a health check."""

    metadata: HealthMetadata
    tasks: list[TaskHealth] = []
    timestamp: float = 0


class InstanceStatusMetadata(_Shape, frozen=True):
    """Who publishes."""

    cluster: str = ""
    container_instance: str = ""
    request_id: str = ""


class InstanceStatus(_Shape, frozen=True):
    """`type` is ContainerRuntime; `status` INITIALIZING, OK, IMPAIRED or INSUFFICIENT_DATA."""

    type: str
    status: str
    status_reason: str = ""
    last_updated: float = 0
    last_status_change: float = 0


class PublishInstanceStatusRequest(_Shape, frozen=True):
    """Whether the container runtime of the instance answers."""

    metadata: InstanceStatusMetadata
    statuses: list[InstanceStatus] = []
    timestamp: float = 0


class Heartbeat(_Shape, frozen=True, omit_defaults=False):
    """Something that the agent must hear every 60 s. Its frame is a `HeartbeatMessage`."""

    healthy: bool = True


class Ack(_Shape, frozen=True, omit_defaults=False):
    """Answer to a publication. Its frame's type is named in `ACKS`."""

    message: str = "ok"


Publication = PublishMetricsRequest | PublishHealthRequest | PublishInstanceStatusRequest

ACKS = {
    PublishMetricsRequest.__name__: "AckPublishMetric",
    PublishHealthRequest.__name__: "AckPublishHealth",
    PublishInstanceStatusRequest.__name__: "AckPublishInstanceStatus",
}
"""Type of the answer to each publication."""


def encode_publication(message: Publication, headers: dict[str, str]) -> str:
    """A frame as agents send it: signed headers by name, an empty line, the JSON."""
    block = "".join(f"{name}: {headers[name]}\r\n" for name in sorted(headers))
    return f"{block}\r\n{publication_json(message)}"


def publication_json(message: Publication) -> str:
    """What the headers sign."""
    return encode_frame(type(message).__name__, message)


def decode_publication(text: str | bytes) -> Frame:
    """Read a frame of an agent, with or without its headers.

    Raises:
        msgspec.MsgspecError: there is no frame behind them.
    """
    whole = text.decode(errors="replace") if isinstance(text, bytes) else text
    if whole.lstrip().startswith("{"):
        return decode_frame(whole)
    return decode_frame(whole.partition(HEADERS_END)[2])
