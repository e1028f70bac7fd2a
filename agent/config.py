"""The agent's configuration: Amazon's `ECS_*` names, and the few of ours beside them. Environment only.

A value that cannot be read is a sentence and exit code 5 where Amazon's agent would end, else a warning and the
default, as there. Source: amazon-ecs-agent README, `agent/config/config.go`, `parse.go`.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from agent.backend.sigv4 import Credentials
from agent.core.images import CleanUp
from agent.core.pulling import PullBehavior
from agent.core.queueing import QueuePolicy
from agent.core.state import Release, Settings
from agent.core.stopping import GRACE_SECONDS_MIN, GiveUp
from agent.local.settings import BURST, RATE_PER_SECOND, LocalSettings, rate
from agent.logs import LEVELS, LogFormat, LogSettings, Rollover
from agent.machine.attributes import Features
from agent.machine.gpus import INFORMATION_FILE
from agent.pulling import PullSettings
from agent.runtime.credentials import EngineAuth, read_engine_auth
from agent.runtime.kinds import RuntimeKind
from agent.runtime.options import Options, TaskLimits
from agent.variables import remarks
from wire.instance_types import INSTANCE_TYPES, InstanceType, nearest
from wire.resources import RESERVED_PORTS

T = TypeVar("T")

STOP_TIMEOUT_SECONDS = 30.0
CLEANUP_SECONDS = 3 * 3600.0
CLEANUP_SECONDS_MIN = 1.0
CGROUP_PERIOD_SECONDS = 0.008, 0.1
"""Lowest and highest `ECS_CGROUP_CPU_PERIOD`."""
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}
"""Go's `strconv.ParseBool`."""
_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


class ConfigError(Exception):
    """The configuration cannot be used; the message is one sentence."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the environment says."""

    cluster: str
    backend: str
    data_dir: Path
    region: str
    credentials: Credentials
    settings: Settings
    queue: QueuePolicy
    pull: PullSettings
    engine_auth: EngineAuth
    reserved_memory_mib: int
    reserved_ports: frozenset[int]
    reserved_ports_udp: frozenset[int]
    instance_attributes: dict[str, str]
    declared: InstanceType | None
    gpu_file: Path | None
    """Where the host's GPUs stand; None: they are not asked for."""
    zone: str
    run: str
    instance_id: str = ""
    """What EC2 would call the host; "": it makes up a name of its own."""
    runtime: RuntimeKind = RuntimeKind.DOCKER
    script: dict[str, str] = {}
    """Variables of a scripted container that sets none itself."""
    options: Options = Options()
    instance_tags: dict[str, str] = {}
    log: LogSettings = LogSettings()
    local: LocalSettings = LocalSettings()
    features: Features = Features()
    sends_metrics: bool = True
    warnings: tuple[str, ...] = ()


def read(environment: Mapping[str, str]) -> Config:
    """Read the environment.

    Raises:
        ConfigError: something is missing or makes no sense, and no default would be right.
    """
    source = _Source(environment)
    queue, queue_limit_seconds = queue_policy(source.text("ECS_TASK_QUEUE", QueuePolicy.FIFO))
    settings = Settings(
        release=source.choice("ECS_RESOURCE_RELEASE", Release, Release.EAGER),
        give_up=source.choice("ECS_STOP_GIVE_UP", GiveUp, GiveUp.HOLD),
        stop_timeout_seconds=max(source.seconds("ECS_CONTAINER_STOP_TIMEOUT", STOP_TIMEOUT_SECONDS), GRACE_SECONDS_MIN),
        cleanup_seconds=_cleanup_seconds(source),
        cleanup_jitter_seconds=source.seconds("ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION_JITTER", 0),
        pull_upfront=source.flag("ECS_PULL_DEPENDENT_CONTAINERS_UPFRONT"),
        queue_limit_seconds=queue_limit_seconds,
    )
    region = source.text("AWS_DEFAULT_REGION", source.text("AWS_REGION", "us-east-1"))
    return Config(
        cluster=source.text("ECS_CLUSTER", "default"),
        backend=_backend(source.text("ECS_BACKEND_HOST", "")),
        data_dir=Path(source.text("ECS_DATADIR", "/data/")),
        region=region,
        credentials=Credentials(
            source.text("AWS_ACCESS_KEY_ID", "berth"),
            source.text("AWS_SECRET_ACCESS_KEY", "berth"),
            source.text("AWS_SESSION_TOKEN", ""),
        ),
        settings=settings,
        queue=queue,
        pull=_pull(source),
        engine_auth=_engine_auth(source),
        reserved_memory_mib=source.whole("ECS_RESERVED_MEMORY", 0),
        reserved_ports=source.ports("ECS_RESERVED_PORTS", RESERVED_PORTS),
        reserved_ports_udp=source.ports("ECS_RESERVED_PORTS_UDP", frozenset()),
        instance_attributes=source.strings("ECS_INSTANCE_ATTRIBUTES"),
        declared=_declared(source.text("BERTH_INSTANCE_TYPE", "")),
        gpu_file=_gpu_file(source),
        zone=source.text("BERTH_AVAILABILITY_ZONE", f"{region}a"),
        run=source.text("BERTH_RUN", ""),
        instance_id=source.text("BERTH_INSTANCE_ID", ""),
        runtime=source.choice("BERTH_RUNTIME", RuntimeKind, RuntimeKind.DOCKER),
        script=source.strings("BERTH_SCRIPT"),
        options=_options(source),
        instance_tags=source.strings("ECS_CONTAINER_INSTANCE_TAGS"),
        log=_log(source),
        local=_local(source),
        features=_features(source),
        sends_metrics=not source.flag("ECS_DISABLE_METRICS"),
        warnings=(*source.warnings, *remarks(environment, source.read)),
    )


def seconds(text: str) -> float:
    """A Go duration such as `30s`, `1m30s` or `2h`, in seconds.

    Raises:
        ValueError: it is none; a bare number is none either.
    """
    sign, digits = (-1.0, text[1:]) if text.startswith("-") else (1.0, text)
    parts = _DURATION.findall(digits)
    if not parts or "".join(number + unit for number, unit in parts) != digits:
        raise ValueError(f"{text!r} is no duration such as 30s, 10m or 1h")
    return sign * sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)


class _Source:
    """Reads variables; what cannot be read becomes a warning that names it, and the default stands."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.warnings: list[str] = []
        self.read: set[str] = set()

    def text(self, name: str, default: str) -> str:
        self.read.add(name)
        return self._environment.get(name, "").strip() or default

    def choice(self, name: str, kind: Any, default: Any) -> Any:
        text = self.text(name, default)
        try:
            return kind(text)
        except ValueError as error:
            known = ", ".join(kind)
            raise ConfigError(f"{name}={text} is not one of: {known}.") from error

    def seconds(self, name: str, default: float) -> float:
        text = self.text(name, "")
        try:
            return (seconds(text) or default) if text else default
        except ValueError as error:
            self._warn(name, error, f"{default:g}s")
            return default

    def flag(self, name: str, *, default: bool = False) -> bool:
        """The default unless it says otherwise."""
        usual = "true" if default else "false"
        text = self.text(name, usual)
        if text not in _BOOLEANS:
            self._warn(name, f"{text!r} is neither true nor false", usual)
        return _BOOLEANS.get(text, default)

    def whole(self, name: str, default: int) -> int:
        text = self.text(name, str(default))
        if text.isdigit():
            return int(text)
        self._warn(name, f"{text!r} is no whole number", default)
        return default

    def at_least(self, name: str, default: float, least: float) -> float:
        """A duration; a shorter one than `least` is passed over."""
        value = self.seconds(name, default)
        if value >= least:
            return value
        self._warn(name, f"it is less than {least:g}s", f"{default:g}s")
        return default

    def ports(self, name: str, default: frozenset[int]) -> frozenset[int]:
        value = self._json(name, list[int], None)
        return default if value is None else frozenset(value)

    def parsed(self, name: str, parse: Callable[[str], T], default: T) -> T:
        text = self.text(name, "")
        try:
            return parse(text) if text else default
        except ValueError as error:
            self._warn(name, error, default)
            return default

    def words(self, name: str, default: tuple[str, ...]) -> list[str]:
        """A JSON list of strings."""
        value: list[str] = self._json(name, list[str], list(default))
        return value

    def strings(self, name: str) -> dict[str, str]:
        value: dict[str, str] = self._json(name, dict[str, str], {})
        return value

    def _json(self, name: str, kind: Any, default: Any) -> Any:
        text = self.text(name, "")
        try:
            return msgspec.convert(json.loads(text), kind) if text else default
        except (ValueError, msgspec.ValidationError) as error:
            self._warn(name, error, default)
            return default

    def _warn(self, name: str, why: object, instead: object) -> None:
        self.warnings.append(f"{name} is passed over, {instead} is used: {why}.")


def _pull(source: _Source) -> PullSettings:
    clean_up = CleanUp(
        interval_seconds=source.at_least("ECS_IMAGE_CLEANUP_INTERVAL", 30 * 60, 10 * 60),
        age_seconds_min=source.seconds("ECS_IMAGE_MINIMUM_CLEANUP_AGE", 3600),
        images_per_cycle=source.whole("ECS_NUM_IMAGES_DELETE_PER_CYCLE", 5) or 5,
    )
    return PullSettings(
        behavior=source.choice("ECS_IMAGE_PULL_BEHAVIOR", PullBehavior, PullBehavior.DEFAULT),
        inactivity_seconds=source.at_least("ECS_IMAGE_PULL_INACTIVITY_TIMEOUT", 60, 1),
        limit_seconds=source.at_least("ECS_IMAGE_PULL_TIMEOUT", 2 * 3600, 60),
        manifest_limit_seconds=source.at_least("ECS_MANIFEST_PULL_TIMEOUT", 60, 30),
        clean_up=None if source.flag("ECS_DISABLE_IMAGE_CLEANUP") else clean_up,
    )


def _engine_auth(source: _Source) -> EngineAuth:
    kind, data = source.text("ECS_ENGINE_AUTH_TYPE", ""), source.text("ECS_ENGINE_AUTH_DATA", "")
    try:
        return read_engine_auth(kind, data)
    except ValueError as error:
        source.warnings.append(f"ECS_ENGINE_AUTH_DATA is passed over, images are pulled without credentials: {error}.")
        return {}


def queue_policy(text: str) -> tuple[QueuePolicy, float | None]:
    """`ECS_TASK_QUEUE`: the policy, and the longest wait in seconds where it has one.

    Raises:
        ConfigError: it is none.
    """
    if text in list(QueuePolicy):
        return QueuePolicy(text), None
    name, _, limit = text.partition(":")
    if name == QueuePolicy.GREEDY and limit.isdigit() and int(limit) > 0:
        return QueuePolicy.GREEDY, float(limit)
    raise ConfigError(f"ECS_TASK_QUEUE={text} is not one of: fifo, serial, greedy, greedy:SECONDS.")


def _backend(text: str) -> str:
    if not text:
        raise ConfigError(
            "ECS_BACKEND_HOST is not set: give it the control plane's address, such as http://127.0.0.1:6333."
        )
    return text if "://" in text else f"https://{text}"


def _cleanup_seconds(source: _Source) -> float:
    name = "ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION"
    value = source.seconds(name, CLEANUP_SECONDS)
    if value < CLEANUP_SECONDS_MIN:
        source.warnings.append(f"{name} is passed over, 3h is used: it is less than 1s.")
        return CLEANUP_SECONDS
    return value


def _options(source: _Source) -> Options:
    default = Options()
    period_seconds = source.seconds("ECS_CGROUP_CPU_PERIOD", default.cgroup_period_us / 1e6)
    low, high = CGROUP_PERIOD_SECONDS
    return Options(
        task_limits=source.choice("ECS_ENABLE_TASK_CPU_MEM_LIMIT", TaskLimits, TaskLimits.AUTO),
        cgroup_root=Path(source.text("ECS_CGROUP_PATH", str(default.cgroup_root))),
        cgroup_period_us=round(1e6 * min(max(period_seconds, low), high)),
        pids_limit=source.whole("ECS_TASK_PIDS_LIMIT", default.pids_limit),
        refuse_privileged=source.flag("ECS_DISABLE_PRIVILEGED"),
        gpu_runtime=source.text("ECS_NVIDIA_RUNTIME", ""),
        pause_image=source.text("BERTH_PAUSE_IMAGE", default.pause_image),
        create_seconds=round(source.at_least("ECS_CONTAINER_CREATE_TIMEOUT", default.create_seconds, 60)),
        start_seconds=round(source.at_least("ECS_CONTAINER_START_TIMEOUT", default.start_seconds, 45)),
        secrets=source.text("BERTH_SECRETS", ""),
    )


def _log(source: _Source) -> LogSettings:
    level = source.text("ECS_LOGLEVEL", "info").lower()
    if level not in LEVELS:
        source.warnings.append(
            f"ECS_LOGLEVEL is passed over, info is used: {level!r} is not one of {', '.join(LEVELS)}."
        )
        level = "info"
    return LogSettings(
        level=level,
        file=source.text("ECS_LOGFILE", ""),
        rollover=source.parsed("ECS_LOG_ROLLOVER_TYPE", Rollover, Rollover.SIZE),
        file_megabytes_max=source.parsed("ECS_LOG_MAX_FILE_SIZE_MB", float, LogSettings().file_megabytes_max),
        files_max=source.whole("ECS_LOG_MAX_ROLL_COUNT", LogSettings().files_max),
        format=source.parsed("ECS_LOG_OUTPUT_FORMAT", LogFormat, LogFormat.TEXT),
    )


def _features(source: _Source) -> Features:
    return Features(
        drivers=tuple(source.words("ECS_AVAILABLE_LOGGING_DRIVERS", Features().drivers)),
        has_selinux=source.flag("ECS_SELINUX_CAPABLE"),
        has_apparmor=source.flag("ECS_APPARMOR_CAPABLE"),
        has_roles=source.flag("ECS_ENABLE_TASK_IAM_ROLE", default=True),
        has_roles_on_host=source.flag("ECS_ENABLE_TASK_IAM_ROLE_NETWORK_HOST", default=True),
        has_health_checks=not source.flag("ECS_DISABLE_DOCKER_HEALTH_CHECK"),
    )


def _local(source: _Source) -> LocalSettings:
    per_second, burst = source.parsed("ECS_TASK_METADATA_RPS_LIMIT", rate, (RATE_PER_SECOND, BURST))
    return LocalSettings(
        rate_per_second=per_second,
        burst=burst,
        has_metadata_file=source.flag("ECS_ENABLE_CONTAINER_METADATA"),
        host_data_dir=source.text("ECS_HOST_DATA_DIR", ""),
        hides_zone=source.flag("ECS_DISABLE_TASK_METADATA_AZ"),
        serves_roles=source.flag("ECS_ENABLE_TASK_IAM_ROLE", default=True),
        serves_roles_on_host=source.flag("ECS_ENABLE_TASK_IAM_ROLE_NETWORK_HOST", default=True),
        drains_when_interrupted=source.flag("ECS_ENABLE_SPOT_INSTANCE_DRAINING"),
    )


def _gpu_file(source: _Source) -> Path | None:
    path = Path(source.text("BERTH_GPU_FILE", str(INFORMATION_FILE)))
    return path if source.flag("ECS_ENABLE_GPU_SUPPORT") else None


def _declared(name: str) -> InstanceType | None:
    if not name:
        return None
    if name not in INSTANCE_TYPES:
        raise ConfigError(f"BERTH_INSTANCE_TYPE={name} is not known; the nearest are {', '.join(nearest(name))}.")
    return INSTANCE_TYPES[name]
