"""Clients of other AWS services that reach us: each shows the one sentence, whatever protocol it speaks."""

import asyncio
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config as ClientConfig
from botocore.exceptions import ClientError

from controlplane.api.keys import KeyRing, Keys
from controlplane.config import Config
from controlplane.server import ControlPlane, running

Ask = Callable[[Any], Any]
ECS = {"ServiceNamespace": "ecs"}


def client(service: str, url: str, key: str = "any", secret: str = "any") -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=ClientConfig(retries={"max_attempts": 0}, s3={"addressing_style": "path"}),
    )


async def refused(ask: Ask, made: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as refusal:
        await asyncio.to_thread(ask, made)
    error = refusal.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.mark.parametrize(
    ("service", "named", "ask"),
    [
        ("ec2", "ec2", lambda ec2: ec2.describe_instances()),
        ("s3", "s3", lambda s3: s3.list_objects_v2(Bucket="b")),
        ("sqs", "sqs", lambda sqs: sqs.list_queues()),
        ("dynamodb", "dynamodb", lambda db: db.list_tables()),
        ("iam", "iam", lambda iam: iam.list_roles()),
        ("autoscaling", "autoscaling", lambda scaling: scaling.describe_auto_scaling_groups()),
        ("elbv2", "elasticloadbalancing", lambda elb: elb.describe_load_balancers()),
        ("lambda", "lambda", lambda fn: fn.list_functions()),
        ("route53", "route53", lambda dns: dns.list_hosted_zones()),
    ],
)
async def test_another_service_is_told_so_in_its_own_protocol(
    plane: ControlPlane, service: str, named: str, ask: Ask
) -> None:
    code, message = await refused(ask, client(service, plane.url))
    assert code == "UnknownOperationException"
    assert message == (
        f"This request is for {named}, which is not served here. "
        "Point only ECS here, with AWS_ENDPOINT_URL_ECS instead of AWS_ENDPOINT_URL."
    )


async def test_sts_says_who_calls(plane: ControlPlane) -> None:
    sts = client("sts", plane.url)
    said = await asyncio.to_thread(sts.get_caller_identity)
    assert (said["Account"], said["Arn"]) == ("123456789012", "arn:aws:iam::123456789012:root")
    code, message = await refused(lambda sts: sts.get_session_token(), sts)
    assert (code, message) == ("InvalidAction", "STS's GetSessionToken is not served here; GetCallerIdentity is.")


async def test_with_keys_sts_verifies_and_the_others_still_get_their_sentence() -> None:
    async with running(Config(port=0, keys=KeyRing((Keys("AKIDEXAMPLE", "secret"),)))) as plane:
        right = client("sts", plane.url, "AKIDEXAMPLE", "secret")
        assert (await asyncio.to_thread(right.get_caller_identity))["Account"] == "123456789012"
        code, _ = await refused(lambda sts: sts.get_caller_identity(), client("sts", plane.url, "AKIDEXAMPLE", "wrong"))
        assert code == "InvalidSignatureException"
        others: dict[str, Ask] = {
            "ec2": lambda ec2: ec2.describe_instances(),
            "s3": lambda s3: s3.list_objects_v2(Bucket="b"),
            "lambda": lambda fn: fn.list_functions(),
        }
        for service, ask in others.items():
            code, message = await refused(ask, client(service, plane.url, "x", "y"))
            assert code == "UnknownOperationException"
            assert f"This request is for {service}" in message
