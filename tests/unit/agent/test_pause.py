"""Containers of the agent's own: made first, stopped last, never reported."""

import pytest

from agent.core.events import Admitted, Created, Desired, Exited, ReportAccepted, RuntimeFault, Started
from agent.core.instructions import (
    CreateContainer,
    Forget,
    RemoveResources,
    SeeToImage,
    SendSignal,
    StartContainer,
    Tell,
)
from agent.core.ladder import Known
from agent.core.reporting import AddressReport
from agent.core.spec import Address, ContainerSpec, Port, TaskSpec, cost
from agent.core.state import Settings
from agent.core.task import TaskMachine
from wire.status import DesiredStatus

ARN = "arn:aws:ecs:us-east-1:123456789012:task/default/0123"
PAUSE, NAMESPACE = "~internal~ecs~pause", "~internal~ecs~pause~namespace"


class Driver:
    def __init__(self, **spec):
        containers = (ContainerSpec(name="main", image="i", essential=True, ports=(Port(80, 80),)),)
        self.spec = TaskSpec(arn=ARN, containers=containers, **spec)
        first = Desired(task=ARN, cause="m-1", desired=DesiredStatus.RUNNING, spec=self.spec)
        self.machine = TaskMachine.accept(first, Settings())
        self.give(first)

    def give(self, event):
        return [i for i in self.machine.handle(event, 0.0) if not isinstance(i, Tell)]

    def created(self, name):
        return self.give(Created(task=ARN, container=name, docker_id=f"d-{name}"))

    def started(self, name, address=None):
        return self.give(Started(task=ARN, container=name, docker_id=f"d-{name}", at=0.0, address=address))

    def exited(self, name, code=0):
        return self.give(Exited(task=ARN, container=name, exit_code=code, finished_at=0.0))

    def run(self):
        self.give(Admitted(task=ARN))
        self.created(PAUSE)
        self.started(PAUSE, Address("10.0.0.2", "02:00"))
        self.created("main")
        self.started("main")

    @property
    def state(self):
        return self.machine.state


def names(instructions, kind):
    return [i.container for i in instructions if isinstance(i, kind)]


def test_the_pause_container_comes_first_and_the_others_when_it_runs():
    driver = Driver(network_mode="awsvpc")
    assert names(driver.give(Admitted(task=ARN)), CreateContainer) == [PAUSE]
    assert names(driver.created(PAUSE), StartContainer) == [PAUSE]
    assert names(driver.started(PAUSE), SeeToImage) == ["main"]


def test_it_stops_last_and_the_task_is_stopped_when_it_has():
    driver = Driver(network_mode="awsvpc")
    driver.run()
    stop = Desired(task=ARN, cause="m-2", desired=DesiredStatus.STOPPED)
    assert names(driver.give(stop), SendSignal) == ["main"]
    assert names(driver.exited("main"), SendSignal) == [PAUSE]
    assert driver.state.known is Known.RUNNING
    driver.exited(PAUSE)
    assert driver.state.known is Known.STOPPED


def test_it_is_never_reported_and_the_address_goes_before_the_running():
    driver = Driver(network_mode="awsvpc")
    driver.run()
    address, running = driver.state.outbox
    assert address == AddressReport(number=0, address=Address("10.0.0.2", "02:00"))
    assert (running.status, [c.name for c in running.containers]) == ("RUNNING", ["main"])


@pytest.mark.parametrize(
    "sharing", [{"pid_mode": "task"}, {"ipc_mode": "task"}, {"pid_mode": "task", "ipc_mode": "task"}]
)
def test_a_shared_namespace_has_one_holder(sharing):
    driver = Driver(**sharing)
    assert names(driver.give(Admitted(task=ARN)), CreateContainer) == [NAMESPACE]


def test_what_is_the_hosts_needs_no_holder():
    driver = Driver(pid_mode="host", ipc_mode="none", network_mode="host")
    assert names(driver.give(Admitted(task=ARN)), SeeToImage) == ["main"]


def test_a_pause_container_that_cannot_be_made_fails_the_task_with_its_reason():
    driver = Driver(network_mode="awsvpc")
    driver.give(Admitted(task=ARN))
    error = "CannotPullContainerError: there is no image"
    driver.give(RuntimeFault(task=ARN, container=PAUSE, call="create", error=error))
    assert driver.state.known is Known.STOPPED
    assert driver.state.outbox[0].reason == error


def test_a_pause_container_that_ends_by_itself_ends_the_task():
    driver = Driver(network_mode="awsvpc")
    driver.run()
    assert names(driver.exited(PAUSE, 137), SendSignal) == ["main"]
    driver.exited("main")
    assert driver.state.known is Known.STOPPED
    assert driver.state.reason.startswith("TaskEngineError: ")


def test_the_main_container_that_ends_by_itself_says_nothing_of_namespaces():
    driver = Driver(network_mode="awsvpc")
    driver.run()
    driver.exited("main", 3)
    driver.exited(PAUSE)
    assert driver.state.reason == ""


def test_what_was_made_for_the_task_goes_with_it():
    driver = Driver(network_mode="awsvpc")
    driver.run()
    driver.exited("main")
    driver.exited(PAUSE)
    for report in list(driver.state.outbox):
        driver.give(ReportAccepted(task=ARN, number=report.number))
    from agent.core.events import TimerFired

    asked = driver.give(TimerFired(task=ARN, container="", timer="cleanup"))
    assert [type(i) for i in asked[-2:]] == [RemoveResources, Forget]


def test_host_ports_do_not_count_on_a_network_of_its_own():
    assert cost(Driver(network_mode="awsvpc").spec).ports == frozenset()
    assert cost(Driver().spec).ports == {80}
