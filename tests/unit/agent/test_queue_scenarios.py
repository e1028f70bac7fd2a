"""Black-box rows after the integration tests of Amazon's agent: tasks that fill the host wait in order.

On virtual time, where Docker adds nothing; `tests/e2e/test_parity_queue.py` has the same on real containers.
"""

import asyncio

import msgspec
import pytest
from scripted_host import Machine, host_test

from agent.backend.desk import Desk
from agent.backend.responders import payload
from agent.core.events import Desired
from agent.core.pulling import PullBehavior
from agent.core.spec import Condition, ContainerSpec, Dependency, Port, cost
from agent.pulling import PullSettings
from wire.envelope import Frame
from wire.resources import Amounts
from wire.story import Kind

MEMORY_MIB = 15731
"""Of the scripted host."""


def container(part, *, port=0, **environment):
    """One container that takes `part` of the host's memory."""
    ports = (Port(80, port),) if port else ()
    return ContainerSpec(
        name="main",
        image="i",
        essential=True,
        memory_mib=int(MEMORY_MIB * part),
        environment={name: str(value) for name, value in environment.items()},
        ports=ports,
    )


@host_test
async def test_trickle_queue(tmp_path):
    """TestHostResourceManagerTrickleQueue. Three tasks of half the host each, two seconds apart, ten seconds long."""
    host = Machine(tmp_path)
    backend = await host.boot()
    for task in ("first", "second", "third"):
        await host.run(task, container(0.5, RUN_SECONDS=10))
        await asyncio.sleep(2)
    assert [waiting.task for waiting in host.engine._host.waiting] == ["third"], "at six seconds"
    stopped = await backend.wait_for("first", "STOPPED")
    assert await backend.wait_for("third", "RUNNING") == pytest.approx(stopped + 0.6)
    assert list(host.engine._host.waiting) == []
    assert [task for _, task, word in backend.reports if word == "RUNNING"] == ["first", "second", "third"]
    await host.kill()


@host_test
async def test_resource_utilization(tmp_path):
    """TestHostResourceManagerResourceUtilization. What fits beside a stopping task runs before that has stopped."""
    host = Machine(tmp_path)
    backend = await host.boot()
    await host.run("stopping", container(0.5, QUIT_SECONDS=6))
    await backend.wait_for("stopping", "RUNNING")
    await host.stop("stopping")
    await host.run("beside", container(0.5))
    began = await backend.wait_for("beside", "RUNNING")
    assert await backend.wait_for("stopping", "STOPPED") > began
    await host.kill()


@host_test
async def test_stop_task_not_block_waiting_tasks(tmp_path):
    """TestHostResourceManagerStopTaskNotBlockWaitingTasks. A queued task that is stopped is STOPPED at once, and holds
    nothing; nor does who was stopping, in the end."""
    host = Machine(tmp_path)
    backend = await host.boot()
    await host.run("stopping", container(0.75, QUIT_SECONDS=6))
    await backend.wait_for("stopping", "RUNNING")
    await host.stop("stopping")
    await host.run("waiting", container(0.75))
    await host.run("behind", container(0.75))
    await asyncio.sleep(1)
    asked = asyncio.get_running_loop().time()
    await host.stop("waiting")
    assert await backend.wait_for("waiting", "STOPPED") == round(asked, 3)
    stopped = await backend.wait_for("stopping", "STOPPED")
    assert stopped > asked
    assert await backend.wait_for("behind", "RUNNING") == pytest.approx(stopped + 0.6)
    await host.stop("behind")
    await backend.wait_for("behind", "STOPPED")
    assert host.engine._host.ledger.free.memory_mib == MEMORY_MIB
    assert [verb for verb, _ in host.calls("create")] == ["create"] * 2, "the one that waited was never made"
    await host.kill()


@host_test
async def test_a_taken_port_is_waited_for_in_order(tmp_path):
    """The family's case of ports: who asks for a port that is held waits, and in `fifo` so does who comes behind it."""
    host = Machine(tmp_path)
    backend = await host.boot()
    await host.run("holder", container(0.1, port=8080, QUIT_SECONDS=6))
    await backend.wait_for("holder", "RUNNING")
    await host.run("same-port", container(0.1, port=8080))
    await host.run("behind", container(0.1))
    await host.stop("holder")
    stopped = await backend.wait_for("holder", "STOPPED")
    began = [await backend.wait_for(task, "RUNNING") for task in ("same-port", "behind")]
    assert began == pytest.approx([stopped + 0.6, stopped + 0.9]), "one is created at a time"
    assert backend.of(Kind.HOST_QUEUED, "lacks") == [(("PORTS",), 0.6), ((), 0.6)]
    await host.kill()


async def test_launch_type_behavior():
    """TestHostResourceManagerLaunchTypeBehavior. Amazon's counts every launch type but FARGATE; ours counts all, as a
    host that was sent a task has to run it."""
    for launch_type in ("EC2", "EXTERNAL", "", "SUBMARINE", "FARGATE"):
        taken = []

        async def submit(event: Desired, taken=taken):
            taken.append(cost(event.spec))

        task = {
            "arn": "arn:aws:ecs:r:1:task/c/1",
            "desiredStatus": "RUNNING",
            "launchType": launch_type,
            "containers": [{"name": "main", "image": "i", "cpu": 10, "memory": 20}],
        }
        message = {"messageId": "m", "clusterArn": "c", "containerInstanceArn": "i", "tasks": [task]}
        await payload(Frame("PayloadMessage", msgspec.Raw(msgspec.json.encode(message))), desk(submit))
        assert taken == [Amounts(10, 20)], launch_type


def desk(submit):
    class NoFacts:
        def fact(self, _name):
            return None

    return Desk(submit=submit, tasks=list, facts=NoFacts(), credentials=None)


@host_test
async def test_manifest_pulled_does_not_depend_on_container_ordering(tmp_path):
    """TestManifestPulledDoesNotDependOnContainerOrdering. Amazon's asks for every container's manifest at once, and
    pulls in order; ours does both when the container's turn comes, or (ECS_PULL_DEPENDENT_CONTAINERS_UPFRONT) both at
    once: the report of a digest before its container runs is of no use to anybody here."""
    first = ContainerSpec(name="first", image="a", essential=True, environment={"RUN_SECONDS": "9"})
    then = ContainerSpec(name="then", image="b", essential=True, depends_on=(Dependency("first", Condition.COMPLETE),))
    for upfront, asked in ((False, ["a"]), (True, ["a", "b"])):
        path = tmp_path / str(upfront)
        host = Machine(path, pull=PullSettings(behavior=PullBehavior.ALWAYS), pull_upfront=upfront)
        backend = await host.boot()
        await host.run("t", first, then)
        await asyncio.sleep(5)
        assert [image for _, image in host.calls("manifest")] == asked
        assert host.container("t", "first").known.name == "RUNNING"
        del backend
        await host.kill()
