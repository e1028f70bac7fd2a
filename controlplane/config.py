"""How a control plane is set up. Every setting is checked here, before anything is opened."""

import ipaddress
import os
from pathlib import Path

import msgspec

from controlplane.api.auth import Keys
from controlplane.core.policy import PRESETS

HOST = "127.0.0.1"
PORT = 6333
REGION = "us-east-1"
ACCOUNT = "123456789012"
POLICY = "ecs-2026"
HEALTHY_AFTER_SECONDS = 40.0
"""A task without health check is healthy so long after RUNNING. Source: API reference, `DeploymentConfiguration`."""
TIME_SCALE_MIN, TIME_SCALE_MAX = 1.0, 600.0
LOG_LEVELS = ("debug", "info", "warning", "error")


class SetupError(Exception):
    """What a person has to set right first: one sentence, exit code 2."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one control plane."""

    host: str = HOST
    port: int = PORT
    """0 takes a free one."""
    data_dir: Path | None = None
    """Where the state is kept; None keeps it in memory, for as long as the process lives."""
    region: str = REGION
    account: str = ACCOUNT
    policy: str = POLICY
    """Name of the preset that new clusters get."""
    healthy_after_seconds: float = HEALTHY_AFTER_SECONDS
    time_scale: float = 1.0
    """How much faster the scaler's clock runs than the wall's (`core.capacity.pace`)."""
    keys: Keys | None = None
    log_level: str = "warning"
    allow_reset: bool = False
    """Whether `POST /_berth/reset` empties everything."""
    check_answers: bool = False
    """Whether every answer is held against the ECS model; one that deviates is logged and becomes a ServerException."""


def check(config: Config) -> None:
    """Refuse settings that cannot work.

    Raises:
        SetupError: one sentence for a person.
    """
    if config.policy not in PRESETS:
        raise SetupError(f"Unknown policy {config.policy!r}; there are {', '.join(PRESETS)}.")
    if config.keys is None and not is_loopback(config.host):
        raise SetupError(
            f"To listen on {config.host}, beyond this machine, set BERTH_ACCESS_KEY_ID and BERTH_SECRET_ACCESS_KEY."
        )
    if config.healthy_after_seconds < 0:
        raise SetupError("BERTH_HEALTHY_AFTER_SECONDS must be 0 or more.")
    if not TIME_SCALE_MIN <= config.time_scale <= TIME_SCALE_MAX:
        raise SetupError(f"BERTH_TIME_SCALE must be from {TIME_SCALE_MIN:g} to {TIME_SCALE_MAX:g}.")
    if config.data_dir is not None:
        _check_data_dir(config.data_dir)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_data_dir(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"The data directory {path} cannot be made: {error.strerror}.") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise SetupError(f"The data directory {path} is not writable.")
