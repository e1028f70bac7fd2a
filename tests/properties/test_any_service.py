"""Any history of services: never below the floor or above the ceiling, protected tasks stay, the end is as wanted."""

from dataclasses import replace

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from search import tries
from service_rules import RULES, Moment, Step
from toy_cluster import EPOCH, Behaviour, ToyCluster

from controlplane.core.model import Instance, Release, Scheduling, Task
from controlplane.core.policy import CountsStopping, Policy, ProtectionCovers, UnhealthyInRollout
from controlplane.core.rollouts import AlarmSettings, Breaker, RolloutSettings, ServiceDeployment, Strategy
from wire.resources import Amounts
from wire.status import HealthStatus, InstanceStatus, TaskStatus

SMALL = Amounts(256, 512)
policies = st.builds(
    Policy,
    counts_stopping=st.sampled_from([CountsStopping.ALWAYS, CountsStopping.NEVER]),
    healthy_after_seconds=st.sampled_from([0, 5]),
    unhealthy_in_rollout=st.sampled_from(UnhealthyInRollout),
    protection_covers=st.sampled_from([ProtectionCovers.DRAINING, ProtectionCovers.HEALTH]),
)
rollouts = st.builds(
    RolloutSettings,
    strategy=st.sampled_from([Strategy.ROLLING, Strategy.ROLLING, Strategy.BLUE_GREEN, Strategy.CANARY]),
    breaker=st.builds(Breaker, is_enabled=st.booleans(), rolls_back=st.booleans()),
    alarms=st.just(AlarmSettings(names=("errors",), is_enabled=True, rolls_back=True)),
    bake_minutes=st.sampled_from([0, 1]),
    canary_bake_minutes=st.just(1),
)
bounds = st.sampled_from([(0, 100), (0, 200), (50, 100), (50, 150), (100, 200), (100, 150)])


class AnyService(RuleBasedStateMachine):
    """One REPLICA and one DAEMON service on a cluster to which everything happens."""

    @initialize(
        policy=policies,
        release=st.sampled_from(Release),
        rollout=rollouts,
        limits=bounds,
        daemon_floor=st.sampled_from([0, 50]),
        is_checked=st.booleans(),
        seed=st.integers(0, 9),
    )
    def begin(
        self,
        *,
        policy: Policy,
        release: Release,
        rollout: RolloutSettings,
        limits: tuple[int, int],
        daemon_floor: int,
        is_checked: bool,
        seed: int,
    ) -> None:
        self.is_checked = is_checked
        self.world = ToyCluster(policy=policy, release=release, seed=seed, hosts=3)
        self.bad: set[str] = set()
        self.world.behaviour = lambda task: Behaviour(
            quits_in=(0.5, 3.0, 25.0)[int(task.arn[-1], 16) % 3], fails=task.task_definition in self.bad
        )
        self.before: dict[str, Moment] = {}
        self.service, self.daemon = (self.world.names.arns.service("default", name) for name in ("web", "log"))
        self.world.checks.append(self._check)
        self.world.create_service(
            self.world.define(SMALL, stop_timeout=30, is_checked=self.is_checked),
            desired=3,
            minimum_healthy_percent=limits[0],
            maximum_percent=limits[1],
            rollout=rollout,
            rebalances=True,
        )
        self.world.create_service(
            self.world.define(Amounts(64, 64), family="log"),
            desired=0,
            name="log",
            scheduling=Scheduling.DAEMON,
            minimum_healthy_percent=daemon_floor,
            maximum_percent=100,
        )
        self.wait_in_health(30)

    @rule(is_bad=st.booleans())
    def deploy(self, is_bad: bool) -> None:  # noqa: FBT001
        definition = self.world.define(SMALL, stop_timeout=30, is_checked=self.is_checked)
        if is_bad:
            self.bad.add(definition.arn)
        self.world.deploy(self.service, definition)

    @rule()
    def deploy_daemon(self) -> None:
        self.world.deploy(self.daemon, self.world.define(Amounts(64, 64), family="log"))

    @rule(count=st.integers(0, 5))
    def scale(self, count: int) -> None:
        self.world.update(self.service, desired_count=count)

    @rule(every=st.sampled_from([1, 1, 2]), seconds=st.sampled_from([5, 60]))
    def protect(self, every: int, seconds: float) -> None:
        for task in self.world.live(self.service)[::every]:
            self.world.protect(task.arn, seconds)

    @rule(nth=st.integers(0, 9), status=st.sampled_from([HealthStatus.HEALTHY, HealthStatus.UNHEALTHY]))
    def turn(self, nth: int, status: HealthStatus) -> None:
        running = self._running()
        if running:
            self.world.health(running[nth % len(running)].arn, status)

    @rule()
    def heal(self) -> None:
        for task in self._running():
            if task.containers[0].health_status is not HealthStatus.HEALTHY:
                self.world.health(task.arn, HealthStatus.HEALTHY)

    @rule(nth=st.integers(0, 9), how=st.sampled_from(["stop", "exit"]))
    def lose(self, nth: int, how: str) -> None:
        running = self._running()
        if running:
            getattr(self.world, how)(running[nth % len(running)].arn)

    @rule(nth=st.integers(0, 9), status=st.sampled_from([InstanceStatus.DRAINING, InstanceStatus.ACTIVE]))
    def drain(self, nth: int, status: InstanceStatus) -> None:
        arn = list(self.world.hosts)[nth % len(self.world.hosts)]
        instance = msgspec.structs.replace(self.world.state.record(Instance, arn), status=status)
        self.world.decide("drain", lambda draft: draft.put(instance))

    @rule(rings=st.booleans())
    def ring(self, rings: bool) -> None:  # noqa: FBT001
        self.world.alarm("errors", rings=rings)

    @rule(seconds=st.sampled_from([0.1, 3, 30, 120]))
    def wait(self, seconds: float) -> None:
        self.world.run(seconds)

    @invariant()
    def no_host_has_two_daemon_tasks(self) -> None:
        places = [task.instance for task in self.world.live(self.daemon)]
        assert len(places) == len(set(places))

    @rule(seconds=st.sampled_from([5, 30]))
    def wait_in_health(self, seconds: float) -> None:
        for _ in range(2):
            self.heal()
            self.world.run(seconds)

    @rule(step=st.sampled_from([-1, -1, 2]), protected=st.integers(0, 2))
    def resize_in_health(self, step: int, protected: int) -> None:
        """By a little, and from rest: which one goes is a choice then."""
        self.rest(protected)
        count = self.world.service(self.service).desired_count
        self.world.update(self.service, desired_count=min(max(0, count + step), 5))
        self.wait_in_health(5)

    @rule(protected=st.integers(0, 2))
    def deploy_in_health(self, protected: int) -> None:
        """From rest, and to the end of what can be reached in health."""
        self.rest(protected)
        self.deploy(is_bad=False)
        self.wait_in_health(30)

    @rule(count=st.integers(1, 3), seconds=st.sampled_from([1, 30]))
    def fall_ill_in_health(self, count: int, seconds: float) -> None:
        """From rest, some fail their checks, and nobody says at once how those fare who stand in."""
        self.rest(0)
        for task in self._running()[:count]:
            self.world.health(task.arn, HealthStatus.UNHEALTHY)
        self.world.run(seconds)

    def rest(self, protected: int) -> None:
        """All that can be healthy is; every task, or every second one, is protected."""
        self.wait_in_health(30)
        for task in self.world.live(self.service)[::protected] if protected else ():
            self.world.protect(task.arn, 60)

    def teardown(self) -> None:
        """Left alone and with good tasks, the service comes to what it wants."""
        if not hasattr(self, "before"):
            return
        self.bad.clear()
        self.world.alarm("errors", rings=False)
        self.world.update(self.service, minimum_healthy_percent=0, maximum_percent=200)
        for _ in range(12):
            self.heal()
            self.world.run(10)
        drained = {i.arn for i in self.world.state.records(Instance) if i.status is InstanceStatus.DRAINING}
        assert not [task for task in self.world.live(self.service) if task.instance in drained], "it has not drained"
        for arn in self.world.hosts:
            instance = msgspec.structs.replace(self.world.state.record(Instance, arn), status=InstanceStatus.ACTIVE)
            self.world.decide("back", lambda draft, i=instance: draft.put(i))
        self.world.update(self.service, desired_count=3)
        self.world.deploy(self.service, self.world.define(SMALL, stop_timeout=30, is_checked=self.is_checked))
        for _ in range(60):
            self.heal()
            self.world.run(10)
        service = self.world.service(self.service)
        assert [d.rollout_state for d in service.deployments] == ["COMPLETED"]
        assert len(self._running()) == 3
        assert sorted(task.instance for task in self.world.live(self.daemon)) == sorted(self.world.hosts)

    def _running(self) -> list[Task]:
        return [task for task in self.world.live(self.service) if task.last_status is TaskStatus.RUNNING]

    def _check(self) -> None:
        plan, world = self.world.plans[-1], self.world
        for host in world.hosts:
            room = world.state.free(host)
            world.state.ledger(host).check()
            assert min(room.cpu, room.memory_mib) >= 0
        now = {arn: self._moment(arn) for arn in (self.service, self.daemon) if world.state.service(arn) is not None}
        before, self.before = self.before, now
        if plan.cause != "evaluation":
            return
        for arn in before.keys() & now.keys():
            # Time alone makes a task healthy: what was is judged by when it was looked at.
            step = Step(replace(before[arn], now=now[arn].now), now[arn])
            for task in step.stopped:
                covers_health = world.policy.protection_covers is ProtectionCovers.HEALTH
                if covers_health or "health checks" not in step.reason(task):
                    assert not task.is_protected(step.after.now), "the scheduler stopped a protected task"
            for holds in RULES:
                holds(step)

    def _moment(self, arn: str) -> Moment:
        state = self.world.state
        service = self.world.service(arn)
        return Moment(
            service=service,
            tasks=state.tasks_of(arn),
            all_tasks=list(state.records(Task)),
            instances={instance.arn: instance for instance in state.records(Instance)},
            course=state.record(ServiceDeployment, service.current),
            now=EPOCH + self.world.now,
            policy=self.world.policy,
        )


TestAnyService = AnyService.TestCase
TestAnyService.settings = settings(max_examples=tries(50), stateful_step_count=15)
