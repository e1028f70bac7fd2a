"""Service auto scaling on real containers: what they really use adds tasks, their idleness takes them away again."""

import time
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest
from berth_program import berth, containers
from botocore.config import Config
from ports import free_port

pytestmark = [pytest.mark.docker, pytest.mark.soak]

BUSY = "while :; do [ -e /control/busy ] || sleep 0.2; done"
WEB = {"ServiceNamespace": "ecs", "ResourceId": "service/default/web", "ScalableDimension": "ecs:service:DesiredCount"}
SECONDS_MAX = 90
"""Agents tell what their containers use every 20 s; on a clock of 60 the 15 low minutes take 15 s more."""


def until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + SECONDS_MAX
    while not holds():
        assert time.monotonic() < end, f"{what} within {SECONDS_MAX} s"
        time.sleep(0.25)


def test_a_service_grows_while_its_containers_are_busy_and_shrinks_again(tmp_path: Path) -> None:
    control, port = tmp_path / "control", str(free_port())
    control.mkdir()
    (control / "busy").touch()
    with berth(
        "dev", "--port", port, "--hosts", "1", "--time-scale", "60", "--healthy-after", "1s", tmp=tmp_path / "t"
    ) as dev:
        dev.wait_for("✓ connected")
        keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "region_name": "us-east-1"}
        once = {"endpoint_url": f"http://127.0.0.1:{port}", "config": Config(retries={"max_attempts": 0}), **keys}
        ecs, scaling = boto3.client("ecs", **once), boto3.client("application-autoscaling", **once)
        ecs.register_task_definition(
            family="web",
            cpu="256",  # a limit, so that a busy task takes a quarter of a core and no more
            volumes=[{"name": "control", "host": {"sourcePath": str(control)}}],
            containerDefinitions=[
                {
                    "name": "web",
                    "image": "berth/stubborn:latest",
                    "memory": 32,
                    "stopTimeout": 1,
                    "entryPoint": ["sh", "-c"],
                    "command": [BUSY],
                    "mountPoints": [{"sourceVolume": "control", "containerPath": "/control"}],
                }
            ],
        )
        ecs.create_service(serviceName="web", taskDefinition="web", desiredCount=1)
        scaling.register_scalable_target(**WEB, MinCapacity=1, MaxCapacity=2)
        scaling.put_scaling_policy(
            **WEB,
            PolicyName="cpu",
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration={
                "TargetValue": 30,
                "PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"},
            },
        )

        def desired() -> int:
            return ecs.describe_services(services=["web"])["services"][0]["desiredCount"]

        def running() -> int:
            return len(containers(dev.run()))

        until(lambda: desired() == running() == 2, "a busy service has two containers")
        tasks = ecs.list_tasks()["taskArns"]
        ecs.update_task_protection(cluster="default", tasks=tasks, protectionEnabled=True)
        (control / "busy").unlink()
        until(lambda: desired() == 1, "an idle one wants one task")
        sentence = "was unable to scale in due to (reason 2 tasks under protection)"
        events = lambda: ecs.describe_services(services=["web"])["services"][0]["events"]  # noqa: E731
        until(lambda: any(sentence in event["message"] for event in events()), "the protected tasks stay")
        assert running() == 2
        ecs.update_task_protection(cluster="default", tasks=tasks[:1], protectionEnabled=False)
        until(lambda: ecs.list_tasks()["taskArns"] == tasks[1:], "the other one goes")
        activities = scaling.describe_scaling_activities(**WEB)["ScalingActivities"]
        assert [each["Description"] for each in activities] == [
            "Setting desired count to 1.",
            "Setting desired count to 2.",
        ]
        assert all("triggered policy cpu" in each["Cause"] for each in activities)
