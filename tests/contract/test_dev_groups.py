"""Groups of `berth dev` over a reset, a second start with `--keep`, and their deletion: the same hosts, no others."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from dev_program import ROOT, Dev, definition, run, scripted, until, wait

GROUP = "asg,min=2,max=3,boot=1s,provider=cp"


def hosts(dev: Dev) -> dict[str, str]:
    """Connected instances (ARN) of the provider, by machine."""
    ecs = dev.client("ecs")
    arns = ecs.list_container_instances()["containerInstanceArns"]
    rows = ecs.describe_container_instances(containerInstances=arns)["containerInstances"] if arns else []
    return {
        row["ec2InstanceId"]: row["containerInstanceArn"]
        for row in rows
        if row["agentConnected"] and row["capacityProviderName"] == "cp"
    }


def berth(dev: Dev, *words: str) -> str:
    command = [sys.executable, "-m", "berth", *words, "--endpoint", dev.endpoint]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def machines(dev: Dev) -> list[dict[str, Any]]:
    body = json.dumps({}).encode()
    headers = {"X-Amz-Target": "AmazonEC2ContainerServiceV20141113.DescribeAutoScalingGroups"}
    with urllib.request.urlopen(urllib.request.Request(dev.endpoint, data=body, headers=headers), timeout=60) as answer:
        return [row for group in json.load(answer)["AutoScalingGroups"] for row in group["Instances"]]


def test_a_group_outlives_a_reset_and_a_restart_with_its_hosts(tmp_path: Path) -> None:
    options = ("--hosts", "0", "--keep", str(tmp_path / "kept"), "--time-scale", "60", "--healthy-after", "0s")
    with scripted(tmp_path, *options, "--group", GROUP) as dev:
        before = until(lambda: len(found := hosts(dev)) == 2 and found)
        definition(dev.client("ecs"), "web")
        run(dev.client("ecs"), "web")
        berth(dev, "reset")
        again = hosts(dev)
        assert again.keys() == before.keys(), "the same machines, registered anew"
        ecs = dev.client("ecs")
        assert ecs.list_task_definitions()["taskDefinitionArns"] == []
        definition(ecs, "web")
        wait(ecs, "tasks_running", tasks=[run(ecs, "web")])
    with scripted(tmp_path, *options, "--group", GROUP + ",warmup=5") as dev:
        assert until(lambda: len(found := hosts(dev)) == 2 and found) == again
        assert sorted(row["InstanceId"] for row in machines(dev)) == sorted(again), "none is bought besides"
        assert "The group asg was there and stays as it was; berth group set changes it.\n" in dev.said
        ecs = dev.client("ecs")
        ecs.put_cluster_capacity_providers(cluster="default", capacityProviders=[], defaultCapacityProviderStrategy=[])
        ecs.delete_capacity_provider(capacityProvider="cp")
        berth(dev, "group", "delete", "asg", "--force")
        until(lambda: machines(dev) == [] and ecs.list_container_instances()["containerInstanceArns"] == [])
        until(lambda: list((tmp_path / "kept" / "machines").iterdir()) == [])
