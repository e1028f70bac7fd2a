"""Every variable that Amazon's agent knows, and what becomes of it here. Data; what is honoured is read by `config.py`.

A name that is in no table here, and not read, is a mistake of whoever set it, and gets a warning with the nearest name.
Source of the names: amazon-ecs-agent README, `agent/config/config.go`, `config_unix.go`, `parse.go`.
"""

from collections.abc import Collection, Mapping

READ_ELSEWHERE = ("DOCKER_HOST",)
"""By the Docker SDK."""

_EC2 = "it is about EC2, and this agent asks no instance metadata"
_ECS_INIT = "it is for ecs-init, the service around Amazon's agent; there is none here"
_ENI = "it is about EC2's network interfaces"
_WINDOWS = "it is for Windows"
_HARDWARE = "it is about hardware that this agent does not hand out"
_UNTRACKED = "what is not of this agent is never touched"
_UPDATES = "this agent does not replace itself"

NOT_APPLICABLE: dict[str, str] = {
    "CREDENTIALS_FETCHER_HOST": _WINDOWS,
    "CREDENTIALS_FETCHER_SECRET_NAME_FOR_DOMAINLESS_GMSA": _WINDOWS,
    "ECS_AGENT_APPARMOR_PROFILE": _ECS_INIT,
    "ECS_AGENT_CONFIG_FILE_PATH": "the environment is the only configuration",
    "ECS_AGENT_HEALTHCHECK_HOST": "ask `/v1/metadata` of the introspection port, on the loopback",
    "ECS_AGENT_LABELS": _ECS_INIT,
    "ECS_AGENT_PID_NAMESPACE_HOST": _ECS_INIT,
    "ECS_ALLOW_OFFHOST_INTROSPECTION_ACCESS": "introspection listens on the loopback alone",
    "ECS_ALTERNATE_CREDENTIAL_PROFILE": "the agent's keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "ECS_AUDIT_LOGFILE": "there is no audit log; the story has what the agent did",
    "ECS_AUDIT_LOGFILE_DISABLED": "there is no audit log; the story has what the agent did",
    "ECS_AWSVPC_ADDITIONAL_LOCAL_ROUTES": _ENI,
    "ECS_AWSVPC_BLOCK_IMDS": _EC2,
    "ECS_CHECKPOINT": "the agent's state is always on disk",
    "ECS_CNI_PLUGINS_PATH": "Docker's own networks are used, without plugins",
    "ECS_CONTAINER_INSTANCE_PROPAGATE_TAGS_FROM": _EC2,
    "ECS_DETAILED_OS_FAMILY": _ECS_INIT,
    "ECS_DYNAMIC_HOST_PORT_RANGE": "Docker chooses dynamic ports, from the system's ip_local_port_range",
    "ECS_EBSTA_SUPPORTED": "there are no EBS volumes",
    "ECS_ENABLE_AWSLOGS_EXECUTIONROLE_OVERRIDE": "awslogs are answered here, without a role",
    "ECS_ENABLE_CPU_UNBOUNDED_WINDOWS_WORKAROUND": _WINDOWS,
    "ECS_ENABLE_FIRELENS_ASYNC": "there is no FireLens",
    "ECS_ENABLE_HIGH_DENSITY_ENI": _ENI,
    "ECS_ENABLE_INF_SUPPORT": _HARDWARE,
    "ECS_ENABLE_MEMORY_UNBOUNDED_WINDOWS_WORKAROUND": _WINDOWS,
    "ECS_ENABLE_PROMETHEUS_METRICS": "metrics are always on, at `/metrics` of the introspection port",
    "ECS_ENABLE_RUNTIME_STATS": "it is Go's profiler",
    "ECS_ENABLE_TASK_ENI": _ENI,
    "ECS_ENABLE_UNTRACKED_IMAGE_CLEANUP": _UNTRACKED,
    "ECS_EXCLUDE_IPV6_PORTBINDING": "`::` bindings are never reported",
    "ECS_EXCLUDE_UNTRACKED_IMAGE": _UNTRACKED,
    "ECS_EXTERNAL": "every host is taken as it is, on EC2 or not",
    "ECS_FSX_WINDOWS_FILE_SERVER_SUPPORTED": _WINDOWS,
    "ECS_GMSA_SUPPORTED": _WINDOWS,
    "ECS_INSTANCE_IP_COMPATIBILITY": "the agent speaks to Docker and to its control plane as it is told to",
    "ECS_LOGLEVEL_ON_INSTANCE": "there is one log, of one level: ECS_LOGLEVEL",
    "ECS_LOG_DRIVER": _ECS_INIT,
    "ECS_LOG_OPTS": _ECS_INIT,
    "ECS_OFFHOST_INTROSPECTION_INTERFACE_NAME": _ECS_INIT,
    "ECS_PAUSE_LABELS": "it is about Amazon's pause image",
    "ECS_SKIP_LOCALHOST_TRAFFIC_FILTER": _ECS_INIT,
    "ECS_UPDATES_ENABLED": _UPDATES,
    "ECS_UPDATE_DOWNLOAD_DIR": _UPDATES,
    "ECS_VOLUME_PLUGIN_CAPABILITIES": "it is about EFS",
    "ECS_WARM_POOLS_CHECK": _EC2,
    "HTTP_PROXY": "the agent speaks to its control plane directly",
    "NONECS_NUM_CONTAINERS_DELETE_PER_CYCLE": _UNTRACKED,
    "NON_ECS_IMAGE_MINIMUM_CLEANUP_AGE": _UNTRACKED,
    "NO_PROXY": "the agent speaks to its control plane directly",
}
"""Name and reason."""

NOT_YET: dict[str, str] = {
    "ECS_POLLING_METRICS_WAIT_DURATION": "containers are read from their cgroups, every 10s",
    "ECS_POLL_METRICS": "containers are read from their cgroups",
    "ECS_PROPAGATE_TASK_MEMORY_LIMIT_CGROUPV2": "there is no cgroup of the task under cgroup v2",
    "ECS_SHARED_VOLUME_MATCH_FULL_CONFIG": "a shared volume is matched by its name",
}
"""Name, and how things are without it. Whoever builds one takes its line out."""

GIVEN_TO_CONTAINERS = frozenset(
    {
        "ECS_AGENT_URI",
        "ECS_CONTAINER_METADATA_FILE",
        "ECS_CONTAINER_METADATA_URI",
        "ECS_CONTAINER_METADATA_URI_V4",
    }
)
"""What an agent that runs in an ECS task finds in its own environment; no mistake of anybody."""

_PREFIXES = ("ECS_", "NON_ECS_", "NONECS_", "BERTH_")
_NEAREST = 0.75
_QUIET = frozenset({"HTTP_PROXY", "NO_PROXY"})
"""Set on many machines for others' sake."""


def remarks(environment: Mapping[str, str], read: Collection[str]) -> list[str]:
    """A sentence for every variable that is set and has no effect; `read` are the names that have one."""
    said = []
    known = {*read, *NOT_APPLICABLE, *NOT_YET, *READ_ELSEWHERE}
    for name in sorted(environment):
        if not environment[name].strip() or name in read or name in _QUIET:
            continue
        if name in NOT_APPLICABLE:
            said.append(f"{name} has no effect here: {NOT_APPLICABLE[name]}.")
        elif name in NOT_YET:
            said.append(f"{name} has no effect yet: {NOT_YET[name]}.")
        elif name.startswith(_PREFIXES) and name not in GIVEN_TO_CONTAINERS:
            near = _nearest(name, known)
            said.append(f"{name} is not known and has no effect" + (f"; did you mean {near}?" if near else "."))
    return said


def _nearest(name: str, known: Collection[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - as in wire/instance_types.py

    return next(iter(get_close_matches(name, known, n=1, cutoff=_NEAREST)), "")
