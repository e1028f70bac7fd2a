"""The rules of the service scheduler said once more, from outside: what one step may do, by what was and what is.

Nothing of `core/reconcile` is called but its measure of health. Each rule takes a `Step` and asserts.
Source: ECS Developer Guide, "Rolling update deployments", "Amazon ECS services", "Daemon scheduling strategy".
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil

from controlplane.core.model import Deployment, Instance, Scheduling, Service, Task
from controlplane.core.policy import CountsStopping, Policy, UnhealthyInRollout
from controlplane.core.reconcile.health import Soundness, soundness
from controlplane.core.rollouts import RolloutStatus, ServiceDeployment, Stage, Strategy
from wire.status import InstanceStatus, TaskStatus

STRATEGIES_IN_STAGES = {Strategy.BLUE_GREEN, Strategy.LINEAR, Strategy.CANARY}
FIRST_RETRY_SECONDS = 10


@dataclass
class Moment:
    """What there was of one service at one revision."""

    service: Service
    tasks: list[Task]
    """All of the service."""
    all_tasks: list[Task]
    """Of the cluster."""
    instances: dict[str, Instance]
    course: ServiceDeployment | None
    now: float
    policy: Policy

    def sound(self, task: Task) -> Soundness:
        return soundness(task, self.service, self.now, self.policy)

    @property
    def live(self) -> list[Task]:
        return [task for task in self.tasks if task.is_live]

    def healthy(self, tasks: Iterable[Task]) -> list[Task]:
        return [task for task in tasks if self.sound(task) is Soundness.HEALTHY]

    def drains(self, task: Task) -> bool:
        instance = self.instances.get(task.instance or "")
        return instance is not None and instance.status is InstanceStatus.DRAINING

    @property
    def counted_stopping(self) -> list[Task]:
        counts = self.policy.counts_stopping is CountsStopping.ALWAYS
        return [task for task in self.tasks if task.is_stopping and counts]

    @property
    def is_staged(self) -> bool:
        course = self.course
        return course is not None and course.settings.strategy in STRATEGIES_IN_STAGES and not course.status.is_over

    @property
    def newest(self) -> Deployment:
        return self.service.deployments[0]

    @property
    def ceiling(self) -> int:
        """Green stands beside blue, whole."""
        own = self.service.desired_count * self.service.maximum_percent // 100
        going = self.is_staged and self.course is not None and not self.course.is_rolling_back
        return own + (self.service.desired_count if going else 0)

    @property
    def floor(self) -> int:
        wanted = self.service.desired_count
        return min(wanted, ceil(wanted * self.service.minimum_healthy_percent / 100))


@dataclass
class Step:
    """One evaluation of one service."""

    before: Moment
    after: Moment

    @property
    def stopped(self) -> list[Task]:
        """Those told to stop by it, as they were."""
        live = {task.arn for task in self.after.live}
        return [task for task in self.before.live if task.arn not in live]

    @property
    def started(self) -> list[Task]:
        known = {task.arn for task in self.before.tasks}
        return [task for task in self.after.tasks if task.arn not in known]

    def reason(self, task: Task) -> str:
        return next(each.stopped_reason or "" for each in self.after.tasks if each.arn == task.arn)

    def stopped_for_health(self) -> list[Task]:
        return [task for task in self.stopped if "health checks" in self.reason(task)]


def the_floor_holds(step: Step) -> None:
    """A healthy task stops only while enough others are healthy."""
    after = step.after
    daemon_strays = after.service.scheduling is Scheduling.DAEMON and any(map(after.drains, step.stopped))
    if step.before.healthy(step.stopped) and not daemon_strays:
        assert len(after.healthy(after.live)) >= after.floor, "below the floor"


def the_ceiling_holds(step: Step) -> None:
    """A task starts only where the ceiling allows one more. One that its zone is left for counts too."""
    after = step.after
    if step.started and after.service.scheduling is Scheduling.REPLICA:
        assert len(after.live) + len(after.counted_stopping) <= after.ceiling, "above the ceiling"


def what_is_not_healthy_goes_first(step: Step) -> None:
    """Nobody healthy stops while one beside it, of the same deployment, has not even started."""
    for task in step.before.healthy(step.stopped):
        for other in step.after.live:
            is_younger = step.before.sound(other) is Soundness.STARTING and other.deployment == task.deployment
            is_spared = other.is_protected(step.after.now) or other.replaces is not None or task.arn in _replaced(step)
            assert not is_younger or is_spared or step.before.drains(task), "a healthy task went before one that starts"


def scale_in_keeps_the_balance(step: Step) -> None:
    """Who stops alone was in the zone that had most, and there on the instance that had most."""
    stopped = [task for task in step.stopped if not step.before.drains(task)]
    if len(stopped) != 1 or step.stopped_for_health() or stopped[0].arn in _replaced(step):
        return
    task, before = stopped[0], step.before
    if before.service.scheduling is Scheduling.DAEMON:
        return
    alike = [task] + [
        other
        for other in before.live
        if before.sound(other) is before.sound(task)
        and other.deployment == task.deployment
        and not other.is_protected(before.now)
        and not before.drains(other)
        and other.replaces is None
        and other.arn not in _replaced(step)
    ]
    zones, hosts = _counts(before, before.live)
    assert zones[_zone(before, task)] == max(zones[_zone(before, other)] for other in alike), "not the fullest zone"
    here = [other for other in alike if zones[_zone(before, other)] == zones[_zone(before, task)]]
    assert hosts[task.instance] == max(hosts[other.instance] for other in here), "not the fullest instance"


def below_the_floor_nobody_is_given_up(step: Step) -> None:
    """While too few are healthy, an old task that may yet be is not stopped for the new ones."""
    before = step.before
    if len(before.healthy(before.live)) < step.after.floor and before.service.scheduling is Scheduling.REPLICA:
        older = [task for task in step.stopped if task.deployment != step.after.newest.id]
        young = [task for task in older if before.sound(task) is Soundness.SETTLING]
        assert not young or before.is_staged, "given up too early"


def a_failed_deployment_starts_nothing(step: Step) -> None:
    """FAILED deployments start no more tasks."""
    failed = {d.id for d in step.after.service.deployments if d.rollout_state == "FAILED"}
    stand_ins = {task.arn for task in step.started if task.replaces is not None}
    assert not [task for task in step.started if task.deployment in failed and task.arn not in stand_ins]


def what_never_starts_is_tried_less(step: Step) -> None:
    """After a failure nothing of the newest deployment starts for a while."""
    newest = step.after.newest
    if newest.failed_at is not None and newest.unstarted_tasks:
        tried = [task for task in step.started if task.deployment == newest.id]
        assert not tried or step.after.now >= newest.failed_at + FIRST_RETRY_SECONDS, "tried again at once"


def the_unhealthy_stop_in_order(step: Step) -> None:
    """Once the stand-in is healthy, or either of two unhealthy ones; or one at a time where none can start beside."""
    before, alone = step.before, []
    is_rolling = len(step.after.service.deployments) > 1
    if is_rolling and before.policy.unhealthy_in_rollout is UnhealthyInRollout.STOP_FIRST:
        return
    for task in step.stopped_for_health():
        # One on a DRAINING instance leaves as well, and needs somebody itself: it stands in for nobody.
        # And one of an earlier illness is none for this one.
        since = _unhealthy_since(step, task)
        coming = [other for other in before.live if other.replaces == task.arn and not before.drains(other)]
        stand_in = next((other for other in coming if other.is_move or other.created_at >= since), None)
        partner = next((other for other in before.live if other.arn == task.replaces), None)
        sound = step.after.sound(stand_in) if stand_in is not None else None
        if sound is Soundness.HEALTHY or (partner is not None and step.after.sound(partner) is Soundness.UNHEALTHY):
            continue
        if stand_in is not None:
            assert sound in {Soundness.UNHEALTHY, Soundness.GONE}, "stopped before its stand-in was healthy"
            continue
        alone.append(task)
    assert len(alone) <= 1, "more than one unhealthy task at a time"
    if alone and before.service.scheduling is Scheduling.REPLICA:
        others = len(before.live) + len(before.counted_stopping)
        assert others >= step.after.ceiling or len(step.stopped) > 1, "stopped though another could start beside"


def stand_ins_are_for_somebody(step: Step) -> None:
    """Nobody is given a second stand-in, and no more are than are needed.

    What is on a DRAINING instance leaves, and counts for neither: it is replaced itself. Once the instance is ACTIVE
    again there may be two, so the rule is about who starts.
    """
    staying = [task for task in step.after.live if not step.after.drains(task)]
    replaced = Counter(task.replaces for task in staying)
    assert all(replaced[task.replaces] == 1 for task in step.started if task.replaces is not None), "two for one"
    for new in step.started:
        if new.replaces is None or new.is_move:
            continue
        # The newest revision comes up whole whatever is there of older ones, and so do blue and green each.
        is_own = new.deployment == step.after.newest.id or step.after.is_staged
        sound = [
            task
            for task in staying
            if step.after.sound(task) is not Soundness.UNHEALTHY and (not is_own or task.deployment == new.deployment)
        ]
        assert len(sound) <= step.after.service.desired_count, "more sound tasks than are wanted"


def a_move_ends_when_its_other_end_is_healthy(step: Step) -> None:
    """Zones are balanced start first, and nobody protected is moved."""
    for task in step.stopped:
        movers = [other for other in step.before.live if other.is_move and other.replaces == task.arn]
        if movers and step.stopped == [task] and not step.stopped_for_health() and not step.before.drains(task):
            surplus = len(step.before.live) - len(movers) > step.after.service.desired_count
            is_whole = all(step.after.sound(other) is Soundness.HEALTHY for other in movers)
            rolling = len(step.after.service.deployments) > 1
            assert is_whole or surplus or rolling, "moved before the other end was healthy"


def complete_means_whole_and_healthy(step: Step) -> None:
    """A deployment completes when its tasks are all there, all healthy, and nobody else is."""
    before, after = step.before, step.after
    was = {d.id: d.rollout_state for d in before.service.deployments}
    newest = after.newest
    if newest.rollout_state == "COMPLETED" and was.get(newest.id) != "COMPLETED":
        is_daemon = after.service.scheduling is Scheduling.DAEMON  # whose task is the last to leave what drains
        here = [task for task in after.live if not (is_daemon and after.drains(task))]
        assert {task.deployment for task in here} <= {newest.id}, "others are still there"
        assert len(after.healthy(here)) == after.service.desired_count == len(here), "not whole and healthy"


def green_is_healthy_before_it_has_traffic(step: Step) -> None:
    """Traffic moves to what is whole and healthy, and only so far was there a blue to go back to."""
    before, after = step.before.course, step.after.course
    if before is None or after is None or before.arn != after.arn:
        return
    weights = [(c.test_weight, c.production_weight) for c in (before, after)]
    if weights[1][0] > weights[0][0] and weights[0] == (0, 0):
        green = [task for task in step.after.live if task.deployment == after.deployment]
        assert len(step.after.healthy(green)) >= step.after.service.desired_count, "traffic for what is not healthy"


def blue_stays_until_the_end(step: Step) -> None:
    """While a deployment goes by stages, what serves is not stopped but to replace it or to scale in."""
    before, after = step.before, step.after
    if not (before.is_staged and after.is_staged) or before.course is None or after.course is None:
        return
    if after.course.status is not RolloutStatus.IN_PROGRESS or before.course.arn != after.course.arn:
        return
    if Stage.CLEAN_UP in {before.course.stage, after.course.stage} or not before.service.settled:
        return
    serving = {d.id for d in before.service.deployments if d.revision == before.service.settled}
    blue = [task for task in before.live if task.deployment in serving and not before.drains(task)]
    gone = [task for task in step.stopped if task in blue and task not in step.stopped_for_health()]
    assert not gone or len(blue) > after.service.desired_count, "blue went before the end"


def a_daemon_is_the_last_to_leave(step: Step) -> None:
    """On an instance that drains, a daemon's task stops when every other is gone."""
    if step.before.service.scheduling is Scheduling.DAEMON:
        for task in filter(step.before.drains, step.stopped):
            others = [t for t in step.before.all_tasks if t.instance == task.instance and t.service != task.service]
            assert all(other.last_status is TaskStatus.STOPPED for other in others), "the daemon left first"


def a_daemon_takes_over_in_place(step: Step) -> None:
    """The new task starts on an instance once the old one has stopped there."""
    if step.started and step.after.service.scheduling is Scheduling.DAEMON:
        places = [task.instance for task in (*step.after.live, *step.after.counted_stopping)]
        assert len(places) == len(set(places)), "two daemons on one instance"


def what_serves_is_gone_back_to(step: Step) -> None:
    """A rollback makes the revision that was completed last the newest, by its old id where it still has tasks."""
    before, after = step.before.course, step.after.course
    if before is None or after is None or before.rollback is not None or after.rollback is None:
        return
    newest = step.after.newest
    assert newest.revision == step.before.service.settled, "gone back to something else"
    standing = {d.revision: d.id for d in step.before.service.deployments}
    assert newest.id == standing.get(newest.revision, newest.id), "a deployment that is there was made again"
    is_done = newest.rollout_state == "COMPLETED"
    assert is_done or not step.after.service.settled, "what is under way can not be gone back to"


RULES = (
    a_daemon_takes_over_in_place,
    what_serves_is_gone_back_to,
    below_the_floor_nobody_is_given_up,
    the_floor_holds,
    the_ceiling_holds,
    what_is_not_healthy_goes_first,
    scale_in_keeps_the_balance,
    a_failed_deployment_starts_nothing,
    what_never_starts_is_tried_less,
    the_unhealthy_stop_in_order,
    stand_ins_are_for_somebody,
    a_move_ends_when_its_other_end_is_healthy,
    complete_means_whole_and_healthy,
    green_is_healthy_before_it_has_traffic,
    blue_stays_until_the_end,
    a_daemon_is_the_last_to_leave,
)


def _unhealthy_since(step: Step, task: Task) -> float:
    """Epoch seconds; a step that finds a task unhealthy for the first time marks it."""
    after = next(each for each in step.after.tasks if each.arn == task.arn)
    return step.after.now if after.unhealthy_at is None else after.unhealthy_at


def _replaced(step: Step) -> set[str | None]:
    return {task.replaces for task in step.before.live}


def _zone(moment: Moment, task: Task) -> str | None:
    instance = moment.instances.get(task.instance or "")
    return instance.attribute("ecs.availability-zone") if instance is not None else None


def _counts(moment: Moment, tasks: list[Task]) -> tuple[Counter[str | None], Counter[str | None]]:
    return Counter(_zone(moment, task) for task in tasks), Counter(task.instance for task in tasks)
