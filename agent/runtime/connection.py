"""How this machine's Docker Engine is reached, and what is removed by a label alone."""

import time
from collections.abc import Callable

import docker
import docker.errors
import docker.utils

from agent.runtime.port import ForbiddenError, UnreachableError
from agent.runtime.spec import INSTANCE_LABEL

THREADS = 4
PROBE_SECONDS = 2
"""Limit of the question whether an engine is there. Source: `doctor/docker_runtime_healthcheck.go`."""
QUICK_SECONDS = 30
"""Limit of inspect, list and kill. Source: `dockerclient/timeout.go`."""
SLOW_SECONDS = 240
"""Limit of remove and of what is made for tasks. Source: `dockerclient/timeout.go`."""
SWEEPS_MAX, SWEEP_AGAIN_SECONDS = 100, 0.1
"""Docker may still make or remove what an agent asked for before it was killed."""


class UnsweptError(Exception):
    """What was to be removed is still there; the message is one sentence."""


def connect(timeout_seconds: int | None) -> docker.APIClient:
    """A client of the engine that `DOCKER_HOST` names, or of the local socket.

    Raises:
        UnreachableError: no engine answers; one sentence says what to do.
        ForbiddenError: its socket may not be opened by this user.
    """
    try:
        client = docker.APIClient(
            version="auto",
            timeout=timeout_seconds,  # type: ignore[arg-type] # None is "for ever", as in requests
            num_pools=THREADS,
            **docker.utils.kwargs_from_env(),
        )
    except docker.errors.DockerException as error:
        raise _unreachable(str(error)) from error
    if is_local(client):
        client.trust_env = False  # neither proxies nor ~/.netrc stand before a socket; looking costs a third of a call
    return client


def is_local(client: docker.APIClient) -> bool:
    """Whether its engine is behind a socket of this machine."""
    return str(client.base_url).startswith("http+docker://")


def probe() -> None:
    """See whether an engine answers. Raises as `connect` does."""
    connect(PROBE_SECONDS).close()


def sweep(run: str, instance: str = "") -> int:
    """Remove every container that carries `berth.run=<run>`, running or not, then volumes and networks.

    With `instance` (ARN) only those of that one host. Returns how many containers. What somebody else removes at the
    same time (an agent that still ends, a second sweep) is removed, too.

    Raises:
        UnsweptError: somebody makes new ones faster than they are removed, or Docker keeps them.
    """
    client = connect(SLOW_SECONDS)
    mine = {"label": [f"berth.run={run}", *([f"{INSTANCE_LABEL}={instance}"] if instance else [])]}
    found: set[str] = set()
    for _ in range(SWEEPS_MAX):
        rows = client.containers(all=True, filters=mine)
        for row in rows:
            found.add(row["Id"])
            _unless_gone(client.remove_container, row["Id"], v=True, force=True)
        if not rows:
            break
        time.sleep(SWEEP_AGAIN_SECONDS)
    else:
        raise UnsweptError(
            f"Containers with the label berth.run={run} are still there after {SWEEPS_MAX} rounds: does an agent of"
            " that run still live?"
        )
    for volume in client.volumes(mine)["Volumes"] or ():
        _unless_gone(client.remove_volume, volume["Name"])
    for network in client.networks(filters=mine):
        _unless_gone(client.remove_network, network["Id"])
    return len(found)


def _unless_gone(remove: Callable[..., object], name: str, **how: bool) -> None:
    """Remove something that somebody else may be removing."""
    try:
        remove(name, **how)
    except docker.errors.NotFound:
        pass
    except docker.errors.APIError as error:
        if "is already in progress" not in str(error):
            raise


def _unreachable(text: str) -> UnreachableError:
    if "Permission denied" in text or "PermissionError" in text:
        return ForbiddenError(
            "The Docker socket may not be opened by this user: join the group `docker`, or run as root."
        )
    return UnreachableError(
        "No Docker Engine answers: start it (`systemctl start docker`, Docker Desktop, or `make engine` in a checkout)"
        " or point DOCKER_HOST at one."
    )
