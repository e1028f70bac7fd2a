"""Images over Docker Engine: what is here, what a registry has, pulls that end when nothing comes any more.

A definite answer of a registry (no such image, not for us) is told apart from one that may change.
Source of the error names: amazon-ecs-agent `dockerclient/dockerapi/errors.go`.
"""

import base64
import threading
import time
from typing import Any

import docker
import docker.errors
import msgspec
import requests
from docker.utils import parse_repository_tag

from agent.runtime.port import Image, Login, RefusedError, RuntimeCallError

CONNECT_SECONDS = 10
_DEFINITE = ("not found", "manifest unknown", "access denied", "denied:", "unauthorized", "invalid reference")
_TRANSIENT = ("no such host", "connection refused", "timeout", "toomanyrequests", "i/o")
_ID = "sha256:"
_SCHEMA_1 = "schema"
"""Docker cannot tell the digest of a first-generation manifest; the pull itself may work."""
FRESH_SECONDS = 1.0
"""A task's start looks at its image twice, and tasks that come together have the same one."""
KEPT_MAX = 64


class Images:
    """What is here, a moment old at most: while containers start, each question costs those behind it."""

    def __init__(self, client: docker.APIClient) -> None:
        self._client = client
        self._kept: dict[str, tuple[float, Image]] = {}
        self._changes = 0

    def local(self, name: str) -> Image | None:
        """The image of this name on the host; one that is missing is looked for anew each time."""
        at, changes = time.monotonic(), self._changes
        kept = self._kept.get(name)
        if kept is not None and at - kept[0] < FRESH_SECONDS:
            return kept[1]
        found = local(self._client, name)
        if found is not None and changes == self._changes:
            if len(self._kept) >= KEPT_MAX:
                self._kept.clear()
            self._kept[name] = (at, found)
        return found

    def changed(self) -> None:
        """We have pulled or removed one; a look that is under way is not kept, either."""
        self._changes += 1
        self._kept.clear()


def local(client: docker.APIClient, name: str) -> Image | None:
    """The image of this name on the host."""
    try:
        found = client.inspect_image(name)  # type: ignore[no-untyped-call]
    except docker.errors.ImageNotFound:
        return None
    except (docker.errors.APIError, requests.exceptions.RequestException) as error:
        raise RuntimeCallError("CannotPullContainerError", explain(error)) from error
    repository = parse_repository_tag(name)[0]
    digests = dict(digest.split("@", 1) for digest in found.get("RepoDigests") or ())
    config = found.get("Config") or {}
    return Image(
        image_id=found["Id"],
        digest=digests.get(repository, next(iter(digests.values()), "")),
        variables=frozenset(pair.partition("=")[0] for pair in config.get("Env") or ()),
        stop_signal=config.get("StopSignal") or "",
    )


def manifest(client: docker.APIClient, name: str, login: Login | None) -> str:
    """The digest that the registry has for `name`; empty where this engine cannot tell."""
    try:
        answer = client.inspect_distribution(name, auth_config=_auth_config(login))  # type: ignore[no-untyped-call]
    except (docker.errors.APIError, requests.exceptions.RequestException) as error:
        text = explain(error)
        if _SCHEMA_1 in text:
            return ""
        raise _error("CannotPullImageManifestError", text) from error
    return str(answer["Descriptor"]["digest"])


def pull(
    client: docker.APIClient, name: str, login: Login | None, inactivity_seconds: float, left: threading.Event
) -> None:
    """Pull, reading Docker's progress line by line; ends when `left` is set (Docker then stops as well)."""
    repository, tag = parse_repository_tag(name)
    headers = {"X-Registry-Auth": _auth_header(login)} if login else {}
    try:
        with client.post(
            f"{client.base_url}/v{client.api_version}/images/create",
            params={"fromImage": repository, "tag": tag or "latest"},
            headers=headers,
            stream=True,
            timeout=(CONNECT_SECONDS, inactivity_seconds),
        ) as answer:
            if not answer.ok:
                raise _error("CannotPullContainerError", _message(answer.content))
            for line in answer.iter_lines():
                if left.is_set():
                    return
                _refuse_error(line)
    except requests.exceptions.ConnectionError as error:
        if "timed out" not in str(error).lower():
            raise RuntimeCallError("CannotPullContainerError", str(error)) from error
        raise _inactive(inactivity_seconds) from error
    except requests.exceptions.Timeout as error:
        raise _inactive(inactivity_seconds) from error
    except requests.exceptions.RequestException as error:
        raise RuntimeCallError("CannotPullContainerError", str(error)) from error


def remove(client: docker.APIClient, name: str) -> None:
    """Remove a name of an image, or by its id one without a name; what a container still has stays, with an error."""
    try:
        if name.startswith(_ID) and client.inspect_image(name)["RepoTags"]:  # type: ignore[no-untyped-call]
            raise RuntimeCallError("CannotRemoveImageError", "it has got a name, which is not ours to take")
        client.remove_image(name)
    except docker.errors.ImageNotFound:
        pass
    except (docker.errors.APIError, requests.exceptions.RequestException) as error:
        raise RuntimeCallError("CannotRemoveImageError", explain(error)) from error


def explain(error: Exception) -> str:
    """Docker's own words where it said something."""
    if isinstance(error, docker.errors.APIError) and error.explanation:
        return str(error.explanation)
    return str(error)


def _refuse_error(line: bytes) -> None:
    progress: dict[str, Any] = msgspec.json.decode(line, type=dict[str, Any]) if line else {}
    if "error" in progress:
        raise _error("CannotPullContainerError", str(progress["error"]))


def _error(name: str, text: str) -> RuntimeCallError:
    """Amazon's words, which are Docker's client's: `Error response from daemon: ...`."""
    lowered = text.lower()
    may_change = any(word in lowered for word in _TRANSIENT)
    is_definite = not may_change and any(word in lowered for word in _DEFINITE)
    return (RefusedError if is_definite else RuntimeCallError)(name, f"Error response from daemon: {text}")


def _inactive(seconds: float) -> RuntimeCallError:
    return RuntimeCallError(
        "CannotPullContainerError", f"inactivity time exceeded timeout while pulling image: {seconds:.0f}s"
    )


def _message(body: bytes) -> str:
    try:
        return str(msgspec.json.decode(body)["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return body.decode(errors="replace")


def _auth_config(login: Login | None) -> dict[str, str] | None:
    return {"username": login.username, "password": login.password} if login else None


def _auth_header(login: Login) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(_auth_config(login))).decode()
