"""Deployments and scale-ins of tasks that stop slowly: floor, ceiling and protection hold; the seed decides, no other.

The numbers are worked out here, from the words of the API reference, and not by the functions that are tested. Every
history is lived through twice with one seed.
"""

from collections.abc import Callable
from math import ceil, floor

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from search import tries
from toy_cluster import EPOCH, Behaviour, ToyCluster

from controlplane.core.model import Release, Task
from controlplane.core.policy import CountsStopping, Policy
from controlplane.core.reconcile import deployments
from controlplane.core.view import Draft
from wire.resources import Amounts
from wire.status import StopCode, TaskStatus

SMALL, HOST = Amounts(256, 512), Amounts(1024, 2048)
SETTLES_SECONDS = 5
BOUNDS = [(0, 100), (50, 100), (50, 150), (50, 200), (75, 125), (100, 200)]


class World:
    """One REPLICA service on two hosts of four places each; a stop takes half a minute."""

    def __init__(self, policy: Policy, bounds: tuple[int, int], desired: int, seed: int) -> None:
        self.toy = ToyCluster(policy=policy, release=Release.NONE, size=HOST, seed=seed)
        self.toy.behaviour = lambda _: Behaviour(quits_in=25)
        self.bounds = bounds
        self.service = self.toy.create_service(
            self._definition(), desired=desired, minimum_healthy_percent=bounds[0], maximum_percent=bounds[1]
        )
        self.toy.run(2 * SETTLES_SECONDS)
        self.toy.checks.append(self.check)

    def _definition(self) -> object:
        return self.toy.define(SMALL, stop_timeout=30)

    @property
    def live(self) -> list[Task]:
        return self.toy.live(self.service)

    def deploy(self) -> None:
        self.toy.deploy(self.service, self._definition())

    def scale(self, count: int) -> None:
        self.toy.update(self.service, desired_count=count)

    def protect(self, every: int) -> None:
        for task in self.live[::every]:
            self.toy.protect(task.arn, 60)

    def lose(self, nth: int) -> None:
        running = self._running()
        if running:
            self.toy.exit(running[nth % len(running)].arn)

    def deploy_while_one_exits(self, nth: int) -> None:
        definition = self._definition()

        def begin(draft: Draft) -> None:
            service = draft.service(self.service)
            deployments.begin(draft, service, task_definition=definition.arn, names=self.toy.names)

        self._race(begin, nth)

    def scale_while_one_exits(self, nth: int, count: int) -> None:
        def scale(draft: Draft) -> None:
            draft.put(msgspec.structs.replace(draft.service(self.service), desired_count=count))

        self._race(scale, nth)

    def _race(self, decision: Callable[[Draft], None], nth: int) -> None:
        self.toy.run(40)
        running = self._running()
        if running:
            self.toy.race(decision, lambda: self.toy.exit_unseen(running[nth % len(running)].arn), self.service)

    def _running(self) -> list[Task]:
        return [task for task in self.live if task.last_status is TaskStatus.RUNNING]

    def check(self) -> None:
        plan, now = self.toy.plans[-1], EPOCH + self.toy.now
        if plan.cause != "evaluation":
            return
        stopped = [
            self.toy.state.task(line.subject)
            for line in plan.story
            if line.kind == "task.desired" and line.data["stop_code"] == StopCode.SERVICE_SCHEDULER_INITIATED
        ]
        assert not any(task.is_protected(now) for task in stopped), "the scheduler stopped a protected task"
        desired = self.toy.service(self.service).desired_count
        if any(line.kind == "placement.held" for line in plan.story):
            counts = self.toy.policy.counts_stopping is CountsStopping.ALWAYS
            there = len(self.live) + (len(self.toy.stopping(self.service)) if counts else 0)
            assert there <= floor(desired * self.bounds[1] / 100), "the scheduler went above the ceiling"
        if any(self._is_healthy(task, now) for task in stopped):
            left = sum(self._is_healthy(task, now) for task in self.live)
            assert left >= ceil(desired * self.bounds[0] / 100), "the scheduler went below the floor"

    def _is_healthy(self, task: Task, now: float) -> bool:
        settles = self.toy.policy.healthy_after_seconds
        return task.last_status is TaskStatus.RUNNING and now - task.started_at >= settles


class SlowStops(RuleBasedStateMachine):
    @initialize(
        counts=st.sampled_from([CountsStopping.ALWAYS, CountsStopping.NEVER]),
        settles=st.sampled_from([0, SETTLES_SECONDS]),
        bounds=st.sampled_from(BOUNDS),
        desired=st.integers(2, 4),
        seed=st.integers(0, 9),
    )
    def begin(self, *, counts: CountsStopping, settles: int, bounds: tuple[int, int], desired: int, seed: int) -> None:
        policy = Policy(counts_stopping=counts, healthy_after_seconds=settles)
        self.make = lambda: World(policy, bounds, desired, seed)
        self.world = self.make()
        self.history: list[Callable[[World], object]] = []

    def do(self, step: Callable[[World], object]) -> None:
        self.history.append(step)
        step(self.world)

    @rule(waits=st.sampled_from([0.1, 10, 40]))
    def deploy(self, waits: float) -> None:
        self.do(World.deploy)
        self.wait(waits)

    @rule(count=st.integers(0, 4), waits=st.sampled_from([0.1, 10, 40]))
    def scale(self, count: int, waits: float) -> None:
        self.do(lambda world: world.scale(count))
        self.wait(waits)

    @rule(every=st.sampled_from([1, 2]), count=st.integers(0, 2))
    def protect_and_scale(self, every: int, count: int) -> None:
        self.do(lambda world: world.protect(every))
        self.do(lambda world: world.scale(count))

    @rule(every=st.sampled_from([1, 2]))
    def protect_and_deploy(self, every: int) -> None:
        self.do(lambda world: world.protect(every))
        self.do(World.deploy)

    @rule(nth=st.integers(0, 3))
    def lose(self, nth: int) -> None:
        self.do(lambda world: world.lose(nth))

    @rule(nth=st.integers(0, 3))
    def deploy_while_one_exits(self, nth: int) -> None:
        self.do(lambda world: world.deploy_while_one_exits(nth))

    @rule(nth=st.integers(0, 3), count=st.integers(1, 4))
    def scale_while_one_exits(self, nth: int, count: int) -> None:
        self.do(lambda world: world.scale_while_one_exits(nth, count))

    @rule(seconds=st.sampled_from([1, 10, 40]))
    def wait(self, seconds: float) -> None:
        self.do(lambda world: world.toy.run(seconds))

    def teardown(self) -> None:
        if not hasattr(self, "history"):
            return
        again = self.make()
        for step in self.history:
            step(again)
        assert again.toy.story == self.world.toy.story, "the same seed decided otherwise"


TestSlowStops = SlowStops.TestCase
TestSlowStops.settings = settings(max_examples=tries(60), stateful_step_count=8)
