"""Deployments of real containers through boto3: a floor that holds, a breaker that goes back, blue beside green."""

import time
from itertools import accumulate
from pathlib import Path

import boto3
import pytest
from berth_program import berth
from botocore.config import Config
from docker_events import DockerEvents
from ports import free_port

pytestmark = [pytest.mark.docker, pytest.mark.soak]

TASKS, MINIMUM, MAXIMUM = 20, 75, 125
IMAGE = "berth/stubborn:latest"


class Deployer:
    """boto3 against `berth dev`, and Docker's own events beside it."""

    def __init__(self, endpoint: str, run: str) -> None:
        keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "region_name": "us-east-1"}
        self.ecs = boto3.client("ecs", endpoint_url=endpoint, config=Config(retries={"max_attempts": 0}), **keys)
        self.events = DockerEvents(f"berth.run={run}")

    def define(self, **members: object) -> str:
        container = {"name": "web", "image": IMAGE, "cpu": 64, "memory": 32, "stopTimeout": 5, **members}
        made = self.ecs.register_task_definition(family="web", containerDefinitions=[container])
        return made["taskDefinition"]["taskDefinitionArn"]

    def stable(self) -> None:
        """As boto3 has it, and besides COMPLETED: only what was completed can be gone back to."""
        waiter = self.ecs.get_waiter("services_stable")
        waiter.wait(services=["web"], WaiterConfig={"Delay": 1, "MaxAttempts": 90})
        end = time.monotonic() + 30
        while self.service()["deployments"][0]["rolloutState"] != "COMPLETED":
            assert time.monotonic() < end, self.service()["events"][:3]
            time.sleep(0.2)

    def service(self) -> dict:
        return self.ecs.describe_services(services=["web"])["services"][0]

    def course(self) -> dict:
        arn = self.service()["currentServiceDeployment"]
        return self.ecs.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"][0]

    def running(self, since: int = 0) -> list[int]:
        """How many containers ran after each of Docker's events, from the row `since` on."""
        steps = [{"start": 1, "die": -1}.get(action, 0) for action, *_ in list(self.events.rows)]
        return list(accumulate(steps))[since:]


def test_a_floor_that_holds_a_breaker_and_blue_beside_green(tmp_path: Path) -> None:
    port = str(free_port())
    arguments = ("--hosts", "4", "--healthy-after", "1s", "--instance-type", "m5.large")
    with berth("dev", "--port", port, *arguments, tmp=tmp_path / "t") as dev:
        dev.wait_for("✓ connected")
        deployer = Deployer(f"http://127.0.0.1:{port}", dev.run())
        try:
            _rolls(deployer)
            _breaks_and_goes_back(deployer)
            _stands_beside(deployer)
        finally:
            deployer.events.close()


def _rolls(deployer: Deployer) -> None:
    """Twenty tasks on four hosts: at no time fewer than 15 containers run, nor more than 25, by Docker's own count."""
    percentages = {"minimumHealthyPercent": MINIMUM, "maximumPercent": MAXIMUM}
    deployer.ecs.create_service(
        serviceName="web",
        taskDefinition=deployer.define(),
        desiredCount=TASKS,
        deploymentConfiguration=percentages,
        availabilityZoneRebalancing="DISABLED",
    )
    deployer.stable()
    assert deployer.running()[-1] == TASKS
    before = len(deployer.events.rows)
    newest = deployer.define()
    deployer.ecs.update_service(service="web", taskDefinition=newest)
    deployer.stable()
    running = deployer.running(before - 1)
    assert min(running) >= TASKS * MINIMUM // 100
    assert max(running) <= TASKS * MAXIMUM // 100
    assert len([action for action, *_ in deployer.events.rows[before:] if action == "start"]) == TASKS
    assert deployer.service()["taskDefinition"] == newest


def _breaks_and_goes_back(deployer: Deployer) -> None:
    """A program that is not there: the breaker trips, and the old tasks have never been touched below their floor."""
    good = deployer.service()["taskDefinition"]
    breaker = {"enable": True, "rollback": True, "thresholdConfiguration": {"type": "COUNT", "value": 3}}
    before = len(deployer.events.rows)
    deployer.ecs.update_service(
        service="web",
        taskDefinition=deployer.define(entryPoint=["/no/such/program"]),
        deploymentConfiguration={"deploymentCircuitBreaker": breaker, "maximumPercent": MAXIMUM},
    )
    deployer.stable()
    course = deployer.course()
    assert (course["status"], course["deploymentCircuitBreaker"]["status"]) == ("ROLLBACK_SUCCESSFUL", "TRIGGERED")
    assert deployer.service()["taskDefinition"] == good
    assert min(deployer.running(before - 1)) >= TASKS * MINIMUM // 100


def _stands_beside(deployer: Deployer) -> None:
    """Green is whole before the first blue container ends; then blue goes."""
    deployer.ecs.update_service(service="web", desiredCount=4)
    deployer.stable()
    before = len(deployer.events.rows)
    deployer.ecs.update_service(
        service="web",
        taskDefinition=deployer.define(),
        deploymentConfiguration={"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0},
    )
    deployer.stable()
    actions = [action for action, *_ in deployer.events.rows[before:] if action in {"start", "die"}]
    assert actions[:4] == ["start"] * 4
    assert deployer.course()["status"] == "SUCCESSFUL"
    assert deployer.course()["lifecycleStage"] == "CLEAN_UP"
