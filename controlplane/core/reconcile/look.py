"""One look at one service: what there is, by what measure it is healthy, and the hands that start and stop.

It decides nothing; `replica`, `daemon` and their like do. Lives as long as one evaluation.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from controlplane.core import lifecycle, tagging
from controlplane.core.balancing import targets, traffic
from controlplane.core.capacity import launching
from controlplane.core.lifecycle import NewTask
from controlplane.core.model import Deployment, Release, Service, Task, TaskDefinition
from controlplane.core.names import Dice, Names
from controlplane.core.placement import explain
from controlplane.core.placement.explain import Refusal
from controlplane.core.placement.request import Caution, Chooser, Request, caution_of, service_request
from controlplane.core.policy import CountsStopping, HoldEnds, Policy, ProtectionCovers
from controlplane.core.reconcile import events, health, scalein, throttle
from controlplane.core.reconcile.health import Soundness
from controlplane.core.rollouts import ServiceRevision
from controlplane.core.view import Draft, View
from wire.holds import Proof
from wire.status import InstanceStatus, StopCode
from wire.story import Kind

STARTS_PER_STEP_MAX = 100
"""Keeps one plan small; the commit leads to the next step at once."""
RELEASE_EXPECTED_SECONDS = 5.0
"""An agent that releases eagerly does so at once; as long as it may, a lack of room is not worth a sentence."""


def floor_of(service: Service, wanted: int | None = None) -> int:
    """Healthy tasks that must stay: desired x minimumHealthyPercent, rounded up; more than desired makes no sense.

    `wanted`: of so many instead of the desired count.
    """
    wanted = service.desired_count if wanted is None else wanted
    return min(wanted, -(-wanted * service.minimum_healthy_percent // 100))


def ceiling_of(service: Service) -> int:
    """Tasks that may be there: desired x maximumPercent, rounded down."""
    return service.desired_count * service.maximum_percent // 100


def definition_of(view: View, deployment: Deployment) -> TaskDefinition:
    """What a deployment's tasks are made from."""
    definition = view.task_definition(deployment.task_definition)
    assert definition is not None, f"{deployment.task_definition} is in use and gone"
    return definition


@dataclass
class Team:
    """The tasks of one deployment that are meant to be there, `wanted` of them."""

    deployment: Deployment
    wanted: int
    tasks: list[Task]
    """Live ones, not on a DRAINING instance."""
    paired: set[str] = field(default_factory=set)
    """Unhealthy ones (ARN) that another task stands in for already: they no longer count."""

    @property
    def counted(self) -> list[Task]:
        """Those that count towards `wanted`."""
        return [task for task in self.tasks if task.arn not in self.paired]


class Look:
    """What an evaluation sees and does."""

    def __init__(self, draft: Draft, service: Service, *, names: Names, dice: Dice) -> None:
        cluster = draft.cluster(service.cluster)
        self.draft = draft
        self.service = service
        self.names = names
        self.dice = dice
        self.policy = cluster.policy if cluster is not None else Policy()
        self.times: list[float] = []
        """Epoch seconds at which another look is worth it."""
        self.extra_room = 0
        """Tasks that the ceiling of the service allows besides, as for green beside blue."""
        self.unplaced = 0
        """Tasks that found no room in this look."""
        self.kept_free: Callable[[], frozenset[str]] = frozenset
        """Instances (ARN) that wait for a daemon task; asked only where something starts."""
        self.has_moved = False
        """Leases have run out in this look: nobody is to wait in the same place again."""
        self.stopped: set[str] = set()
        """ARNs of those told to stop in this look."""
        self.read()

    def read(self) -> None:
        """What there is now."""
        draft, service = self.draft, self.service
        self.tasks = draft.tasks_of(service.arn)
        self.live = [task for task in self.tasks if task.is_live]
        self.stopping = [task for task in self.tasks if task.is_stopping]
        self.sound = {t.arn: health.soundness(t, service, draft.now, self.policy) for t in self.live}
        self.healthy = [task for task in self.live if self.sound[task.arn] is Soundness.HEALTHY]

    def look_again_at(self) -> float | None:
        """The nearest time at which another look is due."""
        for task in self.live:
            self.times += health.changes_at(task, self.service, self.policy)
        return min((at for at in self.times if at > self.draft.now), default=None)

    # -- what there is -------------------------------------------------------------------------------------------------

    def is_(self, task: Task, *kinds: Soundness) -> bool:
        """Whether a task stands so."""
        return self.sound.get(task.arn, Soundness.GONE) in kinds

    def on_draining(self, task: Task) -> bool:
        """Whether its instance is DRAINING."""
        instance = self.draft.instance(task.instance) if task.instance else None
        return instance is not None and instance.status is InstanceStatus.DRAINING

    def is_held(self, task: Task) -> bool:
        """Whether its scale-in protection keeps it from a deployment, a scale-in, a drain. Notes when that ends."""
        if not task.is_protected(self.draft.now):
            return False
        if self.on_draining(task) and self.policy.protection_covers is ProtectionCovers.DEPLOYMENTS:
            return False
        assert task.protected_until is not None
        self.times.append(task.protected_until)
        return True

    def counted_stopping(self) -> list[Task]:
        """Stopping tasks that count against the ceiling: the policy's switch."""
        if self.policy.counts_stopping is CountsStopping.NEVER:
            return []
        if self.policy.counts_stopping is CountsStopping.ALWAYS:
            return self.stopping
        until = {task.arn: (task.stopping_at or 0) + self.policy.counts_stopping_seconds for task in self.stopping}
        self.times += until.values()
        return [task for task in self.stopping if until[task.arn] > self.draft.now]

    def room(self) -> int:
        """How many more tasks the ceiling of the service allows."""
        return ceiling_of(self.service) + self.extra_room - len(self.live) - len(self.counted_stopping())

    # -- what it says --------------------------------------------------------------------------------------------------

    def tell(self, sentence: events.Sentence) -> None:
        """Say a sentence."""
        self.service = events.tell(self.draft, self.service, sentence, self.names)

    def say(self, sentence: events.Sentence, *, since: float = 0) -> bool:
        """Say a sentence about a state, where it is news. It is again after six hours, if it still holds then."""
        is_news = events.is_news(self.draft, self.service, sentence, since=since)
        if is_news:
            self.tell(sentence)
        self.times.append(events.repeat_at(self.service, sentence))
        return is_news

    # -- what it does --------------------------------------------------------------------------------------------------

    def choose(self, candidates: list[Task], count: int) -> list[Task]:
        """`count` of the candidates by the rule of scale-in."""
        return scalein.choose(self.draft, self.service, candidates, self.live, count=max(0, count), dice=self.dice)

    def lean_on(self, tasks: Iterable[Task]) -> None:
        """The decision holds only as long as these are as they are."""
        for task in tasks:
            self.draft.expect(task)

    def stop(
        self, tasks: Sequence[Task], *, reason: str = "", proof: Proof | None = None, quietly: bool = False
    ) -> None:
        """Tell these to stop, and people unless `quietly`. Without a `reason` it is scaling activity of the PRIMARY."""
        if not tasks:
            return
        primary = self.service.deployments[0].id if self.service.deployments else "?"
        for task in tasks:
            lifecycle.request_stop(
                self.draft,
                task,
                stop_code=StopCode.SERVICE_SCHEDULER_INITIATED,
                reason=reason or f"Scaling activity initiated by (deployment {primary})",
                proof=proof,
            )
        self.stopped |= {task.arn for task in tasks}
        self.service = targets.tell_draining(self.draft, self.service, (task.arn for task in tasks), self.names)
        if not quietly:
            self.service = events.stopped(self.draft, self.service, tasks, self.names)
        self.read()

    def start(
        self,
        deployment: Deployment,
        count: int,
        *,
        replaces: Sequence[Task] = (),
        only: frozenset[str] | None = None,
    ) -> list[Task]:
        """Start up to `count` tasks of a deployment where they fit; each of `replaces` is stood in for by one.

        `only`: at most one on each of these instances (ARN) and nowhere else.
        """
        count = min(count, STARTS_PER_STEP_MAX, self._launches_left(count))
        if count <= 0:
            return []
        request = self.request(deployment, count, avoid=self.kept_free())
        if only is not None:
            rest = frozenset(i.arn for i in self.draft.instances(self.service.cluster)) - only
            constraints = (*request.constraints, {"type": "distinctInstance"})
            request = msgspec.structs.replace(request, avoid=rest, constraints=constraints, chooser=Chooser.ENGINE)
        stand_ins = iter(replaces)
        launched = launching.launch(
            self.draft,
            self.service.cluster,
            launching.strategy_of(self.service, deployment) if only is None else (),
            request,
            create=lambda instance, body: self.create(deployment, instance, body, replaces=next(stand_ins, None)),
            keep=[t for t in self.live if deployment.task_set is None or t.deployment == deployment.id],
            may_wait=self._release_expected_by() <= self.draft.now,
            dice=self.dice,
        )
        started = launched.started
        placed = [task for task in started if task.instance is not None]
        replaced = min(len(replaces), len(placed))
        self.service = events.started(self.draft, self.service, placed, self.names, replaced=replaced)
        if launched.is_over_limit:
            self.say(events.over_limit(self.service))
        if len(started) < count:
            self.unplaced += count - len(started)
            self._tell_unplaced(launched.refusals)
        self.read()
        return started

    def create(
        self, deployment: Deployment, instance: str | None, body: dict[str, Any], *, replaces: Task | None = None
    ) -> Task:
        """Make one task of a deployment on an instance (ARN; None: it waits for one)."""
        definition = definition_of(self.draft, deployment)
        revision = self.draft.record(ServiceRevision, deployment.revision)
        new = NewTask(
            cluster=self.service.cluster,
            group=f"service:{self.service.name}",
            instance=instance,
            service=self.service.arn,
            deployment=deployment.id,
            started_by=deployment.id,
            targets=traffic.targets_of(self.draft, deployment),
            replaces=replaces.arn if replaces is not None else None,
            digests=revision.digests if revision is not None else {},
            body={
                **body,
                "tags": tagging.of_service_task(self.service, definition),
                "enableExecuteCommand": self.service.body.get("enableExecuteCommand", False),
            },
        )
        return lifecycle.create(self.draft, definition, new, self.names)

    def request(
        self,
        deployment: Deployment,
        count: int,
        *,
        caution: Caution | None = None,
        avoid: frozenset[str] = frozenset(),
    ) -> Request:
        """The placement request for so many copies of a deployment."""
        if caution is None:
            caution = Caution.ONLY_EMPTY if self.has_moved else caution_of(self.policy)
        return service_request(self.service, definition_of(self.draft, deployment), count, caution, avoid)

    def _launches_left(self, count: int) -> int:
        left, at = throttle.launches_left(self.tasks, self.draft.now, self.policy)
        if left is None or left >= count:
            return count
        self.times.append(at)
        self.say(events.throttled(self.service))
        return left

    def _tell_unplaced(self, refusals: Sequence[Refusal]) -> None:
        expected_by = self._release_expected_by()
        if expected_by > self.draft.now:
            self.times.append(expected_by)
            return
        message = explain.unable_to_place(self.service.name, refusals)
        if self.say(events.Sentence(message, "SERVICE_TASK_PLACEMENT_FAILURE")):
            reasons = explain.tally(refusals)
            instances = len(refusals)
            why = explain.sentence(refusals)
            self.draft.tell(Kind.PLACEMENT_FAILED, self.service.arn, reasons=reasons, instances=instances, why=why)

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
