"""A cluster on paper: the control plane's cores, scripted agents and a clock that jumps. No loop, no store, no sleep.

Each host has a ledger and a FIFO queue as Amazon's agent has; a container's behaviour is how long it goes on after
TERM. Every commit goes through the same check as in the real store, and everything is checked after each.
"""

import heapq
from collections.abc import Callable
from itertools import count
from random import Random

import msgspec
from toy_host import Behaviour, Host, happened

from controlplane.core import gpus, health, lifecycle
from controlplane.core.assignment import assignments
from controlplane.core.balancing import targets
from controlplane.core.balancing.records import TargetState
from controlplane.core.batch import Batch
from controlplane.core.cost import task_amounts
from controlplane.core.evaluations import services_to_look_at
from controlplane.core.lifecycle import ContainerReport, TaskReport
from controlplane.core.model import Cluster, Instance, Release, Service, Task, TaskDefinition
from controlplane.core.names import Names
from controlplane.core.plan import Conflict, Key, Plan
from controlplane.core.policy import Policy
from controlplane.core.reconcile import deployments
from controlplane.core.reconcile.service import reconcile
from controlplane.core.rollouts import Alarm, ServiceDeployment
from controlplane.core.state import State
from controlplane.core.view import Draft
from wire.arn import ArnMaker
from wire.holds import Hold, Ledger, Proof
from wire.resources import Amounts
from wire.status import ContainerStatus, DesiredStatus, HealthStatus, StopCode, TaskStatus
from wire.story import StoryLine

R5_LARGE = Amounts(2048, 15731)
TASK = Amounts(1024, 7372)
PORT = 8080
GROUP = "arn:tg"
BALANCED = {"loadBalancers": [{"targetGroupArn": GROUP, "containerName": "app", "containerPort": PORT}]}
"""`body` of a service whose tasks are targets."""
EPOCH = 1_800_000_000.0
STEPS_MAX = 500
"""Evaluations that one change may lead to before it counts as a loop."""


class ToyCluster:
    """The world of a test. `now` is seconds since its start."""

    def __init__(
        self,
        *,
        policy: Policy | None = None,
        release: Release = Release.NONE,
        hosts: int = 2,
        zones: tuple[str, ...] = ("us-east-1a", "us-east-1b"),
        size: Amounts = R5_LARGE,
        seed: int = 1,
    ) -> None:
        self.policy = policy or Policy(healthy_after_seconds=0)
        self.release = release
        self.zones = zones
        self.size = size
        self.dice = Random(seed)
        self.names = Names(ArnMaker("us-east-1", "123456789012"), self.dice)
        self.state = State()
        self.now = 0.0
        self.hosts: dict[str, Host] = {}
        self.behaviour: Callable[[Task], Behaviour] = lambda _: Behaviour()
        self.plans: list[Plan] = []
        self.story: list[StoryLine] = []
        self.checks: list[Callable[[], None]] = []
        self._nicknames: dict[str, str] = {}
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._tickets = count()
        self._hosts_made = count(1)
        self._look_again: dict[str, float] = {}
        self._hosts_told_at = -1.0
        self.decide("make the cluster", lambda draft: draft.put(Cluster(name="default", arn="c", policy=self.policy)))
        for _ in range(hosts):
            self.add_host()

    # what people do

    def add_host(self, size: Amounts | None = None) -> str:
        nth = next(self._hosts_made)
        instance = Instance(
            arn=self.names.arns.container_instance("default", f"{nth:032x}"),
            cluster="default",
            agent_connected=True,
            registered=size or self.size,
            attributes=({"name": "ecs.availability-zone", "value": self.zones[(nth - 1) % len(self.zones)]},),
            release=self.release,
        )
        self.nickname(instance.arn, f"I{nth}")
        self.hosts[instance.arn] = Host(instance.arn, self.release, Ledger(instance.registered))
        self.decide("a host joins", lambda draft: draft.put(instance))
        return instance.arn

    def define(
        self,
        amounts: Amounts = TASK,
        *,
        family: str = "web",
        stop_timeout: int | None = None,
        is_checked: bool = False,
    ) -> TaskDefinition:
        revision = 1 + sum(d.family == family for d in self.state.records(TaskDefinition))
        container = {"name": "app", "image": "busybox", "cpu": amounts.cpu, "memory": amounts.memory_mib}
        if stop_timeout is not None:
            container["stopTimeout"] = stop_timeout
        if is_checked:
            container["healthCheck"] = {"command": ["CMD", "true"]}
        if amounts.gpus:
            container["resourceRequirements"] = [{"type": "GPU", "value": str(amounts.gpus)}]
        if amounts.ports:
            container["portMappings"] = [{"containerPort": p, "hostPort": p} for p in sorted(amounts.ports)]
        body = {"family": family, "containerDefinitions": [container]}
        arn = self.names.arns.task_definition(family, revision)
        definition = TaskDefinition(arn=arn, family=family, revision=revision, amounts=task_amounts(body), body=body)
        self.decide("define", lambda draft: draft.put(definition))
        return definition

    def create_service(self, definition: TaskDefinition, *, desired: int, name: str = "web", **members: object) -> str:
        arn = self.names.arns.service("default", name)
        service = Service(
            arn=arn, name=name, cluster="default", desired_count=desired, task_definition=definition.arn, **members
        )
        self.decide(
            "create the service",
            lambda draft: deployments.begin(draft, service, task_definition=definition.arn, names=self.names),
        )
        return arn

    def deploy(self, service: str, definition: TaskDefinition, **members: object) -> None:
        def begin(draft: Draft) -> None:
            changed = msgspec.structs.replace(draft.service(service), **members)
            deployments.begin(draft, changed, task_definition=definition.arn, names=self.names)

        self.decide("deploy", begin)

    def update(self, service: str, **members: object) -> None:
        self.decide("update", lambda draft: draft.put(msgspec.structs.replace(draft.service(service), **members)))

    def health(self, arn: str, status: HealthStatus) -> None:
        """The container's health check comes to a result."""
        self.decide("health", lambda draft: health.observe(draft, draft.task(arn), {"app": status}))

    def target(self, arn: str, status: HealthStatus, reason: str = "") -> None:
        """The load balancer finds the task so."""

        def found(draft: Draft) -> None:
            task = draft.task(arn)
            seen = (msgspec.structs.replace(t, state=TargetState(status.lower()), reason=reason) for t in task.targets)
            targets.change(draft, task, tuple(seen))

        self.decide("target", found)

    def balance(self, service: str) -> None:
        """Whatever is due for the targets of a service."""
        self.decide("balance", lambda draft: targets.settle(draft, [t.arn for t in self.tasks(service)], self.names))

    def alarm(self, name: str, *, rings: bool) -> None:
        self.decide("alarm", lambda draft: draft.put(Alarm(name=name, is_ringing=rings)))

    def protect(self, arn: str, seconds: float) -> None:
        until = EPOCH + self.now + seconds
        self.decide("protect", lambda draft: draft.put(msgspec.structs.replace(draft.task(arn), protected_until=until)))

    def course(self, service: str) -> ServiceDeployment:
        """The newest service deployment."""
        course = self.state.record(ServiceDeployment, self.service(service).current)
        assert course is not None
        return course

    def stop(self, arn: str) -> None:
        self.decide(
            "stop",
            lambda draft: lifecycle.request_stop(
                draft, draft.task(arn), stop_code=StopCode.USER_INITIATED, reason="Task stopped by user"
            ),
        )

    # what there is

    def service(self, arn: str) -> Service:
        service = self.state.service(arn)
        assert service is not None
        return service

    def tasks(self, service: str) -> list[Task]:
        return self.state.tasks_of(service)

    def live(self, service: str) -> list[Task]:
        return [task for task in self.tasks(service) if task.is_live]

    def stopping(self, service: str) -> list[Task]:
        return [task for task in self.tasks(service) if task.is_stopping]

    def messages(self, service: str) -> list[str]:
        """Service events, oldest first, with nicknames."""
        return [self.named(event.message) for event in reversed(self.service(service).events)]

    def nickname(self, arn: str, name: str) -> None:
        self._nicknames[arn.rsplit("/", 1)[-1]] = name

    def named(self, text: str) -> str:
        for id_, name in self._nicknames.items():
            text = text.replace(id_, name)
        return text

    def free(self, instance: str) -> tuple[tuple[int, int], tuple[int, int]]:
        """(cpu, MiB) free on the placement ledger, and on the host's."""
        placement, host = self.state.free(instance), self.hosts[instance].ledger.free
        return (placement.cpu, placement.memory_mib), (host.cpu, host.memory_mib)

    def phantoms(self) -> list[Task]:
        """Tasks whose hold has ended on the placement ledger while it stands on the host's."""
        held = [hold.subject for host in self.hosts.values() for hold in host.ledger]
        return [task for arn in held if (task := self.state.task(arn)) is not None and task.hold is None]

    # how it moves

    def run(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + seconds
        while self._agenda and self._agenda[0][0] <= until:
            self.now, _, action = heapq.heappop(self._agenda)
            action()
        self.now = until

    def at(self, time: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (max(time, self.now), next(self._tickets), action))

    def race(self, decision: Callable[[Draft], object], meanwhile: Callable[[], object], service: str) -> bool:
        """As `decide`, but `meanwhile` comes to pass before what the service makes of it is committed.

        Returns whether the commit was taken all the same.
        """
        self._commit("decision", decision)
        draft = Draft(self.state, now=EPOCH + self.now, cause="evaluation")
        reconcile(draft, service, names=self.names, dice=self.dice)
        meanwhile()
        changed: tuple[Key, ...] = ((Service.table, service),)
        try:
            changed += self._accept(draft)
        except Conflict:
            return False
        finally:
            self._follow(changed)
        return True

    def decide(self, cause: str, decision: Callable[[Draft], object]) -> None:
        """Decide, commit, look at the services, tell the hosts."""
        self._follow(self._commit(cause, decision))

    def _follow(self, changed: tuple[Key, ...]) -> None:
        for _ in range(STEPS_MAX):
            if not changed:
                break
            look = services_to_look_at(self.state, changed)
            changed = sum((self._evaluate(service) for service in look), ())
        else:
            raise AssertionError("evaluations never come to rest")
        if self._hosts_told_at < self.now:
            self._hosts_told_at = self.now
            self.at(self.now + 0.01, lambda: [self._sync(host) for host in self.hosts.values()])

    def _evaluate(self, service: str) -> tuple[Key, ...]:
        again: list[float | None] = []
        changed = self._commit(
            "evaluation",
            lambda draft: again.append(reconcile(draft, service, names=self.names, dice=self.dice)),
        )
        if again[0] is not None and self._look_again.get(service) != again[0]:
            self._look_again[service] = again[0]
            self.at(again[0] - EPOCH, lambda: self._follow(self._evaluate(service)))
        return changed

    def _commit(self, cause: str, decision: Callable[[Draft], object]) -> tuple[Key, ...]:
        draft = Draft(self.state, now=EPOCH + self.now, cause=cause)
        decision(draft)
        changed = self._accept(draft)
        for instance in self.state.instances("default") if changed else ():
            assert self.state.free(instance.arn) == draft.free(instance.arn), "draft and ledger disagree"
        return changed

    def _accept(self, draft: Draft) -> tuple[Key, ...]:
        plan = draft.plan()
        if not plan:
            return ()
        Batch(self.state).accept(plan)
        self.state.apply(plan, self.state.revision + 1)
        self.plans.append(plan)
        self.story += plan.story
        for check in self.checks:
            check()
        return plan.changed

    # what agents do

    def _sync(self, host: Host) -> None:
        for assignment in assignments(self.state, host.arn):
            arn = assignment.task.arn
            known = host.known.get(arn)
            if assignment.desired is DesiredStatus.RUNNING and known is None:
                host.known[arn] = "queued"
                host.queue.append(arn)
                self._admit(host)
            elif assignment.desired is DesiredStatus.STOPPED and known in {None, "queued", "starting", "running"}:
                self._stop(host, assignment.task, known)

    def _admit(self, host: Host) -> None:
        while host.queue:
            task = self.state.task(host.queue[0])
            assert task is not None
            amounts = msgspec.structs.replace(task.amounts, gpu_ids=gpus.handed_out(task))
            if host.ledger.lacks(amounts):
                return
            host.queue.pop(0)
            host.ledger.begin(Hold(task.arn, amounts, self.now, "admitted"))
            host.known[task.arn] = "starting"
            self.at(self.now + self.behaviour(task).starts_in, lambda arn=task.arn: self._started(host, arn))

    def _started(self, host: Host, arn: str) -> None:
        if host.known[arn] != "starting":
            return
        task = self.state.task(arn)
        if self.behaviour(task).fails:
            host.known[arn] = "stopped"
            host.ledger.end(arn, Proof.NEVER_STARTED)
            self._report(arn, TaskReport(status=TaskStatus.STOPPED, reason="CannotPullContainerError: no such image"))
            self._admit(host)
            return
        host.known[arn] = "running"
        running = ContainerReport(
            name="app",
            status=ContainerStatus.RUNNING,
            runtime_id="d" * 12,
            image_digest=self.behaviour(task).digest or None,
            network_bindings=({"containerPort": PORT, "hostPort": PORT},),
        )
        self._report(arn, TaskReport(status=TaskStatus.RUNNING, containers=(running,)))

    def _stop(self, host: Host, task: Task, known: str | None) -> None:
        host.known[task.arn] = "stopping"
        self.decide("ack", lambda draft: lifecycle.observe_told(draft, draft.task(task.arn)))
        if known in {None, "queued"}:
            if known:
                host.queue.remove(task.arn)
            self._stopped(host, task.arn, None)
            return
        if host.release is Release.EAGER:
            self._release(task.arn, Proof.STOP_REQUESTED)
        grace = lifecycle.deadline(task, 0)
        quits_in = self.behaviour(task).quits_in
        code = 0 if quits_in <= grace else 137
        self.at(self.now + min(quits_in, grace), lambda: self._stopped(host, task.arn, code))

    def exit_unseen(self, arn: str) -> None:
        """A running task's container ends by itself, and no service has looked at it yet."""
        host = self.hosts[self.state.task(arn).instance]
        host.known[arn] = "stopped"
        host.ledger.end(arn, Proof.EXIT_SEEN)
        gone = TaskReport(status=TaskStatus.STOPPED, containers=(ContainerReport(name="app", exit_code=0),))
        self._commit("report", lambda draft: lifecycle.observe(draft, draft.task(arn), gone))

    def exit(self, arn: str, code: int = 0) -> None:
        """A running task's container ends by itself, now."""
        task = self.state.task(arn)
        assert task is not None
        assert task.instance is not None
        self._stopped(self.hosts[task.instance], arn, code)

    def _stopped(self, host: Host, arn: str, code: int | None) -> None:
        host.known[arn] = "stopped"
        host.ledger.end(arn, Proof.EXIT_SEEN)
        if host.release is Release.ON_EXIT:
            self._release(arn, Proof.EXIT_SEEN if code is not None else Proof.NEVER_STARTED)
        gone = ContainerReport(name="app", status=ContainerStatus.STOPPED, exit_code=code)
        self._report(arn, TaskReport(status=TaskStatus.STOPPED, containers=(gone,)))
        self._admit(host)

    def _release(self, arn: str, proof: Proof) -> None:
        self.decide("release", lambda draft: lifecycle.observe_release(draft, draft.task(arn), proof))

    def _report(self, arn: str, report: TaskReport) -> None:
        self.decide("report", lambda draft: lifecycle.observe(draft, draft.task(arn), report))

    # what tests compare

    def timeline(self) -> list[str]:
        """The story of tasks with nicknames and seconds: what was held, ended, and where each task stood."""
        told = [(line, happened(line, self._short)) for line in self.story]
        return [f"{line.at - EPOCH:6.2f} {self._short(line.subject)} {what}" for line, what in told if what]

    def _short(self, arn: str) -> str:
        return self.named(arn.rsplit("/", 1)[-1])
