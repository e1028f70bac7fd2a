"""What is ours on Amazon's wire: a few operations, a member of a payload, a few attributes of an instance.

They stand beside Amazon's own and change none of them. An agent that sends none of this (Amazon's own) is served
by the fallback policy; a control plane that knows none of this answers `UnknownOperationException`, and our agent
then stops sending.
"""

from typing import Any, Literal

import msgspec

from wire.story import StoryLine

SUBMIT_RESOURCE_RELEASE = "SubmitTaskResourceRelease"
SUBMIT_STORY = "SubmitStory"
SUBMIT_TASK_ADDRESS = "SubmitTaskAddress"
SUBMIT_INSTANCE_INTERRUPTION = "SubmitInstanceInterruption"
FORCE_STOP_TASK = "ForceStopTask"
"""Asked for by people (`berth stop TASK --force`): StopTask, and the rest of every grace is cut.

Input and answer are StopTask's. The agent is told by the member `berthForce` of a task in a PayloadMessage; Amazon's
agent passes it over.
"""
EXPLAIN_PLACEMENT = "ExplainPlacement"
"""Asked for by people (`berth explain`): the verdict on every instance for `subject` in `cluster`."""
GET_POLICY = "GetClusterPolicy"
PUT_POLICY = "PutClusterPolicy"
"""Asked for by people (`berth policy`): the switches of a cluster, on both sides."""

GROUP_OPERATIONS = frozenset(
    {
        "CreateAutoScalingGroup",
        "UpdateAutoScalingGroup",
        "SetDesiredCapacity",
        "DeleteAutoScalingGroup",
        "DescribeAutoScalingGroups",
        "TerminateInstanceInAutoScalingGroup",
        "SetInstanceProtection",
        "SetInstanceHealth",
        "CompleteLifecycleAction",
        "RecordLifecycleActionHeartbeat",
    }
)
"""Instance groups. Names and members are EC2 Auto Scaling's, the protocol is this one (theirs is XML)."""
SYNC_MACHINES = "SyncMachines"
"""From whoever runs the machines of groups: `runner`, `ended: [instance id]`. The answer has `machines`: `{id, group,
cluster, instanceType, zone, command, containerInstanceArn, isOn}`; those that are not on are to be ended."""

RELEASE_ATTRIBUTE = "berth.resource-release"
"""Attribute of a registration: `eager` or `on-exit`. Its presence says that the agent reports releases."""
INTROSPECTION_ATTRIBUTE = "berth.introspection"
"""Attribute of a registration: `ADDRESS:PORT` on the host itself, where its agent answers people and tools."""
ZONE_ATTRIBUTE = "ecs.availability-zone"
INSTANCE_TYPE_ATTRIBUTE = "ecs.instance-type"

STORY_LINES_MAX = 500
"""Story lines in one call at most."""


class ResourceRelease(msgspec.Struct, rename="camel", frozen=True):
    """Input of `SubmitTaskResourceRelease`: a task's room is, or will be, free. Idempotent by `task`."""

    cluster: str
    task: str
    container_instance: str
    resources: list[dict[str, Any]]
    """Amazon's `Resource` list."""
    released_at: float
    """Epoch seconds."""
    proof: str
    """`STOP_REQUESTED` (eager), `EXIT_SEEN` (on-exit), `GAVE_UP` or `NEVER_STARTED`."""


class TaskAddress(msgspec.Struct, rename="camel", frozen=True):
    """Input of `SubmitTaskAddress`: where a task with a network of its own (`awsvpc`) is reached. Idempotent.

    Amazon's control plane knows the address of an interface that it made itself; here Docker gives it, on the host.
    """

    cluster: str
    task: str
    container_instance: str
    address: str
    """IPv4."""
    mac_address: str


class InstanceInterruption(msgspec.Struct, rename="camel", frozen=True):
    """Input of `SubmitInstanceInterruption`: the host has been taken away. Idempotent.

    EC2 tells ECS so; here nobody but the agent is left to say it, as its last word.
    """

    cluster: str
    container_instance: str
    action: Literal["hibernate", "stop", "terminate"]


class StoryReport(msgspec.Struct, rename="camel", frozen=True):
    """Input of `SubmitStory`: what an agent saw, in order. Best effort; nothing is decided by it."""

    cluster: str
    container_instance: str
    lines: list[StoryLine]
