"""One stop, seen through every policy: when the placement ledger says that the room is free, and what that leads to.

A host of two places, both taken; one of the tasks is stopped at second 5 and works on until second 25 (stopTimeout 60),
or, in the second column, for 100 s, until SIGKILL at second 65. A service waits for the room.
"""

import re
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from toy_cluster import EPOCH, TASK, ToyCluster
from toy_parts import Behaviour

from controlplane.core.model import Release
from controlplane.core.policy import PRESETS, AgentPolicy, Policy
from controlplane.core.switches import set_preset, set_switches
from wire.status import TaskStatus
from wire.story import Kind

ROOT = Path(__file__).parents[2]


class OneStop:
    """What became of the hold of the stopped task, and of the service's task that wanted its place."""

    def __init__(self, policy: Policy, release: Release, quits_in: float) -> None:
        world = ToyCluster(policy=msgspec.structs.replace(policy, healthy_after_seconds=0), release=release, hosts=1)
        world.behaviour = lambda _: Behaviour(quits_in=quits_in)
        old = world.create_service(world.define(TASK, family="old", stop_timeout=60), desired=2, name="old")
        world.run(5)
        world.update(old, desired_count=1)
        world.create_service(world.define(TASK, family="new"), desired=1, name="new")
        self.world = world
        world.run(200)
        ended = [line for line in world.story if line.kind == Kind.PLACEMENT_ENDED]
        self.freed_at = round(ended[0].at - EPOCH, 1)
        self.proof = ended[0].data["proof"]
        new = world.tasks(world.names.arns.service("default", "new"))[0]
        self.placed_at = round(new.created_at - EPOCH, 1)
        self.ran_at = round((new.started_at or 0) - EPOCH, 1)


@pytest.mark.parametrize(
    ("switches", "release", "quits", "killed"),
    [
        ("hold-ends=agent-report", Release.NONE, (5.0, "STOP_REQUESTED"), (5.0, "STOP_REQUESTED")),
        ("hold-ends=agent-report", Release.EAGER, (5.0, "AGENT_RELEASED"), (5.0, "AGENT_RELEASED")),
        ("hold-ends=agent-report", Release.ON_EXIT, (25.0, "EXIT_SEEN"), (65.0, "EXIT_SEEN")),
        ("hold-ends=stop-request", Release.ON_EXIT, (5.0, "STOP_REQUESTED"), (5.0, "STOP_REQUESTED")),
        ("hold-ends=reported-exit", Release.EAGER, (25.0, "EXIT_SEEN"), (65.0, "EXIT_SEEN")),
        ("hold-ends=deadline", Release.EAGER, (25.0, "EXIT_SEEN"), (65.0, "DEADLINE_PASSED")),
    ],
)
def test_each_end_of_a_hold(
    switches: str, release: Release, quits: tuple[float, str], killed: tuple[float, str]
) -> None:
    """Whoever believes in the stop places at once, and the task waits on the host as long as it would have here."""
    world = ToyCluster()
    cluster = world.state.cluster("default")
    assert cluster is not None
    policy = set_switches(cluster, dict([switches.split("=")])).policy
    for quits_in, (at, proof) in ((20.0, quits), (100.0, killed)):
        case = OneStop(policy, release, quits_in)
        # A deadline and the SIGKILL that it stands for fall together; either may come first.
        assert case.freed_at == at
        assert case.proof == proof or "DEADLINE" in proof
        assert case.placed_at == at
        assert case.ran_at == pytest.approx(5 + min(quits_in, 60) + 0.3, abs=0.1)


def test_presets_go_over_and_leave_what_they_are_not_about() -> None:
    world = ToyCluster(policy=Policy(healthy_after_seconds=7, scheduler="mine"))
    cluster = world.state.cluster("default")
    assert cluster is not None
    for name, preset in PRESETS.items():
        cluster = set_preset(cluster, name)
        assert cluster.policy == msgspec.structs.replace(preset.policy, healthy_after_seconds=7, scheduler="mine")
        assert cluster.agent_policy == preset.agent
    for one, other in pairwise(PRESETS.values()):
        assert (one.policy, one.agent) != (other.policy, other.agent)


def test_the_documents_name_every_switch_and_every_test_they_name_is_there() -> None:
    text = (ROOT / "docs/policies.md").read_text()
    for policy in (Policy, AgentPolicy):
        for field in msgspec.structs.fields(policy):
            assert f"`{field.name.replace('_', '-')}`" in text, field.name
    for preset in PRESETS:
        assert f"**`{preset}`**" in text
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    for name in re.findall(r"`(test_[a-z0-9_]+)(?:\.\.\.)?`", text):
        assert f"def {name}" in tests, name


def test_a_task_is_stopped_once_and_its_hold_ends_once() -> None:
    case = OneStop(Policy(), Release.EAGER, 20.0)
    assert {task.last_status for task in case.world.tasks(case.world.names.arns.service("default", "old"))} == {
        TaskStatus.RUNNING,
        TaskStatus.STOPPED,
    }
