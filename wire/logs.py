"""CloudWatch Logs as both programs speak it: the target prefix, and how a container's stream is called.

Source: botocore's CloudWatch Logs model (2014-03-28); ECS Developer Guide, "awslogs-stream-prefix".
"""

from collections.abc import Mapping

AWSLOGS = "awslogs"
TARGET_PREFIX = "Logs_20140328"
EVENTS_MAX = 10_000
"""Events in one batch, or in one answer. Source: `PutLogEvents`, `GetLogEvents`."""
MESSAGE_BYTES_MAX = 256 * 1024
"""Source: CloudWatch Logs quotas (event size)."""


def stream_name(options: Mapping[str, str], container: str, task: str) -> str:
    """`prefix/container/task-id`; without a prefix the container's Docker id, which is "" here."""
    prefix = options.get("awslogs-stream-prefix", "")
    return f"{prefix}/{container}/{task.rsplit('/', 1)[-1]}" if prefix else ""
