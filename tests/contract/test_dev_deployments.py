"""DAEMON, CANARY and LINEAR with a webhook, alarms with rollback, task sets: boto3 on agents that play containers."""

import json
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from dev_program import Dev, definition, scripted, until, wait

HOSTS = 3


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    options = ("--hosts", str(HOSTS), "--healthy-after", "0s", "--start-delay", "20ms")
    with scripted(tmp_path_factory.mktemp("dev"), *options) as dev:
        yield dev


@pytest.fixture(scope="module")
def ecs(dev: Dev) -> Any:
    return dev.client("ecs")


class Webhook(BaseHTTPRequestHandler):
    """Says SUCCEEDED, and keeps what it was told."""

    told: list[dict[str, Any]]

    def do_POST(self) -> None:
        self.told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"hookStatus": "SUCCEEDED"}')

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    told: list[dict[str, Any]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Hook", (Webhook,), {"told": told}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", told
    server.shutdown()
    server.server_close()


def tasks(ecs: Any, service: str) -> list[dict[str, Any]]:
    arns = ecs.list_tasks(serviceName=service)["taskArns"]
    return list(ecs.describe_tasks(tasks=arns)["tasks"]) if arns else []


def revisions(ecs: Any, service: str) -> set[str]:
    return {task["taskDefinitionArn"].rpartition("/")[2] for task in tasks(ecs, service)}


def course(ecs: Any, service: str) -> dict[str, Any]:
    (shown,) = ecs.describe_services(services=[service])["services"]
    (found,) = ecs.describe_service_deployments(serviceDeploymentArns=[shown["currentServiceDeployment"]])[
        "serviceDeployments"
    ]
    return dict(found)


def settled(ecs: Any, service: str) -> None:
    """Stable as boto3 has it, and its deployment is over: the one may be seen a moment before the other."""
    wait(ecs, "services_stable", services=[service])

    def is_over() -> bool:
        (shown,) = ecs.describe_services(services=[service])["services"]
        return [one["rolloutState"] for one in shown["deployments"]] == ["COMPLETED"]

    until(is_over)


def gone(ecs: Any, service: str) -> None:
    ecs.delete_service(service=service, force=True)
    wait(ecs, "services_inactive", services=[service])


def test_a_daemon_stands_on_every_host_and_leaves_one_that_drains(ecs: Any) -> None:
    for _ in range(2):
        definition(ecs, "log")
    ecs.create_service(serviceName="log", taskDefinition="log:1", schedulingStrategy="DAEMON")
    wait(ecs, "services_stable", services=["log"])
    assert len({task["containerInstanceArn"] for task in tasks(ecs, "log")}) == HOSTS
    ecs.update_service(service="log", taskDefinition="log:2")
    wait(ecs, "services_stable", services=["log"])
    assert [len(tasks(ecs, "log")), revisions(ecs, "log")] == [HOSTS, {"log:2"}]
    drained = tasks(ecs, "log")[0]["containerInstanceArn"]
    ecs.update_container_instances_state(containerInstances=[drained], status="DRAINING")
    until(lambda: drained not in {task["containerInstanceArn"] for task in tasks(ecs, "log")})
    until(lambda: ecs.describe_services(services=["log"])["services"][0]["desiredCount"] == HOSTS - 1)
    ecs.update_container_instances_state(containerInstances=[drained], status="ACTIVE")
    until(lambda: drained in {task["containerInstanceArn"] for task in tasks(ecs, "log")})
    gone(ecs, "log")


@pytest.mark.parametrize(
    ("strategy", "weights"),
    [
        ({"canaryConfiguration": {"canaryPercent": 20.0, "canaryBakeTimeInMinutes": 0}}, [20, 100]),
        ({"linearConfiguration": {"stepPercent": 40.0, "stepBakeTimeInMinutes": 0}}, [40, 80, 100]),
    ],
)
def test_traffic_goes_over_in_steps_each_with_its_hook(
    ecs: Any, webhook: tuple[str, list[dict[str, Any]]], strategy: dict[str, Any], weights: list[float]
) -> None:
    url, told = webhook
    for _ in range(2):
        definition(ecs, "web")
    ecs.create_service(serviceName="web", taskDefinition="web", desiredCount=2)
    settled(ecs, "web")
    hook = {"targetType": "AWS_LAMBDA", "hookTargetArn": url, "lifecycleStages": ["PRODUCTION_TRAFFIC_SHIFT"]}
    name = next(iter(strategy)).removesuffix("Configuration").upper()
    ecs.update_service(
        service="web",
        forceNewDeployment=True,
        deploymentConfiguration={"strategy": name, "bakeTimeInMinutes": 0, "lifecycleHooks": [hook], **strategy},
    )
    settled(ecs, "web")
    until(lambda: course(ecs, "web")["status"] == "SUCCESSFUL")
    assert [one["lifecycleStage"] for one in told] == ["PRODUCTION_TRAFFIC_SHIFT"] * len(weights)
    shares = [one["executionDetails"]["productionTrafficWeights"] for one in told]
    target = told[0]["executionDetails"]["targetServiceRevisionArn"]
    assert [share[target] for share in shares] == weights
    gone(ecs, "web")


def test_an_alarm_that_rings_leads_back(dev: Dev, ecs: Any) -> None:
    for _ in range(2):
        definition(ecs, "api")
    newest = ecs.describe_task_definition(taskDefinition="api")["taskDefinition"]["revision"]
    ecs.create_service(
        serviceName="api",
        taskDefinition=f"api:{newest - 1}",
        desiredCount=2,
        deploymentConfiguration={
            "alarms": {"alarmNames": ["errors"], "enable": True, "rollback": True},
            "bakeTimeInMinutes": 0,
        },
    )
    settled(ecs, "api")
    ecs.update_service(service="api", taskDefinition="api", deploymentConfiguration={"bakeTimeInMinutes": 5})
    until(lambda: revisions(ecs, "api") == {f"api:{newest}"})
    ring = json.dumps({"name": "errors", "state": "ALARM"}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{dev.endpoint}/_berth/alarms", data=ring)) as answer:
        assert answer.status == 200
    until(lambda: course(ecs, "api")["status"] == "ROLLBACK_SUCCESSFUL")
    wait(ecs, "services_stable", services=["api"])
    assert revisions(ecs, "api") == {f"api:{newest - 1}"}
    assert course(ecs, "api")["alarms"]["triggeredAlarmNames"] == ["errors"]
    gone(ecs, "api")


def test_task_sets_stand_side_by_side(ecs: Any) -> None:
    ours = {"cluster": "default", "service": "sets"}
    definition(ecs, "sets")
    ecs.create_service(serviceName="sets", desiredCount=4, deploymentController={"type": "EXTERNAL"})
    made = [
        ecs.create_task_set(**ours, taskDefinition="sets", scale={"value": percent, "unit": "PERCENT"})["taskSet"]["id"]
        for percent in (100.0, 50.0)
    ]

    def steady() -> bool:
        shown = ecs.describe_task_sets(**ours, taskSets=made)["taskSets"]
        return all(one["stabilityStatus"] == "STEADY_STATE" for one in shown)

    until(steady)
    assert sorted(task["startedBy"] for task in tasks(ecs, "sets")) == sorted([made[0]] * 4 + [made[1]] * 2)
    ecs.delete_task_set(**ours, taskSet=made[0], force=True)
    until(lambda: {task["startedBy"] for task in tasks(ecs, "sets")} == {made[1]})
    gone(ecs, "sets")
