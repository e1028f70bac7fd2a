"""A REPLICA service: so many tasks, between a floor and a ceiling, of the newest revision.

In one step, stops come before starts: room that a stop frees at once is used in the same step. That order is what
puts a new task beside an old one that is still stopping (aws/amazon-ecs-agent#4106).
Source: `DeploymentConfiguration` (floor, ceiling, rounding); the order within a step is derived from field reports.
"""

from collections.abc import Iterable
from typing import Any

from controlplane.core import lifecycle
from controlplane.core.capacity import launching
from controlplane.core.lifecycle import NewTask
from controlplane.core.model import Release, Service, Task
from controlplane.core.names import Dice, Names
from controlplane.core.placement import explain
from controlplane.core.placement.engine import Caution, Request, caution_of, place
from controlplane.core.placement.explain import Refusal
from controlplane.core.placement.field import is_phantom
from controlplane.core.placement.strategies import SERVICE_DEFAULT
from controlplane.core.policy import CountsStopping, HoldEnds, Policy
from controlplane.core.reconcile import events, rollout, scalein
from controlplane.core.view import Draft
from wire.holds import Proof
from wire.status import InstanceStatus, StopCode, TaskStatus
from wire.story import Kind

STARTS_PER_STEP_MAX = 100
"""Keeps one plan small; the commit leads to the next step at once."""
RELEASE_EXPECTED_SECONDS = 5.0
"""An agent that releases eagerly does so at once; as long as it may, a lack of room is not worth a sentence."""
IMPAIRED_ROUNDS = 3
"""Failed rounds after which people are told (assumed)."""


def floor_of(service: Service) -> int:
    """Healthy tasks that must stay: desired x minimumHealthyPercent, rounded up; more than desired makes no sense."""
    return min(service.desired_count, -(-service.desired_count * service.minimum_healthy_percent // 100))


def ceiling_of(service: Service) -> int:
    """Tasks that may be there: desired x maximumPercent, rounded down."""
    return service.desired_count * service.maximum_percent // 100


def is_healthy(task: Task, now: float, policy: Policy) -> bool:
    """RUNNING for long enough. Health checks of containers and target groups are not looked at."""
    if not task.is_live or task.last_status is not TaskStatus.RUNNING or task.started_at is None:
        return False
    return now - task.started_at >= policy.healthy_after_seconds


def drain(draft: Draft, service: Service, *, names: Names) -> None:
    """A deleted service: everything stops; INACTIVE once all is STOPPING or STOPPED (API reference, DeleteService)."""
    live = [task for task in draft.tasks_of(service.arn) if task.is_live]
    for task in live:
        _stop(draft, service, task)
    if live:
        service = events.stopped(draft, service, live, names)
    if all(rollout.is_gone(task) for task in draft.tasks_of(service.arn)):
        rollout.end(draft, service)


class Replica:
    """One step of one service. Lives as long as one evaluation."""

    def __init__(self, draft: Draft, service: Service, *, names: Names, dice: Dice) -> None:
        cluster = draft.cluster(service.cluster)
        self.draft = draft
        self.service = service
        self.names = names
        self.dice = dice
        self.policy = cluster.policy if cluster is not None else Policy()
        self.look_again: list[float] = []
        self.has_moved = False
        """Leases have run out in this step: nobody is to wait in the same place again."""
        self._read()

    def _read(self) -> None:
        """What there is now. `keep` are tasks as wanted; `leave` belong to an old revision or a DRAINING instance."""
        draft, primary = self.draft, self.service.deployments[0].id
        self.tasks = draft.tasks_of(self.service.arn)
        self.live = [task for task in self.tasks if task.is_live]
        self.stopping = [task for task in self.tasks if task.is_stopping]
        self.keep = [task for task in self.live if task.deployment == primary and not self._on_draining(task)]
        kept = {task.arn for task in self.keep}
        self.leave = [task for task in self.live if task.arn not in kept]
        self.healthy = [task for task in self.live if is_healthy(task, draft.now, self.policy)]

    def step(self) -> float | None:
        """Stop, then start, then bring the deployments up to date. Returns when to look again."""
        self.service = rollout.count_failures(self.draft, self.service, self.tasks)
        stops = self._surplus() + self._leaving()
        for task in stops:
            _stop(self.draft, self.service, task)
        if stops:
            self.service = events.stopped(self.draft, self.service, stops, self.names)
        moved = self._move_waiting({task.arn for task in stops})
        if stops or moved:
            self._read()
        unplaced = self._start(self._startable())
        self._read()
        self._settle(unplaced)
        self._await_health()
        return min((at for at in self.look_again if at > self.draft.now), default=None)

    def _surplus(self) -> list[Task]:
        """More of the newest than wanted: those that do not run first, then those not healthy yet, then by rule."""
        return self._least_missed(self.keep, len(self.keep) - self.service.desired_count)

    def _leaving(self) -> list[Task]:
        """Tasks that are to go: at once where they do not run, else as many as the floor allows."""
        pending = [task for task in self.leave if task.last_status.is_starting]
        running = [task for task in self.leave if not task.last_status.is_starting]
        healthy = {task.arn for task in self.healthy}
        spare = len(healthy) - floor_of(self.service)
        if spare < 0:
            return pending
        young = [task for task in running if task.arn not in healthy]
        old = [task for task in running if task.arn in healthy]
        chosen = self._by_rule(old, spare)
        if chosen:
            self._lean_on(self.healthy)
        return pending + young + chosen

    def _least_missed(self, tasks: list[Task], count: int) -> list[Task]:
        if count <= 0:
            return []
        healthy = {task.arn for task in self.healthy}
        chosen: list[Task] = []
        for group in (
            [task for task in tasks if task.last_status.is_starting],
            [task for task in tasks if not task.last_status.is_starting and task.arn not in healthy],
            [task for task in tasks if not task.last_status.is_starting and task.arn in healthy],
        ):
            chosen += self._by_rule(group, min(count - len(chosen), len(group)))
        return chosen

    def _by_rule(self, candidates: list[Task], count: int) -> list[Task]:
        return scalein.choose(self.draft, self.service, candidates, self.live, count=max(0, count), dice=self.dice)

    def _lean_on(self, tasks: Iterable[Task]) -> None:
        for task in tasks:
            self.draft.expect(task)

    def _on_draining(self, task: Task) -> bool:
        instance = self.draft.instance(task.instance) if task.instance else None
        return instance is not None and instance.status is InstanceStatus.DRAINING

    def _startable(self) -> int:
        """How many tasks may start now: what is missing, below the ceiling, once the back-off is over."""
        missing = self.service.desired_count - len(self.keep)
        if missing <= 0:
            return 0
        retry_at = rollout.retry_at(self.service)
        if self.draft.now < retry_at:
            self.look_again.append(retry_at)
            return 0
        below = ceiling_of(self.service) - len(self.live) - len(self._counted_stopping())
        return max(0, min(missing, below, STARTS_PER_STEP_MAX))

    def _counted_stopping(self) -> list[Task]:
        """Stopping tasks that count against the ceiling: the policy's switch."""
        if self.policy.counts_stopping is CountsStopping.NEVER:
            return []
        if self.policy.counts_stopping is CountsStopping.ALWAYS:
            return self.stopping
        until = {task.arn: (task.stopping_at or 0) + self.policy.counts_stopping_seconds for task in self.stopping}
        self.look_again += until.values()
        return [task for task in self.stopping if until[task.arn] > self.draft.now]

    def _start(self, wanted: int) -> int:
        """Start as many of the `wanted` as fit. Returns how many do not."""
        if not wanted:
            return 0
        caution = Caution.ONLY_EMPTY if self.has_moved else caution_of(self.policy)
        launched = launching.launch(
            self.draft,
            self.service.cluster,
            launching.strategy_of(self.service),
            self._request(wanted, caution),
            create=self._create,
            keep=self.keep,
            may_wait=self._release_expected_by() <= self.draft.now,
            dice=self.dice,
        )
        started = [task for task in launched.started if task.instance is not None]
        self.service = events.started(self.draft, self.service, started, self.names)
        if launched.is_over_limit:
            self._say(events.over_limit(self.service))
        if len(launched.started) < wanted:
            self._tell_unplaced(launched.refusals)
        return wanted - len(launched.started)

    def _create(self, instance: str | None, body: dict[str, Any]) -> Task:
        deployment = self.service.deployments[0]
        definition = self.draft.task_definition(deployment.task_definition)
        assert definition is not None, f"{deployment.task_definition} is in use and gone"
        new = NewTask(
            cluster=self.service.cluster,
            group=self._group,
            instance=instance,
            service=self.service.arn,
            deployment=deployment.id,
            started_by=deployment.id,
            body=body,
        )
        return lifecycle.create(self.draft, definition, new, self.names)

    def _request(self, count: int, caution: Caution, avoid: frozenset[str] = frozenset()) -> Request:
        definition = self.draft.task_definition(self.service.deployments[0].task_definition)
        assert definition is not None
        return Request(
            cluster=self.service.cluster,
            group=self._group,
            amounts=definition.amounts,
            count=count,
            strategy=self.service.placement_strategy or SERVICE_DEFAULT,
            constraints=self.service.placement_constraints,
            caution=caution,
            avoid=avoid,
        )

    @property
    def _group(self) -> str:
        return f"service:{self.service.name}"

    def _tell_unplaced(self, refusals: tuple[Refusal, ...]) -> None:
        expected_by = self._release_expected_by()
        if expected_by > self.draft.now:
            self.look_again.append(expected_by)
            return
        message = explain.unable_to_place(self.service.name, refusals)
        if events.is_news(self.draft, self.service, message):
            reasons = explain.tally(refusals)
            instances = len(refusals)
            self.draft.tell(Kind.PLACEMENT_FAILED, self.service.arn, reasons=reasons, instances=instances)
            self.service = events.tell(self.draft, self.service, message, self.names)

    def _release_expected_by(self) -> float:
        """Until when an agent may still answer a stop by releasing the room at once; 0: none will."""
        if self.policy.hold_ends is not HoldEnds.AGENT_REPORT:
            return 0.0
        expected = [0.0]
        for task in self.stopping:
            instance = self.draft.instance(task.instance) if task.instance and task.hold else None
            if instance is not None and instance.agent_connected and instance.release is Release.EAGER:
                expected.append((task.stopping_at or 0) + RELEASE_EXPECTED_SECONDS)
        return max(expected)

    def _move_waiting(self, stopped: set[str]) -> bool:
        """Give up the places of tasks whose lease has run out, as many as fit where nothing has to be waited for."""
        lease = self.policy.pending_lease_seconds
        if lease is None:
            return False
        waiting = [t for t in self.keep if t.last_status is TaskStatus.PENDING and t.arn not in stopped]
        ends = {task.arn: task.hold.since + lease for task in waiting if task.hold is not None}
        self.look_again += ends.values()
        over = [task for task in waiting if ends.get(task.arn, self.draft.now + 1) <= self.draft.now]
        expired = [task for task in over if self._is_behind_stopping(task)]
        if not expired:
            return False
        self.look_again.append(self.draft.now + lease)
        avoid = frozenset(task.instance for task in expired if task.instance)
        if launching.waits(self.draft, self.service.cluster, launching.strategy_of(self.service)):
            moved = expired  # whoever finds no other place waits in PROVISIONING, where managed scaling sees it
        else:
            request = self._request(len(expired), Caution.ONLY_EMPTY, avoid)
            moved = expired[: len(place(self.draft, request, self.dice).placed)]
        self.has_moved = bool(moved)
        for task in moved:
            _stop(self.draft, self.service, task, proof=Proof.LEASE_EXPIRED)
        if moved:
            self.service = events.stopped(self.draft, self.service, moved, self.names)
        return bool(moved)

    def _is_behind_stopping(self, task: Task) -> bool:
        return task.instance is not None and any(map(is_phantom, self.draft.tasks_on(task.instance)))

    def _settle(self, unplaced: int) -> None:
        """Deployments and the sentences about states."""
        desired_count = self.service.desired_count
        desired: dict[str | None, int] = {}
        for task in self.live:
            desired[task.deployment] = desired.get(task.deployment, 0) + 1
        primary = self.service.deployments[0].id
        others = sum(count for deployment, count in desired.items() if deployment != primary)
        shifted = min(desired_count, desired.get(primary, 0) + unplaced)
        desired[primary] = shifted if others else desired_count
        healthy = {task.arn for task in self.healthy}
        is_steady = not self.leave and len(self.keep) == desired_count == len(healthy)
        before = self.service.deployments[0].rollout_state
        counts = {deployment: count for deployment, count in desired.items() if deployment is not None}
        self.service = rollout.advance(self.draft, self.service, self.tasks, counts, is_steady=is_steady)
        if before != "COMPLETED" and self.service.deployments[0].rollout_state == "COMPLETED":
            text = events.completed(self.service, primary)
            self.service = events.tell(self.draft, self.service, text, self.names)
        if is_steady and len(self.service.deployments) == 1:
            self._say(events.steady(self.service))
        if self.leave and floor_of(self.service) >= ceiling_of(self.service):
            self._say(events.deadlocked(self.service))
        if rollout.failed_rounds(self.service) >= IMPAIRED_ROUNDS:
            self._say(events.impaired(self.service))

    def _say(self, message: str) -> None:
        if events.is_news(self.draft, self.service, message):
            self.service = events.tell(self.draft, self.service, message, self.names)

    def _await_health(self) -> None:
        wait = self.policy.healthy_after_seconds
        self.look_again += [t.started_at + wait for t in self.live if t.started_at is not None]


def _stop(draft: Draft, service: Service, task: Task, *, proof: Proof | None = None) -> None:
    lifecycle.request_stop(
        draft,
        task,
        stop_code=StopCode.SERVICE_SCHEDULER_INITIATED,
        reason=f"Scaling activity initiated by (deployment {service.deployments[0].id})",
        proof=proof,
    )
