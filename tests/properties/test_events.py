"""Events over any history: versions strictly grow for each resource, and the last event is what the record says."""

import json
from collections import defaultdict
from typing import Any
from unittest import mock

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from search import tries
from test_any_world import Checked, policies, steps

from controlplane.api.task_shapes import surroundings
from controlplane.core import lifecycle
from controlplane.core.batch import Batch
from controlplane.core.model import Instance, Release, Task
from controlplane.core.plan import Plan
from controlplane.core.policy import Policy
from controlplane.core.view import Draft
from controlplane.events import eventbridge
from controlplane.events.emitter import Emitter, render
from wire.arn import ArnMaker
from wire.status import StopCode, TaskStatus

NOW = 1_800_000_000.0
ARNS = ArnMaker("us-east-1", "123456789012")
Event = dict[str, Any]


def history(script: list, *world: Any) -> tuple[Checked, list[Event]]:
    """A world that lives through a script, and its events, rendered from what a store would keep of them."""
    kept: list[tuple[bytes, Any]] = []
    emit, accept = Emitter(ARNS, lambda: NOW), Batch.accept

    def accept_and_emit(batch: Batch, plan: Plan) -> None:
        accept(batch, plan)
        for each in emit(plan, batch._state, batch):
            at_once = eventbridge.rendered(each) if isinstance(each, eventbridge.Kept) else each
            kept.append((msgspec.json.encode(each), msgspec.json.encode(at_once)))

    with mock.patch.object(Batch, "accept", accept_and_emit):
        case = Checked(*world)
        for step, number in script:
            case.do(step, number)
        lose_a_host(case)
        case.world.run(10)
        forget_some(case)
    assert all(render(each) == at_once for each, at_once in kept), "the same, whatever has happened since"
    return case, [json.loads(at_once) for _, at_once in kept]


def lose_a_host(case: Checked) -> None:
    """Deregistered by force, with tasks that stop already and tasks that do not."""
    arn = next(iter(case.world.hosts))

    def decide(draft: Draft) -> None:
        for task in draft.tasks_on(arn):
            lifecycle.observe_lost(draft, task, stop_code=StopCode.USER_INITIATED, reason="forced")

    case.world.decide("lost", decide)


def forget_some(case: Checked) -> None:
    """Retention."""

    def decide(draft: Draft) -> None:
        for task in list(draft.records(Task)):
            if task.last_status is TaskStatus.STOPPED:
                lifecycle.forget(draft, task)

    case.world.decide("retention", decide)


@settings(max_examples=tries(40))
@given(policy=policies, release=st.sampled_from(Release), script=steps, seed=st.integers(0, 99))
def test_any_history(policy: Policy, release: Release, script: list, seed: int) -> None:
    case, events = history(script, policy, release, 50, 150, seed)
    state = case.world.state
    versions: dict[str, list[int]] = defaultdict(list)
    last: dict[str, Event] = {}
    for event in events:
        (resource,) = event["resources"]
        if "version" in event["detail"]:
            versions[resource].append(event["detail"]["version"])
            last[resource] = event["detail"]
    assert all(grown == sorted(set(grown)) for grown in versions.values())
    assert all(versions[arn][0] == 1 for arn in versions if "/default/" in arn and ":task/" in arn)
    assert len({event["id"] for event in events}) == len(events)
    for task in state.records(Task):
        assert last[task.arn] == eventbridge.task_detail(task, surroundings(state, task), NOW)
    for instance in state.records(Instance):
        shown = {**last[instance.arn]}
        now = eventbridge.instance_changed(state, instance, eventbridge.Moment(NOW, ARNS))
        assert shown == eventbridge.instance_detail(now)
        assert shown["version"] == state.version_of(instance)
