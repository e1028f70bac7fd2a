"""The cluster on paper with capacity: groups whose machines come and go, a scaler that looks once a minute."""

import msgspec
from toy_cluster import EPOCH, Host, ToyCluster

from controlplane.core.capacity import leaving
from controlplane.core.capacity.attachment import PROVIDER_MEMBER
from controlplane.core.capacity.matters import matters
from controlplane.core.capacity.model import CapacityProvider, Group, Hook, Machine, MachineState
from controlplane.core.capacity.pace import Pace
from controlplane.core.lifecycle import NewTask, create
from controlplane.core.model import Cluster, Instance, Release, Task, TaskDefinition
from controlplane.core.policy import Policy
from controlplane.core.view import Draft
from wire.holds import Ledger
from wire.instance_types import INSTANCE_TYPES
from wire.resources import Amounts
from wire.status import InstanceStatus
from wire.story import Kind, StoryLine

REGISTERS_IN = 2.0
"""Seconds from the end of the boot to the registration."""
STRATEGY = ({"capacityProvider": "cp", "weight": 1},)
LOOKS_PER_SECOND = 1


class ToyFleet(ToyCluster):
    """A cluster whose hosts are the machines of one group, `asg`, with one provider, `cp`."""

    def __init__(
        self,
        *,
        policy: Policy | None = None,
        release: Release = Release.NONE,
        desired: int = 0,
        minimum: int = 0,
        maximum: int = 10,
        types: tuple[str, ...] = ("r5.large",),
        boot_seconds: float = 120,
        hooks: tuple[Hook, ...] = (),
        protection: bool = False,
        draining: bool = True,
        scaling: dict[str, object] | None = None,
        pace: Pace | None = None,
    ) -> None:
        super().__init__(policy=policy, release=release, hosts=0)
        self.pace = pace or Pace()
        self.registered: dict[str, str] = {}
        """Instance by machine."""
        group = Group(
            name="asg",
            arn="arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:u:autoScalingGroupName/asg",
            cluster="default",
            desired=desired,
            minimum=minimum,
            maximum=maximum,
            instance_types=types,
            zones=self.zones,
            boot_seconds=boot_seconds,
            hooks=hooks,
        )
        settings = {
            "autoScalingGroupArn": group.arn,
            "managedScaling": {"status": "ENABLED", **(scaling or {})},
            "managedTerminationProtection": "ENABLED" if protection else "DISABLED",
            "managedDraining": "ENABLED" if draining else "DISABLED",
        }
        provider = CapacityProvider(name="cp", arn="cp", body={"autoScalingGroupProvider": settings})

        def begin(draft: Draft) -> None:
            draft.put(group)
            draft.put(provider)
            cluster = draft.record(Cluster, "default")
            draft.put(msgspec.structs.replace(cluster, body={"capacityProviders": ["cp"]}))

        self.decide("make the group", begin)
        self._tick()

    # what people do

    def create_service(self, definition: TaskDefinition, *, desired: int, name: str = "web", **members: object) -> str:
        members.setdefault("body", {"capacityProviderStrategy": list(STRATEGY)})
        return super().create_service(definition, desired=desired, name=name, **members)

    def run_task(self, definition: TaskDefinition, instance: str | None = None) -> Task:
        made: list[Task] = []
        body = {PROVIDER_MEMBER: "cp"}
        new = NewTask(cluster="default", group=f"family:{definition.family}", instance=instance, body=body)
        self.decide("run", lambda draft: made.append(create(draft, definition, new, self.names)))
        return self.state.task(made[0].arn)

    def change(self, record: object, **members: object) -> None:
        self.decide("change", lambda draft: draft.put(msgspec.structs.replace(record, **members)))

    # what there is

    @property
    def group(self) -> Group:
        return next(iter(self.state.records(Group)))

    def machines(self, *states: MachineState) -> list[Machine]:
        return [m for m in self.state.records(Machine) if not states or m.state in states]

    def in_service(self) -> list[Machine]:
        return self.machines(MachineState.IN_SERVICE)

    def instance(self, machine: Machine) -> Instance:
        return self.state.instance(self.registered[machine.id])

    def looks(self) -> list[StoryLine]:
        return [line for line in self.story if line.kind == Kind.SCALER_LOOK]

    def acts(self) -> list[tuple[int, str, int, int]]:
        """(minute, act, percent, desired) of every look that acted."""
        return [
            (round((line.at - EPOCH) / 60), line.data["act"], round(line.data["percent"]), line.data["desired"])
            for line in self.looks()
            if line.data["act"] != "none"
        ]

    def taken(self) -> list[StoryLine]:
        return [line for line in self.story if line.kind == Kind.INSTANCE_TAKEN]

    # how it moves

    def _tick(self) -> None:
        due = matters(self.state, now=EPOCH + self.now, names=self.names, dice=self.dice, pace=self.pace)
        for cause, decide in list(due):
            self.decide(cause, decide)
        for machine in self.machines():
            self._run_machine(machine)
        self.at(self.now + 1 / LOOKS_PER_SECOND, self._tick)

    def _run_machine(self, machine: Machine) -> None:
        if machine.state.is_on and not machine.runner:
            self.change(machine, runner="toy")
            self.at(self.now + REGISTERS_IN, lambda: self._register(machine.id))
        elif machine.state is MachineState.TERMINATING_PROCEED:
            self.end_machine(machine.id)

    def end_machine(self, id_: str) -> None:
        """The host is no more, its containers with it."""
        machine = self.state.record(Machine, id_)
        if machine.state is MachineState.TERMINATED:
            return
        host = self.hosts.pop(self.registered.get(id_, ""), None)
        if host is not None:
            host.known = dict.fromkeys(host.known, "stopped")
            host.queue.clear()
        self.decide(
            "the machine ends", lambda draft: leaving.observe_ended(draft, self.group, draft.record(Machine, id_))
        )

    def _register(self, id_: str) -> None:
        machine = self.state.record(Machine, id_)
        if not machine.state.is_on:
            return
        its = INSTANCE_TYPES[machine.instance_type]
        instance = Instance(
            arn=self.names.arns.container_instance("default", f"a{len(self.registered) + 1:031x}"),
            cluster="default",
            agent_connected=True,
            registered=Amounts(
                its.cpu, its.memory_mib, gpus=its.gpus, gpu_ids=frozenset(f"GPU-{id_}-{n}" for n in range(its.gpus))
            ),
            attributes=({"name": "ecs.availability-zone", "value": machine.zone},),
            release=self.release,
            ec2_instance_id=id_,
            group=machine.group,
        )
        self.registered[id_] = instance.arn
        self.nickname(instance.arn, f"I{len(self.registered)}")
        self.hosts[instance.arn] = Host(instance.arn, self.release, Ledger(instance.registered))
        self.decide("registers", lambda draft: draft.put(instance))

    def _stopped(self, host: Host, arn: str, code: int | None) -> None:
        if host.known.get(arn) != "stopped":
            super()._stopped(host, arn, code)

    def _started(self, host: Host, arn: str) -> None:
        if host.known.get(arn) == "starting":
            super()._started(host, arn)

    def active(self) -> list[Instance]:
        return [i for i in self.state.instances("default") if i.status is InstanceStatus.ACTIVE]
