"""The story: one record of what happened, written by both cores, in real and in simulated runs alike.

Everything drawn, measured or asserted is a reader of these lines. `cause` is the id of what led here; the line that
introduces such an id carries it in `id`, so any line can be walked back to a person's request.
"""

from enum import StrEnum
from typing import Any

import msgspec


class Kind(StrEnum):
    """What a line tells. The members of `data` stand beside each kind; amounts are `cpu` and `memory_mib`."""

    # control plane
    REQUEST = "request"
    """A person or tool asked for something. subject: ARN or cluster; id: the request; operation."""
    EVALUATION = "evaluation"
    """A service is looked at. subject: service; id: the evaluation; why."""
    INSTANCE_REGISTERED = "instance.registered"
    """subject: instance; cluster, cpu, memory_mib, zone, instance_type, ec2_instance_id, release."""
    INSTANCE_STATUS = "instance.status"
    """subject: instance; status, connected."""
    DEPLOYMENT = "deployment"
    """subject: service; deployment, status, rollout_state, reason, task_definition, desired_count."""
    SERVICE_DEPLOYMENT = "service.deployment"
    """A service deployment has another status. subject: service; service_deployment, deployment, status, reason."""
    DEPLOYMENT_STAGE = "deployment.stage"
    """subject: service; service_deployment, stage, test_weight, production_weight (per cent of the newest)."""
    DEPLOYMENT_HOOK = "deployment.hook"
    """A lifecycle hook has another status. subject: service; service_deployment, hook, stage, status."""
    DEPLOYMENT_BLOCKED = "deployment.blocked"
    """It makes no progress. subject: service; deployment, why, by, whom (ARNs), until (epoch s or None), advice."""
    DEPLOYMENT_UNBLOCKED = "deployment.unblocked"
    """It does again, or is over. subject: service; deployment, why."""
    ALARM = "alarm"
    """Somebody set an alarm. subject: its name; ringing."""
    SERVICE_EVENT = "service.event"
    """subject: service; message (AWS's words), name (EventBridge's eventName or "")."""
    POLICY_SET = "policy.set"
    """The switches of a cluster, on both sides. subject: cluster; policy, agent."""
    PLACEMENT_HELD = "placement.held"
    """Placement ledger: a hold began. subject: task; instance, amounts, group, task_definition."""
    PLACEMENT_ENDED = "placement.ended"
    """Placement ledger: a hold ended. subject: task; instance, amounts, proof, since."""
    PLAN_REFUSED = "plan.refused"
    """An installed scheduler wanted what it may not. subject: service; why."""
    PLACEMENT_FAILED = "placement.failed"
    """Nothing fits. subject: service or cluster; reasons: {reason: count}, instances: how many were looked at,
    why: all of it in one sentence."""
    TASK_DESIRED = "task.desired"
    """subject: task; desired, stop_code, reason, group, task_definition, instance."""
    TASK_STATUS = "task.status"
    """`lastStatus` as the control plane sees it. subject: task; last, instance, group, task_definition, exit_codes."""
    TASK_HEALTH = "task.health"
    """A health check has another outcome. subject: task; health, containers: {name: health}, instance."""
    TARGET_GROUP = "target.group"
    """Somebody made or changed one. subject: target group; id: the request; name, listen: ports."""
    TARGET = "target"
    """A target of a task has another state. subject: task; group, address, port, state, until (end of draining),
    reason."""
    TASK_TOLD = "task.told"
    """The instance was sent the task's desired status. subject: task; id: the message, which several starts may share;
    desired, instance."""
    SCALER_LOOK = "scaler.look"
    """Managed scaling has looked, and why it acted or did not. subject: group; provider, cluster, needed, running,
    percent, target, before, desired, act, why, provisioning, pending_counted, low_points, ignored: [{task, why}]."""
    GROUP = "group"
    """An instance group was made, changed or deleted. subject: group; status, desired, minimum, maximum."""
    MACHINE_STATE = "machine.state"
    """A member of a group. subject: its instance id; group, state, instance_type, zone, why."""
    MACHINE_PROTECTED = "machine.protected"
    """Managed termination protection. subject: instance id; group, protected."""
    INSTANCE_TAKEN = "instance.taken"
    """A machine goes. subject: instance; why, killed_under_drainer: tasks that were still stopping, killed: others."""
    SERVICE_SCALING = "service.scaling"
    """Auto scaling has looked, and why it acted or did not. subject: service; act, before, desired, minimum, maximum,
    why, policies: [{policy, act, why}]."""
    RULE_FIRED = "rule.fired"
    """A rule's time came, or its event. subject: rule; id: the RunTask; target, tasks, failures; or error; or missed:
    the time (epoch seconds) of a tick that was too late."""

    # agent
    AGENT_STARTED = "agent.started"
    """subject: instance; resumed: number of tasks found in the journal."""
    AGENT_POLICY = "agent.policy"
    """The control plane has set the agent's policy. subject: instance; release, task_queue, stop_give_up."""
    TASK_ACCEPTED = "task.accepted"
    """A desired status arrived and is on disk. subject: task; desired, instance."""
    HOST_QUEUED = "host.queued"
    """The host has no room yet. subject: task; instance, amounts, lacks."""
    HOST_HELD = "host.held"
    """Host ledger: admitted. subject: task; instance, amounts, waited_seconds."""
    HOST_ENDED = "host.ended"
    """Host ledger: the room is free again. subject: task; instance, amounts, proof."""
    RELEASE_REPORTED = "release.reported"
    """The release is told to the control plane. subject: task; instance, proof."""
    TASK_KNOWN = "task.known"
    """The task's own machine climbed. subject: task; known, reason."""
    CONTAINER_CREATED = "container.created"
    """subject: task; container, docker_id."""
    CONTAINER_STARTED = "container.started"
    """subject: task; container, docker_id."""
    CONTAINER_SIGNALLED = "container.signalled"
    """subject: task; container, signal, grace_seconds, deadline (epoch seconds)."""
    CONTAINER_KILLED = "container.killed"
    """The grace is over. subject: task; container."""
    CONTAINER_HEALTH = "container.health"
    """Docker's health check came to another result. subject: task; container, status."""
    CONTAINER_RESTARTED = "container.restarted"
    """Its restart policy starts it again. subject: task; container, exit_code, restarts."""
    CONTAINER_REVIVED = "container.revived"
    """Somebody started a stopped container again; it is stopped again. subject: task; container."""
    CONTAINER_EXITED = "container.exited"
    """subject: task; container, exit_code, finished_at (Docker's, epoch seconds), error."""
    STOP_UNPROVEN = "stop.unproven"
    """The agent gave up on a stop. subject: task; container, error. Never looks like a proven one."""
    RUNTIME_FAULT = "runtime.fault"
    """Docker refused or failed. subject: task; container, call, error."""


class StoryLine(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One thing that happened.

    `at` is epoch seconds on the clock of `actor` (`controlplane` or `agent/<instance id>`).
    """

    at: float
    actor: str
    subject: str
    kind: str
    cause: str = ""
    data: dict[str, Any] = {}
    id: str = ""
