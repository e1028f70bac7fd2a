"""Schedulers that decide on old views of one cluster: whatever the order of their commits, room is given once.

Each keeps a draft for a while before it commits; the other, agents and people change the world in between. A commit
that comes too late is refused whole, and nothing that was committed is ever lost.
"""

from random import Random

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from search import tries

from controlplane.core import lifecycle
from controlplane.core.batch import Batch
from controlplane.core.lifecycle import NewTask, TaskReport
from controlplane.core.model import Cluster, Instance, Task, TaskDefinition
from controlplane.core.names import Names
from controlplane.core.placement.engine import examine, place
from controlplane.core.placement.request import Caution, Request
from controlplane.core.plan import Conflict, Plan
from controlplane.core.policy import HoldEnds, Policy
from controlplane.core.roster import Roster
from controlplane.core.state import State
from controlplane.core.view import Draft
from wire.arn import ArnMaker
from wire.resources import Amounts
from wire.status import InstanceStatus, StopCode, TaskStatus

SIZE = Amounts(2048, 4096, frozenset({22}), gpus=1)
AMOUNTS = [
    Amounts(512, 1024),
    Amounts(0, 0),
    Amounts(1024, 512, frozenset({8080})),
    Amounts(256, 256, frozenset(), frozenset({53})),
    Amounts(128, 128, gpus=1),
]
STRATEGIES = [(), ({"type": "spread", "field": "instanceId"},), ({"type": "binpack", "field": "cpu"},)]
CONSTRAINTS = [(), ({"type": "distinctInstance"},), ({"type": "memberOf", "expression": "runningTasksCount < 2"},)]


class TwoSchedulers(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.dice = Random(1)
        self.names = Names(ArnMaker("us-east-1", "123456789012"), self.dice)
        self.state = State()
        self.held: list[tuple[Draft, list[Task]]] = []
        self.promised: set[str] = set()
        self.definitions = [
            TaskDefinition(arn=f"d:{nth}", family="d", revision=nth, amounts=amounts, body={"containerDefinitions": []})
            for nth, amounts in enumerate(AMOUNTS)
        ]
        hosts = [
            Instance(arn=f"i/{nth}", cluster="c", registered=SIZE, agent_connected=True, registered_at=nth)
            for nth in range(3)
        ]
        policy = Policy(hold_ends=HoldEnds.STOP_REQUEST)
        self.commit(Plan(cause="", puts=(Cluster(name="c", arn="c", policy=policy), *self.definitions, *hosts)))
        self.state.roster("c")

    def commit(self, plan: Plan) -> None:
        Batch(self.state).accept(plan)
        self.state.apply(plan, self.state.revision + 1)

    def draft(self) -> Draft:
        return Draft(self.state, now=float(self.state.revision), cause="")

    @rule(
        which=st.integers(0, len(AMOUNTS) - 1),
        count=st.integers(1, 20),
        strategy=st.sampled_from(STRATEGIES),
        constraints=st.sampled_from(CONSTRAINTS),
        caution=st.sampled_from(Caution),
        group=st.sampled_from("gh"),
    )
    def decide(
        self, *, which: int, count: int, strategy: tuple, constraints: tuple, caution: Caution, group: str
    ) -> None:
        """RunTask, or a service: choose now, commit later."""
        draft = self.draft()
        request = Request(
            cluster="c",
            group=group,
            amounts=AMOUNTS[which],
            count=count,
            strategy=strategy,
            constraints=constraints,
            caution=caution,
        )
        seed = self.dice.getrandbits(32)
        outcome = place(draft, request, Random(seed))
        assert outcome == place(draft, request, Random(seed))
        self.hold(draft, which, group, outcome.placed)

    @rule(which=st.integers(0, len(AMOUNTS) - 1), host=st.integers(0, 2))
    def start(self, which: int, host: int) -> None:
        """StartTask, by a program beside."""
        draft = self.draft()
        if examine(draft, f"i/{host}", AMOUNTS[which]) is None:
            self.hold(draft, which, "external", (f"i/{host}",))

    def hold(self, draft: Draft, which: int, group: str, placed: tuple[str, ...]) -> None:
        tasks = [
            lifecycle.create(
                draft, self.definitions[which], NewTask(cluster="c", group=group, instance=instance), self.names
            )
            for instance in placed
        ]
        self.held.append((draft, tasks))

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 10))
    def commit_one(self, which: int) -> None:
        draft, tasks = self.held.pop(which % len(self.held))
        takes_all = all(self.state.instance(t.instance).status is InstanceStatus.ACTIVE for t in tasks)
        before = {record.arn for record in self.state.records(Task)}
        try:
            self.commit(draft.plan())
        except Conflict:
            assert {record.arn for record in self.state.records(Task)} == before, "refused is refused whole"
        else:
            assert takes_all, "an instance that drains takes no tasks"
            self.promised |= {task.arn for task in tasks}

    @precondition(lambda self: self.promised)
    @rule(which=st.integers(0, 100), step=st.sampled_from(["stop", "run", "exit"]))
    def change(self, which: int, step: str) -> None:
        draft = self.draft()
        task = draft.task(sorted(self.promised)[which % len(self.promised)])
        assert task is not None
        if step == "stop":
            lifecycle.request_stop(draft, task, stop_code=StopCode.USER_INITIATED, reason="")
        else:
            lifecycle.observe(
                draft, task, TaskReport(status=TaskStatus.RUNNING if step == "run" else TaskStatus.STOPPED)
            )
        if draft.plan():
            self.commit(draft.plan())

    @rule(host=st.integers(0, 2), status=st.sampled_from([InstanceStatus.ACTIVE, InstanceStatus.DRAINING]))
    def drain(self, host: int, status: InstanceStatus) -> None:
        instance = self.state.instance(f"i/{host}")
        assert instance is not None
        self.commit(Plan(cause="", puts=(msgspec.structs.replace(instance, status=status),)))

    @invariant()
    def room_is_given_once(self) -> None:
        for instance in self.state.instances("c"):
            room = self.state.free(instance.arn)
            assert min(room.cpu, room.memory_mib, room.gpus) >= 0
            held = [hold.amounts for hold in self.state.ledger(instance.arn)]
            for ports in ([p for a in held for p in a.ports], [p for a in held for p in a.ports_udp]):
                assert len(ports) == len(set(ports))
            self.state.ledger(instance.arn).check()

    @invariant()
    def nothing_that_was_promised_is_lost(self) -> None:
        assert {record.arn for record in self.state.records(Task)} == self.promised

    @invariant()
    def the_roster_is_what_it_would_be_made_anew(self) -> None:
        kept, made = self.state.roster("c"), Roster(self.state.instances("c"), self.state.free)
        assert (kept.cpu == made.cpu).all()
        assert (kept.gpus == made.gpus).all()
        for group in "gh":
            tasks = self.state.tasks_in("c", group)
            assert (
                kept.counts(group, lambda tasks=tasks: tasks) == made.counts(group, lambda tasks=tasks: tasks)
            ).all()


TestTwoSchedulers = TwoSchedulers.TestCase
TestTwoSchedulers.settings = settings(max_examples=tries(60), stateful_step_count=30)
