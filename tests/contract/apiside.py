"""The other side of the API in the contract tests: boto3 with its answers held against the model, and raw HTTP."""

import asyncio
import io
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import aiohttp
import boto3
import pytest
from botocore.config import Config as ClientConfig
from botocore.exceptions import ClientError

from controlplane.core.state import State
from controlplane.server import ControlPlane
from wire import ecs_shapes, envelope, models

WAIT_SECONDS = 60


class Ecs:
    """boto3's ECS client as coroutines; every answer that it gets is checked against the model."""

    def __init__(self, url: str, *, key: str = "any", secret: str = "any", retries: int = 0) -> None:
        self.client = boto3.client(
            "ecs",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            config=ClientConfig(retries={"max_attempts": retries}, connect_timeout=5, read_timeout=20),
        )
        self.client.meta.events.register("before-parse.ecs", _check)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.client, name)

        async def call(**members: Any) -> dict[str, Any]:
            answer: dict[str, Any] = await asyncio.to_thread(partial(method, **members))
            return answer

        return call

    async def wait(self, waiter: str, **members: Any) -> None:
        """One of boto3's waiters, with a short pace."""
        config = {"Delay": 1, "MaxAttempts": WAIT_SECONDS}
        await asyncio.to_thread(partial(self.client.get_waiter(waiter).wait, **members, WaiterConfig=config))


def _check(operation_model: Any, response_dict: dict[str, Any], **_: Any) -> None:
    if response_dict["status_code"] == 200:
        faults = ecs_shapes.response_faults(operation_model.name, json.loads(response_dict["body"]))
        assert not faults, faults


class Client:
    """boto3's client of one of ECS's neighbours, as `Ecs`."""

    def __init__(self, service: str, url: str) -> None:
        self._client = boto3.client(
            service,
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="any",
            aws_secret_access_key="any",
            config=ClientConfig(retries={"max_attempts": 0}),
        )
        self._client.meta.events.register(f"before-parse.{service}", partial(_check_neighbour, service))

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        async def call(**members: Any) -> Any:
            return await asyncio.to_thread(partial(method, **members))

        return call

    async def refused(self, name: str, **members: Any) -> tuple[str, str]:
        """Code and message of the refusal."""
        with pytest.raises(ClientError) as refusal:
            await getattr(self, name)(**members)
        error = refusal.value.response["Error"]
        return error["Code"], error["Message"]


def _check_neighbour(service: str, operation_model: Any, response_dict: dict[str, Any], **_: Any) -> None:
    if response_dict["status_code"] == 200:
        faults = models.answer_faults(service, operation_model.name, json.loads(response_dict["body"]))
        assert not faults, faults


async def post(url: str, body: bytes, **headers: str) -> tuple[int, dict[str, Any], dict[str, str]]:
    """A raw POST: status, body, headers of the answer."""
    async with aiohttp.ClientSession() as session, session.post(url, data=io.BytesIO(body), headers=headers) as answer:
        return answer.status, json.loads(await answer.read()), dict(answer.headers)


async def call(url: str, operation: str, **members: Any) -> tuple[int, dict[str, Any]]:
    """A raw call of an operation, past the checks of any client."""
    status, body, _ = await post(url, json.dumps(members).encode(), **envelope.request_headers(operation))
    return status, body


async def until(plane: ControlPlane, holds: Callable[[State], bool]) -> State:
    """Wait for a commit after which `holds`."""
    watch = plane.store.watch()
    async with asyncio.timeout(WAIT_SECONDS):
        while not holds(plane.store.view()):
            await anext(watch)
    watch.close()
    return plane.store.view()


def definition(family: str = "web", **container: Any) -> dict[str, Any]:
    """Members of a RegisterTaskDefinition of one small container."""
    return {
        "family": family,
        "containerDefinitions": [
            {"name": "main", "image": "berth/stubborn:latest", "cpu": 1024, "memory": 7372, **container}
        ],
    }


async def make_group(url: str, name: str, **members: Any) -> str:
    """An instance group that nobody fills; its ARN."""
    status, answer = await call(url, "CreateAutoScalingGroup", AutoScalingGroupName=name, **{"MaxSize": 9} | members)
    assert status == 200, answer
    arn: str = answer["AutoScalingGroup"]["AutoScalingGroupARN"]
    return arn
