"""What an agent is told: definition and overrides, translated."""

import json
from typing import Any

from controlplane.agents.payload import run_payload, stop_payload
from controlplane.core.model import Cluster, Container, Task, TaskDefinition
from wire.acs_shapes import PortMapping, as_json
from wire.arn import ArnMaker
from wire.resources import Amounts

ARNS = ArnMaker("us-east-1", "123456789012")
CLUSTER = Cluster(name="default", arn=ARNS.cluster("default"))


def told(container: dict[str, Any], *, overrides: dict[str, Any] | None = None, **body: Any) -> Any:
    full = {"name": "main", "image": "busybox", **container}
    definition = TaskDefinition(
        arn=ARNS.task_definition("web", 3), family="web", revision=3, body={**body, "containerDefinitions": [full]}
    )
    task = Task(
        arn=ARNS.task("default", "a" * 32),
        cluster="default",
        task_definition=definition.arn,
        containers=(Container(name="main", arn="arn-of-main", image="busybox"),),
        amounts=Amounts(),
        group="service:web",
        service=ARNS.service("default", "web"),
        body={"overrides": overrides or {}},
    )
    return run_payload(task, definition, CLUSTER, account="123456789012")


def host_config(container: dict[str, Any], **body: Any) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(told(container, **body).containers[0].docker_config.host_config)
    return loaded


def test_the_task_and_its_container():
    task = told(
        {
            "cpu": 256,
            "memory": 512,
            "command": ["sleep", "1"],
            "environment": [{"name": "A", "value": "1"}],
            "portMappings": [{"containerPort": 80}, {"containerPort": 53, "hostPort": 5353, "protocol": "udp"}],
            "stopTimeout": 7,
        },
        cpu="1 vCPU",
        memory="2 GB",
    )
    assert (task.family, task.version, task.service_name, task.group) == ("web", "3", "web", "service:web")
    assert (task.cpu, task.memory, task.network_mode) == (1.0, 2048, "bridge")
    main = task.containers[0]
    assert (main.name, main.cpu, main.memory, main.stop_timeout, main.essential) == ("main", 256, 512, 7, True)
    assert main.command == ["sleep", "1"]
    assert main.environment == {"AWS_EXECUTION_ENV": "AWS_ECS_EC2", "A": "1"}
    assert main.port_mappings == [PortMapping(80), PortMapping(53, 5353, "udp")]
    assert as_json(main)["environment"]["A"] == "1"


def test_overrides_are_laid_over_the_definition_name_by_name():
    task = told(
        {"cpu": 1, "memory": 9, "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
        overrides={
            "containerOverrides": [
                {
                    "name": "main",
                    "command": ["true"],
                    "memory": 64,
                    "environment": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}],
                }
            ]
        },
    )
    main = task.containers[0]
    assert (main.command, main.cpu, main.memory) == (["true"], 1, 64)
    assert {name: main.environment[name] for name in "ABC"} == {"A": "1", "B": "3", "C": "4"}


def test_what_maps_to_docker_travels_as_its_json():
    container = {
        "memory": 100,
        "memoryReservation": 50,
        "user": "nobody",
        "workingDirectory": "/tmp",
        "hostname": "h",
        "dockerLabels": {"team": "x"},
        "privileged": True,
        "readonlyRootFilesystem": True,
        "dnsServers": ["10.0.0.2"],
        "extraHosts": [{"hostname": "db", "ipAddress": "10.0.0.9"}],
        "ulimits": [{"name": "nofile", "softLimit": 10, "hardLimit": 20}],
        "systemControls": [{"namespace": "net.core.somaxconn", "value": "1"}],
        "logConfiguration": {"logDriver": "json-file", "options": {"max-size": "1m"}},
        "linuxParameters": {
            "initProcessEnabled": True,
            "sharedMemorySize": 1,
            "maxSwap": 10,
            "capabilities": {"add": ["NET_ADMIN"], "drop": ["MKNOD"]},
            "tmpfs": [{"containerPath": "/run", "size": 5, "mountOptions": ["noexec"]}],
            "devices": [{"hostPath": "/dev/fuse", "permissions": ["read", "mknod"]}],
        },
    }
    mib = 1024 * 1024
    assert host_config(container, networkMode="host", pidMode="host") == {
        "NetworkMode": "host",
        "PidMode": "host",
        "Privileged": True,
        "ReadonlyRootfs": True,
        "Dns": ["10.0.0.2"],
        "MemoryReservation": 50 * mib,
        "ExtraHosts": ["db:10.0.0.9"],
        "Ulimits": [{"Name": "nofile", "Soft": 10, "Hard": 20}],
        "Sysctls": {"net.core.somaxconn": "1"},
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}},
        "Init": True,
        "ShmSize": mib,
        "MemorySwap": 110 * mib,
        "CapAdd": ["NET_ADMIN"],
        "CapDrop": ["MKNOD"],
        "Tmpfs": {"/run": "noexec,size=5m"},
        "Devices": [{"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "rm"}],
    }
    config = json.loads(told(container).containers[0].docker_config.config)
    assert config == {"User": "nobody", "WorkingDir": "/tmp", "Hostname": "h", "Labels": {"team": "x"}}


def test_a_plain_container_asks_docker_for_nothing_special():
    assert host_config({}) == {"NetworkMode": "bridge"}
    assert host_config({}, networkMode="none") == {"NetworkMode": "none"}
    assert told({"portMappings": [{"containerPort": 80}]}, networkMode="none").containers[0].port_mappings == []


def stop_of(runtime_id: str | None) -> Any:
    body = {"containerDefinitions": [{"name": "main", "image": "busybox"}]}
    definition = TaskDefinition(arn=ARNS.task_definition("web", 3), family="web", revision=3, body=body)
    task = Task(
        arn=ARNS.task("default", "b" * 32),
        cluster="default",
        task_definition=definition.arn,
        containers=(Container(name="main", arn="arn-of-main", image="busybox", runtime_id=runtime_id),),
        amounts=Amounts(),
        group="g",
    )
    return as_json(stop_payload(task, definition, CLUSTER, account="123456789012"))


def test_a_stop_names_the_task_and_nothing_else():
    assert stop_of("c0ffee") == {
        "arn": ARNS.task("default", "b" * 32),
        "desiredStatus": "STOPPED",
        "taskClusterArn": CLUSTER.arn,
    }


def test_a_stop_of_a_task_that_its_agent_may_not_know_names_the_containers_too():
    """A task without containers wedges Amazon's agent for good."""
    stop = stop_of(None)
    assert stop["desiredStatus"] == "STOPPED"
    assert [container["name"] for container in stop["containers"]] == ["main"]


def test_when_a_container_starts_is_healthy_and_is_started_again():
    main = told(
        {
            "dependsOn": [{"containerName": "db", "condition": "HEALTHY"}],
            "links": ["db:d"],
            "volumesFrom": [{"sourceContainer": "files", "readOnly": True}],
            "startTimeout": 9,
            "healthCheck": {"command": ["CMD", "true"], "startPeriod": 7},
            "restartPolicy": {"enabled": True, "ignoredExitCodes": [0]},
        }
    ).containers[0]
    on_the_wire = as_json(main)
    assert on_the_wire["dependsOn"] == [{"containerName": "db", "condition": "HEALTHY"}]
    assert on_the_wire["volumesFrom"] == [{"sourceContainer": "files", "readOnly": True}]
    assert (on_the_wire["links"], on_the_wire["startTimeout"]) == (["db:d"], 9)
    assert on_the_wire["restartPolicy"] == {"enabled": True, "ignoredExitCodes": [0], "restartAttemptPeriod": 300}
    assert on_the_wire["healthCheckType"] == "docker"
    check = json.loads(main.docker_config.config)["Healthcheck"]
    seconds = {name: value / 1e9 for name, value in check.items() if name not in ("Test", "Retries")}
    assert (check["Test"], check["Retries"]) == (["CMD", "true"], 3)
    assert seconds == {"Interval": 30, "Timeout": 5, "StartPeriod": 7}


def test_a_container_without_any_of_that_says_nothing_of_it():
    on_the_wire = as_json(told({"restartPolicy": {"enabled": False}}).containers[0])
    members = {"dependsOn", "links", "volumesFrom", "startTimeout", "healthCheckType", "restartPolicy"}
    assert not members & set(on_the_wire)
