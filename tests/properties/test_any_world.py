"""What must hold in any world: room is never given twice, floor and ceiling stand, every hold ends with a proof."""

from collections import Counter
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st
from search import tries
from toy_cluster import Behaviour, ToyCluster

from controlplane.core.model import Release
from controlplane.core.policy import CountsStopping, HoldEnds, Policy
from controlplane.core.reconcile.health import Soundness, soundness
from controlplane.core.reconcile.look import ceiling_of, floor_of
from controlplane.core.roster import Roster
from wire.holds import Proof
from wire.resources import Amounts
from wire.status import TaskStatus

AMOUNTS = [Amounts(256, 512), Amounts(1024, 7372), Amounts(512, 4096, frozenset({8080}))]
policies = st.builds(
    Policy,
    hold_ends=st.sampled_from(HoldEnds),
    counts_stopping=st.sampled_from(CountsStopping),
    counts_stopping_seconds=st.sampled_from([0, 10]),
    healthy_after_seconds=st.sampled_from([0, 5]),
    pending_lease_seconds=st.sampled_from([None, 4]),
)
steps = st.lists(
    st.tuples(st.sampled_from(["wait", "deploy", "scale", "stop", "exit", "join"]), st.integers(0, 6)), max_size=12
)


class Checked:
    """A world that is checked after every commit."""

    def __init__(self, policy: Policy, release: Release, minimum: int, maximum: int, seed: int) -> None:
        self.world = ToyCluster(policy=policy, release=release, seed=seed)
        quits = [0.5, 3.0, 25.0, 100.0]
        self.world.behaviour = lambda task: Behaviour(quits_in=quits[int(task.arn[-1], 16) % 4])
        self.definitions = [self.world.define(amounts, stop_timeout=40) for amounts in AMOUNTS]
        self.service = self.world.create_service(
            self.definitions[0], desired=3, minimum_healthy_percent=minimum, maximum_percent=maximum
        )
        self.world.checks.append(self.check)
        self.told = 0

    def do(self, step: str, number: int) -> None:
        world = self.world
        live = world.live(self.service)
        running = [task for task in live if task.last_status is TaskStatus.RUNNING]
        if step == "deploy":
            world.deploy(self.service, self.definitions[number % 3])
        elif step == "scale":
            world.update(self.service, desired_count=number)
        elif step == "stop" and live:
            world.stop(live[number % len(live)].arn)
        elif step == "exit" and running:
            world.exit(running[number % len(running)].arn)
        elif step == "join" and len(world.hosts) < 4:
            world.add_host()
        world.run(0.1 if step != "wait" else 3 * number)

    def check(self) -> None:
        world, state = self.world, self.world.state
        plan = world.plans[-1]
        self.check_roster()
        ends = [line for line in plan.story if line.kind == "placement.ended"]
        assert all(line.data["proof"] in set(Proof) for line in ends)
        assert {line.subject for line in ends} == set(plan.ended)
        for host in world.hosts:
            room, ledger = state.free(host), state.ledger(host)
            ledger.check()
            assert room.cpu >= 0
            assert room.memory_mib >= 0
            ports = Counter(port for hold in ledger for port in hold.amounts.ports)
            assert all(copies == 1 for copies in ports.values())
            assert {hold.subject for hold in ledger} == {task.arn for task in state.tasks_on(host) if task.hold}
        if plan.cause == "evaluation":
            self.check_bounds()

    def check_roster(self) -> None:
        """What is kept up with every commit is what would be made anew."""
        kept = self.world.state.roster("default")
        made = Roster(kept.instances, self.world.state.free)
        assert (kept.cpu == made.cpu).all()
        assert (kept.memory == made.memory).all()
        tasks = partial(self.world.state.tasks_in, "default", "service:web")
        assert (kept.counts("service:web", tasks) == made.counts("service:web", tasks)).all()
        tasks_there = lambda roster: roster.column(  # noqa: E731 - the same question of both
            "tasks", lambda instance: len(self.world.state.tasks_on(instance.arn)), of_tasks=True
        )
        assert (tasks_there(kept) == tasks_there(made)).all()

    def check_bounds(self) -> None:
        """An evaluation that starts ends below the ceiling; one that stops healthy tasks leaves the floor."""
        world, plan = self.world, self.world.plans[-1]
        service = world.service(self.service)
        now = world.now + 1_800_000_000.0
        live = world.live(self.service)
        started = [line for line in plan.story if line.kind == "placement.held"]
        counted = world.stopping(self.service)
        if world.policy.counts_stopping is CountsStopping.NEVER:
            counted = []
        elif world.policy.counts_stopping is CountsStopping.FOR:
            counted = [task for task in counted if now - task.stopping_at < world.policy.counts_stopping_seconds]
        if started:
            assert len(live) + len(counted) <= ceiling_of(service)
        stopped = {line.subject for line in plan.story if line.kind == "task.desired" and line.data["stop_code"]}
        were_healthy = [
            task
            for task in world.tasks(self.service)
            if task.arn in stopped and task.started_at and now - task.started_at >= world.policy.healthy_after_seconds
        ]
        if were_healthy:
            assert sum(soundness(task, service, now, world.policy) is Soundness.HEALTHY for task in live) >= floor_of(
                service
            )


@settings(max_examples=tries(150))
@given(
    policy=policies,
    release=st.sampled_from(Release),
    bounds=st.sampled_from([(0, 100), (0, 200), (50, 100), (50, 150), (100, 200), (100, 150)]),
    script=steps,
    seed=st.integers(0, 99),
)
def test_any_world(policy: Policy, release: Release, bounds: tuple[int, int], script: list, seed: int) -> None:
    case = Checked(policy, release, *bounds, seed)
    for step, number in script:
        case.do(step, number)
    case.world.run(400)
    case.world.update(case.service, desired_count=0)
    case.world.run(200)
    assert not case.world.live(case.service)
    assert not case.world.stopping(case.service)
    assert all(case.world.free(host) == ((2048, 15731), (2048, 15731)) for host in case.world.hosts)


@settings(max_examples=tries(10))
@given(policy=policies, release=st.sampled_from(Release), script=steps, seed=st.integers(0, 99))
def test_same_seed_same_decisions(policy: Policy, release: Release, script: list, seed: int) -> None:
    def story() -> list[str]:
        case = Checked(policy, release, 50, 150, seed)
        for step, number in script:
            case.do(step, number)
        return [f"{plan}\n{plan.story}" for plan in case.world.plans]

    assert story() == story()
