"""What network an awsvpc task of a service shows: its task set's, its revision's, not that of a later update."""

import msgspec
from toy_cluster import ToyCluster

from controlplane.api import network
from controlplane.core.model import Task, TaskDefinition
from controlplane.core.rollouts import TaskSet
from wire.resources import Amounts


def subnets(world: ToyCluster, task: Task) -> list[str]:
    [attachment] = network.attachments(task, network.configuration_of(world.state, task))
    return [detail["value"] for detail in attachment["details"] if detail["name"] == "subnetId"]


def in_subnet(name: str) -> dict[str, object]:
    return {"networkConfiguration": {"awsvpcConfiguration": {"subnets": [name]}}}


def awsvpc(world: ToyCluster) -> TaskDefinition:
    definition = world.define(Amounts(64, 64))
    alone = msgspec.structs.replace(definition, body={**definition.body, "networkMode": "awsvpc"})
    world.decide("awsvpc", lambda draft: draft.put(alone))
    return alone


def test_a_task_keeps_the_network_of_its_revision() -> None:
    world = ToyCluster()
    service = world.create_service(awsvpc(world), desired=1, body=in_subnet("subnet-old"))
    world.run(1)
    [task] = world.live(service)
    world.update(service, body=in_subnet("subnet-new"))
    assert subnets(world, task) == ["subnet-old"]


def test_a_task_set_has_a_network_of_its_own() -> None:
    world = ToyCluster()
    service = world.create_service(awsvpc(world), desired=1, body=in_subnet("subnet-service"))
    world.run(1)
    [task] = world.live(service)
    [deployment] = world.service(service).deployments
    own = msgspec.structs.replace(deployment, task_set=TaskSet(body=in_subnet("subnet-own")))
    world.update(service, deployments=(own,))
    assert subnets(world, world.state.task(task.arn)) == ["subnet-own"]
