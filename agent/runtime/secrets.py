"""Values of `secrets` and `environmentFiles`, looked up where `BERTH_SECRETS` says: a JSON file, or a URL prefix.

A value goes into Docker's create call and nowhere else: not into the journal, the story or a log. The file is
`{"ssm": {name: value}, "secretsmanager": {name: value or object}, "s3": {"bucket/key.env": text}}`; of a URL prefix
`<prefix>/ssm/<name>`, `<prefix>/secretsmanager/<name>` and `<prefix>/s3/<bucket>/<key>` are asked for.
Source: ECS Developer Guide, "Pass sensitive data", "Use environment files"; amazon-ecs-agent `taskresource/envFiles`.
"""

import asyncio
import json
import re
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import requests

from agent.core.spec import ContainerSpec, Secret
from agent.runtime.port import RuntimeCallError

LOOK_UP_SECONDS = 10
VALUE_BYTES_MAX = 64 * 1024
"""Source: Secrets Manager quota for a secret's value."""
FILE_BYTES_MAX = 4 * 1024 * 1024
HTTP_OK, HTTP_NOT_FOUND = 200, 404
_RANDOM_SUFFIX = re.compile(r"-[A-Za-z0-9]{6}$")
"""Secrets Manager puts it behind the name in an ARN."""


class Reference(NamedTuple):
    """Where a value is kept: `store` is `ssm`, `secretsmanager` or `s3`; `key` one member of a JSON value."""

    store: str
    name: str
    key: str = ""


class _LookUpError(Exception):
    """One sentence that names the reference, never a value."""


class Secrets:
    """The store that `BERTH_SECRETS` names."""

    def __init__(self, source: str) -> None:
        self._source = source

    def of(self, container: ContainerSpec) -> tuple[dict[str, str], dict[str, str]]:
        """(variables of the container, options of its log driver), with their values.

        Raises:
            RuntimeCallError: ResourceInitializationError, where one cannot be had.
        """
        environment: dict[str, str] = {}
        log_options: dict[str, str] = {}
        try:
            for arn in container.environment_files:
                for name, value in _rows(self._text(reference_of(arn))).items():
                    environment.setdefault(name, value)
            for secret in container.secrets:
                target = log_options if secret.for_log_driver else environment
                target[secret.name] = self._secret(secret)
        except _LookUpError as error:
            text = f"unable to pull secrets or registry auth: container {container.name}: {error}"
            raise RuntimeCallError("ResourceInitializationError", text) from None
        return environment, log_options

    async def registry(self, parameter: str) -> str:
        """What Secrets Manager has under a name or ARN: the credentials of a registry.

        Raises:
            KeyError: it cannot be had; the message names it, never a value.
        """
        reference = reference_of(parameter)
        if not parameter.startswith("arn:"):
            reference = Reference("secretsmanager", parameter)
        try:
            return await asyncio.to_thread(self._text, reference)
        except _LookUpError as error:
            raise KeyError(str(error)) from None

    def _secret(self, secret: Secret) -> str:
        reference = reference_of(secret.value_from)
        value = self._text(reference)
        if not reference.key:
            return value
        try:
            member = json.loads(value)[reference.key]
        except (ValueError, KeyError, TypeError):
            raise _LookUpError(f"{_shown(reference)} has no member {reference.key!r}") from None
        return member if isinstance(member, str) else json.dumps(member)

    def _text(self, reference: Reference) -> str:
        if not self._source:
            raise _LookUpError(f"{_shown(reference)} cannot be had: BERTH_SECRETS is not set on this host")
        is_url = self._source.startswith(("http://", "https://"))
        value = self._from_url(reference) if is_url else self._from_file(reference)
        if value is None:
            raise _LookUpError(f"{_shown(reference)} is not there")
        return value if isinstance(value, str) else json.dumps(value)

    def _from_file(self, reference: Reference) -> Any:
        path = Path(self._source)
        try:
            if path.stat().st_size > FILE_BYTES_MAX:
                raise _LookUpError(f"the file of BERTH_SECRETS is larger than {FILE_BYTES_MAX} bytes")
            stores = json.loads(path.read_text())
        except OSError as error:
            raise _LookUpError(f"the file of BERTH_SECRETS cannot be read ({error.strerror})") from None
        except ValueError:
            raise _LookUpError("the file of BERTH_SECRETS is no JSON") from None
        values = stores.get(reference.store, {}) if isinstance(stores, dict) else {}
        return next((values[name] for name in _names(reference) if name in values), None)

    def _from_url(self, reference: Reference) -> str | None:
        for name in _names(reference):
            url = f"{self._source.rstrip('/')}/{reference.store}/{quote(name.lstrip('/'))}"
            try:
                answer = requests.get(url, timeout=LOOK_UP_SECONDS, stream=True)
                with answer:
                    text = answer.raw.read(VALUE_BYTES_MAX + 1, decode_content=True)
            except (requests.exceptions.RequestException, OSError) as error:
                raise _LookUpError(f"{_shown(reference)} cannot be had: {type(error).__name__} at {url}") from None
            if answer.status_code == HTTP_OK and len(text) <= VALUE_BYTES_MAX:
                return str(text.decode(errors="replace"))
            if answer.status_code != HTTP_NOT_FOUND:
                raise _LookUpError(f"{_shown(reference)} cannot be had: HTTP {answer.status_code} or too long at {url}")
        return None


def reference_of(value_from: str) -> Reference:
    """Read `valueFrom`, or the `value` of an environment file; a plain name is a parameter of SSM."""
    parts = value_from.split(":")
    if parts[0] != "arn":
        return Reference("ssm", value_from)
    service, resource = [*parts, "", "", ""][2], parts[5:]
    match service:
        case "secretsmanager":
            _, name, key, *_ = [*resource, "", "", ""]
            return Reference("secretsmanager", name, key)
        case "s3":
            return Reference("s3", ":".join(resource))
        case _:
            return Reference("ssm", ":".join(resource).removeprefix("parameter"))


def _names(reference: Reference) -> list[str]:
    """The names under which it may be kept, the most exact first."""
    names = [reference.name]
    if reference.store == "ssm":
        names.append(reference.name.lstrip("/"))
    elif reference.store == "secretsmanager":
        names.append(_RANDOM_SUFFIX.sub("", reference.name))
    return list(dict.fromkeys(names))


def _rows(text: str) -> dict[str, str]:
    """`NAME=value` lines; empty ones and those that begin with # are passed over, so is what has no `=`."""
    rows = (line.strip() for line in text.splitlines())
    pairs = (row.partition("=") for row in rows if row and not row.startswith("#") and "=" in row)
    return {name.strip(): value for name, _, value in pairs}


def _shown(reference: Reference) -> str:
    return f"{reference.store} {reference.name}"
