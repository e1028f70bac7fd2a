"""What an event of a container instance says of its capacity provider: what is true in its commit, not before."""

from collections.abc import Callable
from random import Random
from typing import Any

import msgspec

from controlplane.core.batch import Batch
from controlplane.core.capacity.model import CapacityProvider, Group
from controlplane.core.model import Cluster, Instance, Task
from controlplane.core.plan import Plan
from controlplane.core.state import State
from controlplane.core.view import Draft
from controlplane.events.emitter import Emitter, render
from wire.arn import ArnMaker
from wire.resources import Amounts

SMALL = Amounts(1, 1)
GROUP = Group(name="g", arn="arn:g", cluster="c", maximum=1, instance_types=("r5.large",), zones=("a",))
PROVIDER = CapacityProvider(name="cp", arn="arn:cp", body={"autoScalingGroupProvider": {"autoScalingGroupArn": "g"}})
INSTANCE = Instance(arn="i", cluster="c", registered=Amounts(2048, 2048), group="g")


def test_a_provider_is_told_from_the_commit_on_that_changes_it() -> None:
    """The record of the instance stays as it is all the while: its events are of tasks that are placed on it."""
    state, dice = State(), Random(1)
    state.apply(Plan(cause="", puts=(Cluster(name="c", arn="c"), GROUP, INSTANCE)), 1)

    def said(change: Callable[[Draft], object]) -> str | None:
        draft = Draft(state, now=1, cause="x")
        change(draft)
        task = Task(arn=str(dice.random()), cluster="c", task_definition="d", containers=(), amounts=SMALL, group="g")
        draft.begin_hold(task, "i", "placed")
        plan, batch = draft.plan(), Batch(state)
        batch.accept(plan)
        kept = Emitter(ArnMaker("r", "1"), lambda: 1.0)(plan, state, batch)
        state.apply(plan, state.revision + 1)
        details: list[dict[str, Any]] = [
            msgspec.json.decode(render(msgspec.json.encode(event)))["detail"] for event in kept
        ]
        (provider,) = [detail.get("capacityProviderName") for detail in details if "registeredResources" in detail]
        return provider

    assert said(lambda _: None) is None
    assert said(lambda draft: draft.put(PROVIDER)) == "cp"
    assert said(lambda _: None) == "cp"
    assert said(lambda draft: draft.put(msgspec.structs.replace(PROVIDER, status="INACTIVE"))) is None
