"""Questions about containers that nobody's life depends on: what metadata and statistics are made of.

They have threads and connections of their own, so that a flood of them never holds up a signal. Equal questions that
come at the same moment are asked once.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import docker
import docker.errors
import requests

from agent.runtime.connection import connect

T = TypeVar("T")

THREADS = 2
LIMIT_SECONDS = 5
"""Of one question. Source: amazon-ecs-agent `task_server_setup.go` (read and write timeouts)."""
FRESH_SECONDS = 0.5
KEPT_MAX = 256
"""Answers kept for FRESH_SECONDS; the oldest go first."""

Answer = dict[str, Any] | None


class DockerLooks:
    """Asks the local Docker Engine."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, "docker-look")
        self._client: docker.APIClient | None = None
        self._asking: dict[tuple[str, str], asyncio.Task[Answer]] = {}
        self._kept: dict[tuple[str, str], tuple[float, Answer]] = {}

    async def describe(self, docker_id: str, *, fresh: bool = False) -> Answer:
        """Docker's inspect; None where it does not know the container or does not answer."""
        return await self._ask(("inspect", docker_id), lambda: self._docker().inspect_container(docker_id), fresh=fresh)

    async def usage(self, docker_id: str) -> Answer:
        """Docker's statistics, with the second sample that percentages need; None where the container does not run."""
        usage = await self._ask(("stats", docker_id), lambda: self._docker().stats(docker_id, stream=False))
        return usage if usage and not usage["read"].startswith("0001") else None

    async def gateway(self) -> str | None:
        """The host's address on Docker's default bridge, such as 172.17.0.1; None where it is not known."""
        bridge = await self._ask(("network", "bridge"), lambda: self._docker().inspect_network("bridge"))
        for config in ((bridge or {}).get("IPAM") or {}).get("Config") or []:
            if "." in config.get("Gateway", ""):
                return str(config["Gateway"])
        return None

    async def close(self) -> None:
        """Ask no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _docker(self) -> docker.APIClient:
        if self._client is None:
            self._client = connect(LIMIT_SECONDS)
        return self._client

    async def _ask(self, key: tuple[str, str], call: Callable[[], Any], *, fresh: bool = False) -> Answer:
        loop = asyncio.get_running_loop()
        kept = self._kept.get(key)
        if kept is not None and not fresh and loop.time() - kept[0] < FRESH_SECONDS:
            return kept[1]
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = loop.create_task(self._ask_docker(key, call))
        return await asyncio.shield(asking)  # one that asked and went away takes no answer from the others

    async def _ask_docker(self, key: tuple[str, str], call: Callable[[], Any]) -> Answer:
        loop = asyncio.get_running_loop()
        try:
            answer = await loop.run_in_executor(self._pool, _or_none, call)
            self._keep(key, loop.time(), answer)
            return answer
        finally:
            del self._asking[key]

    def _keep(self, key: tuple[str, str], at: float, answer: Answer) -> None:
        self._kept.pop(key, None)
        self._kept[key] = (at, answer)
        while len(self._kept) > KEPT_MAX:
            self._kept.pop(next(iter(self._kept)))


def _or_none(call: Callable[[], Any]) -> Answer:
    try:
        answer: Answer = call()
    except (docker.errors.APIError, requests.exceptions.RequestException):
        return None
    return answer
