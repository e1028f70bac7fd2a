"""`awslogs`, answered locally: the container logs to Docker's json-file, and labels say where its lines are shipped.

Every other driver passes through to Docker. Source: Docker's `awslogs` driver; ECS Developer Guide, "awslogs".
"""

from typing import Any

from agent.core.spec import ContainerSpec, TaskSpec
from wire.logs import AWSLOGS, stream_name

GROUP_LABEL = "berth.log-group"
STREAM_LABEL = "berth.log-stream"
"""Empty: the container's Docker id, as Docker's driver has it."""
LOCAL_DRIVER: dict[str, Any] = {"Type": "json-file", "Config": {"max-size": "16m", "max-file": "2"}}
"""Lines stand here until they are shipped, and for `docker logs`; two files of 16 MB at most."""


def localise(config: dict[str, Any], task: TaskSpec, container: ContainerSpec, secret_options: dict[str, str]) -> None:
    """Give `config` its log driver: Docker's own, or ours in place of `awslogs`.

    Raises:
        ValueError: `awslogs` without a group.
    """
    host = config["HostConfig"]
    log = host.get("LogConfig")
    if not log:
        return
    options = {**(log.get("Config") or {}), **secret_options}
    if log.get("Type") != AWSLOGS:
        host["LogConfig"] = {"Type": log.get("Type", ""), "Config": options}
        return
    group = options.get("awslogs-group", "")
    if not group:
        raise ValueError(f"the log driver of container {container.name!r} is awslogs, and awslogs-group is missing")
    host["LogConfig"] = LOCAL_DRIVER
    stream = stream_name(options, container.name, task.arn)
    config["Labels"] = {**config["Labels"], GROUP_LABEL: group, STREAM_LABEL: stream}
