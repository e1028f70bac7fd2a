"""What tests of service auto scaling share: clients held against the models, and a service to scale."""

import asyncio
import json
from functools import partial
from typing import Any

import boto3
import pytest
from apiside import Ecs, definition
from botocore.config import Config as ClientConfig
from botocore.exceptions import ClientError

from wire import models

WEB = {
    "ServiceNamespace": "ecs",
    "ResourceId": "service/default/web",
    "ScalableDimension": "ecs:service:DesiredCount",
}


class Client:
    """A boto3 client as coroutines; answers are held against the model."""

    def __init__(self, service: str, url: str) -> None:
        self._client = boto3.client(
            service,
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="any",
            aws_secret_access_key="any",
            config=ClientConfig(retries={"max_attempts": 0}),
        )
        self._client.meta.events.register(f"before-parse.{service}", partial(_check, service))

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        async def call(**members: Any) -> Any:
            return await asyncio.to_thread(partial(method, **members))

        return call

    async def refused(self, name: str, **members: Any) -> tuple[str, str]:
        with pytest.raises(ClientError) as refusal:
            await getattr(self, name)(**members)
        error = refusal.value.response["Error"]
        return error["Code"], error["Message"]


def _check(service: str, operation_model: Any, response_dict: dict[str, Any], **_: Any) -> None:
    if response_dict["status_code"] == 200:
        faults = models.answer_faults(service, operation_model.name, json.loads(response_dict["body"]))
        assert not faults, faults


async def serve(ecs: Ecs, desired: int = 1, **container: Any) -> str:
    await ecs.register_task_definition(**definition(**{"cpu": 64, "memory": 64, **container}))
    made = await ecs.create_service(serviceName="web", taskDefinition="web", desiredCount=desired)
    arn: str = made["service"]["serviceArn"]
    return arn


async def register(scaling: Client, least: int = 1, most: int = 8, **members: Any) -> str:
    arn: str = (await scaling.register_scalable_target(**WEB, MinCapacity=least, MaxCapacity=most, **members))[
        "ScalableTargetARN"
    ]
    return arn
