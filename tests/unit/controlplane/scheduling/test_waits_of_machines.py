"""How long a machine that goes is held up, by the control plane's own loops on a clock that jumps: no longer than AWS.

Source: ECS Developer Guide, managed instance draining (48 hours); Auto Scaling API, `LifecycleHook.GlobalTimeout`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest
from virtual_time import VirtualLoop, epoch, run_virtual

from controlplane.api import groups
from controlplane.api.call import Account, Call
from controlplane.core.capacity.model import CapacityProvider, Group, Hook, Machine, MachineState, Transition
from controlplane.core.capacity.pace import Pace
from controlplane.core.model import Cluster, Instance, Task
from controlplane.core.names import Names
from controlplane.core.policy import Policy
from controlplane.core.view import Draft
from controlplane.scheduling.capacity import Capacity
from controlplane.scheduling.sweeper import Sweeper
from controlplane.scheduling.worker import Worker
from controlplane.store.memory import MemoryStore
from wire.arn import ArnMaker
from wire.errors import InvalidParameterException
from wire.resources import Amounts
from wire.status import InstanceStatus, TaskStatus

HOUR = 3600.0
NAMES = Names(ArnMaker("r", "1"), Random(1))
PROVIDER = CapacityProvider(name="cp", arn="cp", body={"autoScalingGroupProvider": {"autoScalingGroupArn": "g"}})
MACHINE = Machine(
    id="i-1", group="g", instance_type="r5.large", zone="a", state=MachineState.IN_SERVICE, launched_at=0, changed_at=0
)
INSTANCE = Instance(arn="i", cluster="c", registered=Amounts(2048, 4096), group="g", ec2_instance_id="i-1")


class Plane:
    """The loops of a control plane, and one machine that is not wanted any more."""

    def __init__(self, *hooks: Hook) -> None:
        self.store = MemoryStore()
        self.group = Group(
            name="g", arn="g", cluster="c", maximum=1, instance_types=("r5.large",), zones=("a",), hooks=hooks
        )

    def machine(self) -> Machine:
        found = self.store.view().record(Machine, MACHINE.id)
        assert found is not None
        return found

    async def begin(self) -> None:
        draft = Draft(self.store.view(), now=epoch(), cause="x")
        for record in (Cluster(name="c", arn="c"), self.group, PROVIDER, MACHINE, INSTANCE):
            draft.put(record)
        task = Task(arn="t", cluster="c", task_definition="d", containers=(), amounts=Amounts(1, 1), group="g")
        draft.begin_hold(task, "i", "placed")
        await self.store.commit(draft.plan())

    async def pass_(self, hours: float) -> None:
        """So many hours go by at once; then the loops look."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.now += hours * HOUR
        await asyncio.sleep(3)

    async def beat_on(self, hours: float) -> None:
        """Prolong the wait, every so many hours."""
        for _ in range(200):
            draft = Draft(self.store.view(), now=epoch(), cause="x")
            body = {"InstanceId": MACHINE.id, "LifecycleHookName": "h"}
            call = Call("RecordLifecycleActionHeartbeat", body, "x", epoch(), Account(NAMES, Policy()), "")
            groups.record_heartbeat(draft, call)
            await self.store.commit(draft.plan())
            await self.pass_(hours)


@asynccontextmanager
async def running(plane: Plane) -> AsyncIterator[Plane]:
    await plane.begin()
    worker = Worker(plane.store, clock=epoch, names=NAMES, dice=NAMES.dice)
    loops = (
        worker.run(),
        Sweeper(plane.store, worker, clock=epoch, sleep=asyncio.sleep).run(),
        Capacity(plane.store, clock=epoch, names=NAMES, dice=NAMES.dice, pace=Pace()).run(),
    )
    jobs = [asyncio.create_task(loop) for loop in loops]
    await asyncio.sleep(3)
    yield plane
    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)


def test_draining_ends_after_48_hours_though_a_task_is_left() -> None:
    async def main() -> None:
        async with running(Plane()) as plane:
            assert plane.machine().state is MachineState.TERMINATING_WAIT
            await plane.pass_(47.9)
            instance = plane.store.view().instance("i")
            assert instance is not None
            assert (plane.machine().state, instance.status) == (
                MachineState.TERMINATING_WAIT,
                InstanceStatus.DRAINING,
            )
            await plane.pass_(0.11)
            assert plane.machine().state is MachineState.TERMINATED
            task = plane.store.view().task("t")
            assert task is not None
            assert task.last_status is TaskStatus.STOPPED

    run_virtual(main())


@pytest.mark.parametrize(("heartbeat_seconds", "hours"), [(HOUR, 48), (0.1 * HOUR, 10)])
def test_heartbeats_prolong_a_wait_up_to_its_limit(heartbeat_seconds: float, hours: float) -> None:
    """48 hours, or a hundred heartbeats."""
    hook = Hook(name="h", transition=Transition.TERMINATING, heartbeat_seconds=heartbeat_seconds)

    async def main() -> None:
        async with running(Plane(hook)) as plane:
            began_at = epoch()
            with pytest.raises(InvalidParameterException, match=r"No active lifecycle action|No instance"):
                await plane.beat_on(0.9 * heartbeat_seconds / HOUR)
            assert hours - 1 < (epoch() - began_at) / HOUR < hours + 1

    run_virtual(main())
