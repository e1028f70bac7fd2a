"""How a control plane is set up. Every setting is checked here, before anything is opened."""

import ipaddress
import os
from pathlib import Path

import msgspec

from controlplane.api.keys import KeyRing
from controlplane.api.rates import Throttle
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
    keys: KeyRing | None = None
    tls_cert: Path | None = None
    """Certificate (PEM, its chain behind it); None: plain HTTP."""
    tls_key: Path | None = None
    throttle: Throttle = Throttle.OFF
    log_level: str = "warning"
    events_webhook: str = ""
    """URL that every event is POSTed to."""
    events_file: Path | None = None
    """File that every event is appended to."""
    haproxy: str = "haproxy"
    """The program that carries traffic: a name on the PATH, or a path. Nothing runs before there is a listener."""
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
            f"To listen on {config.host}, beyond this machine, set BERTH_ACCESS_KEY_ID and BERTH_SECRET_ACCESS_KEY, "
            "or BERTH_KEYS_FILE."
        )
    if (config.tls_cert is None) != (config.tls_key is None):
        raise SetupError("BERTH_TLS_CERT and BERTH_TLS_KEY go together.")
    if config.events_webhook and not config.events_webhook.startswith(("http://", "https://")):
        raise SetupError(f"BERTH_EVENTS_WEBHOOK is {config.events_webhook!r}, but must be an http or https URL.")
    if config.events_file is not None and not config.events_file.absolute().parent.is_dir():
        raise SetupError(f"The folder of BERTH_EVENTS_FILE, {config.events_file.absolute().parent}, is not there.")
    if not TIME_SCALE_MIN <= config.time_scale <= TIME_SCALE_MAX:
        raise SetupError(f"BERTH_TIME_SCALE must be from {TIME_SCALE_MIN:g} to {TIME_SCALE_MAX:g}.")
    if not 0 <= config.healthy_after_seconds < float("inf"):
        raise SetupError("BERTH_HEALTHY_AFTER_SECONDS must be 0 or more.")
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
