"""GPUs on real containers, of a host whose information file says that it has two: this needs no device."""

import json

import pytest
from definitions import PATIENT, container

pytestmark = pytest.mark.docker


def test_a_gpu_goes_from_one_container_to_the_next_and_is_never_shared(world, tmp_path):
    """Placement frees the GPU at the stop request; the host gives it away when the container has gone."""
    path = tmp_path / "gpus.json"
    path.write_text(json.dumps({"DriverVersion": "550.54.15", "GPUIDs": ["GPU-1", "GPU-2"]}))
    world.start_agent(ECS_ENABLE_GPU_SUPPORT="true", BERTH_GPU_FILE=str(path))
    (instance,) = world.hosts(1)
    driver = {"name": "ecs.capability.gpu-driver-version", "value": "550.54.15"}
    assert driver in instance["attributes"]
    needs = container(resourceRequirements=[{"type": "GPU", "value": "1"}], command=PATIENT, stopTimeout=120)
    world.ecs.register_task_definition(family="train", containerDefinitions=[needs])
    used = {}
    for _ in range(2):
        task, docker_id = world.running("train")
        used[visible(world, docker_id)] = (task, docker_id)
    assert set(used) == {"GPU-1", "GPU-2"}
    full = world.ecs.run_task(taskDefinition="train")
    assert [failure["reason"] for failure in full["failures"]] == ["RESOURCE:GPU"]
    old, old_id = used["GPU-1"]
    world.ecs.stop_task(task=old)
    world.until(lambda: "GPU-1" in free(world, instance), "the GPU is released, as the stop is accepted")
    assert world.state(old_id)["Running"]
    new = world.run_task("train")
    world.finish(old_id)
    new_id = world.wait_task(new, "RUNNING")["containers"][0]["runtimeId"]
    assert visible(world, new_id) == "GPU-1"
    assert world.state(new_id)["StartedAt"] > world.state(old_id)["FinishedAt"] > "0001-01-02"


def free(world, instance):
    arn = instance["containerInstanceArn"]
    (row,) = world.ecs.describe_container_instances(containerInstances=[arn])["containerInstances"]
    return next(each["stringSetValue"] for each in row["remainingResources"] if each["name"] == "GPU")


def visible(world, docker_id):
    rows = world.docker.inspect_container(docker_id)["Config"]["Env"]
    return dict(row.split("=", 1) for row in rows)["NVIDIA_VISIBLE_DEVICES"]
