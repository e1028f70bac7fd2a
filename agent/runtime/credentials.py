"""Credentials of registries: the agent's own (`ECS_ENGINE_AUTH_*`), and a container's (`registryAuthentication`).

Nothing of them is ever logged, told or written to disk.
Source: amazon-ecs-agent README (ECS_ENGINE_AUTH_TYPE), `dockerclient/dockerauth`.
"""

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from agent.core.spec import RegistryAuthentication
from agent.runtime.port import Login, RuntimeCallError

DOCKER_HUB = "index.docker.io"
EngineAuth = dict[str, Login]
"""Credentials by the host of the registry."""
SecretOf = Callable[[str], Awaitable[str]]
"""The text of a secret by its name or ARN. Raises KeyError where there is none."""


def read_engine_auth(kind: str, text: str) -> EngineAuth:
    """Read `ECS_ENGINE_AUTH_DATA` of type `docker` (user name and password) or `dockercfg` (base64).

    Raises:
        ValueError: it is neither; the message says nothing of what it holds.
    """
    if not kind:
        return {}
    if kind not in ("docker", "dockercfg"):
        raise ValueError(f"ECS_ENGINE_AUTH_TYPE={kind} is not docker or dockercfg")
    try:
        entries = msgspec.json.decode(text, type=dict[str, dict[str, Any]])
        return {registry_host(registry): _login(entry) for registry, entry in entries.items()}
    except (msgspec.MsgspecError, KeyError, ValueError):
        raise ValueError(f"it is not what ECS_ENGINE_AUTH_TYPE={kind} asks for") from None


def registry_host(registry: str) -> str:
    """`https://index.docker.io/v1/` and `index.docker.io` are one."""
    host = registry.removeprefix("https://").removeprefix("http://").partition("/")[0]
    return DOCKER_HUB if host == "docker.io" else host


def host_of(image: str) -> str:
    """The registry that an image's name points at."""
    first, slash, _ = image.partition("/")
    is_host = bool(slash) and ("." in first or ":" in first or first == "localhost")
    return registry_host(first) if is_host else DOCKER_HUB


class Logins:
    """Finds the credentials for an image."""

    def __init__(self, engine_auth: EngineAuth, secret_of: SecretOf | None = None) -> None:
        self._engine_auth = engine_auth
        self._secret_of = secret_of

    async def login_of(self, image: str, registry: RegistryAuthentication | None) -> Login | None:
        """The container's own credentials, else the agent's for that registry, else None.

        Raises:
            RuntimeCallError: CannotPullContainerAuthError; the container's credentials cannot be had.
        """
        if registry is None:
            return self._engine_auth.get(host_of(image))
        if registry.kind != "asm" or self._secret_of is None:
            raise RuntimeCallError(
                "CannotPullContainerAuthError", f"this host has no source of {registry.kind} registry credentials"
            )
        try:
            secret = await self._secret_of(registry.parameter)
        except KeyError as error:
            raise RuntimeCallError("CannotPullContainerAuthError", str(error.args[0])) from None
        try:
            return _login(msgspec.json.decode(secret, type=dict[str, Any]))
        except (KeyError, ValueError, TypeError, AttributeError, msgspec.MsgspecError):
            raise RuntimeCallError(
                "CannotPullContainerAuthError", f"the secret {registry.parameter} holds no user name and password"
            ) from None


def _login(entry: dict[str, Any]) -> Login:
    if "auth" in entry:
        username, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
        return Login(username, password)
    return Login(entry["username"], entry["password"])
