"""What the control plane believes about a stopping task: a frozen record of independent switches, per cluster.

When a hold on the placement ledger ends is a policy; nothing in the scheduler asks for it by an `if` of its own.
"""

from enum import StrEnum
from typing import Annotated, Literal

import msgspec


class HoldEnds(StrEnum):
    """What ends the placement ledger's hold of a task that was told to stop."""

    AGENT_REPORT = "agent-report"
    """The agent's report of the release; for an agent that sends none (Amazon's own) the stop request, as AWS does.
    Source: AWS What's New 2023-06-30 ("optimistically considers ... as free"), aws/amazon-ecs-agent#4106."""
    STOP_REQUEST = "stop-request"
    """The stop request, whatever the agent says. Source: as above; ECS since 2015."""
    REPORTED_EXIT = "reported-exit"
    """The task's STOPPED. Source: Nomad >= 1.4, Docker Swarm, Kubernetes' scheduler."""
    DEADLINE = "deadline"
    """Signal plus stopTimeout, or the exit where that comes first. Source: Kubernetes ResourceQuota (PR 46542)."""


class CountsStopping(StrEnum):
    """Whether `maximumPercent` counts tasks that are stopping (`ecs-semantics.md` 11.1: the sources disagree)."""

    ALWAYS = "always"
    """Developer Guide since 2023: RUNNING, STOPPING or PENDING."""
    NEVER = "never"
    """API reference: RUNNING or PENDING; seen in 2020 (aws/amazon-ecs-agent#2486)."""
    FOR = "for"
    """Only for `counts_stopping_seconds` after the stop request (aws/containers-roadmap#2485)."""


class ScalerCounts(StrEnum):
    """For which tasks managed scaling adds instances."""

    PROVISIONING = "provisioning"
    """Those without an instance. Source: ECS Developer Guide, "Amazon ECS managed scaling behavior"."""
    AND_PENDING = "provisioning and pending"
    """Besides, those in PENDING on an instance where a stopping task may still hold the room they were given. Ours."""


class EmptyWhen(StrEnum):
    """From when on an instance counts as empty: for the reservation, termination protection and draining.

    AWS's texts leave open what an instance with nothing but stopping tasks is (`ecs-semantics.md` 11.11).
    """

    STOPPED = "stopped"
    """All its tasks have STOPPED (daemons aside): nothing is taken away under a task. Assumed."""
    STOP_REQUESTED = "stop-requested"
    """All have been told to stop: whatever is still at work goes with the instance, and is counted."""


class UnhealthyInRollout(StrEnum):
    """What happens to an unhealthy task while a deployment rolls (`ecs-semantics.md` 11.2: the sources disagree)."""

    REPLACE_FIRST = "replace-first"
    """By one of its own revision, started first where the ceiling allows it. Developer Guide of 2026."""
    STOP_FIRST = "stop-first"
    """It is stopped, then replaced. Developer Guide before."""


class ProtectionCovers(StrEnum):
    """What scale-in protection keeps the scheduler from, besides scale-in itself (unpublished: 11.11)."""

    DEPLOYMENTS = "deployments"
    DRAINING = "draining"
    """Deployments and the replacement of tasks on DRAINING instances. Derived: it is the same scheduler."""
    HEALTH = "health"
    """Besides, unhealthy tasks are left alone."""


class AbortStops(StrEnum):
    """StopServiceDeployment with ABORT: the model has it, its page allows ROLLBACK alone (`ecs-semantics.md` 11.8)."""

    REFUSED = "refused"
    ACCEPTED = "accepted"
    """The deployment ends where it stands; its tasks stay as they are."""


class FirstTask(StrEnum):
    """Whether the first task of a deployment starts alone, until the digests of its images are known (`images.py`)."""

    WITH_OTHERS = "with-others"
    """Ours (decision 68). Those that start before a digest is known resolve the tag themselves."""
    ALONE = "alone"
    """Source: ECS Developer Guide, "Container image resolution" (2024-07)."""


class Policy(msgspec.Struct, frozen=True, omit_defaults=True):
    """The switches of one cluster. The defaults behave as Amazon's do today."""

    hold_ends: HoldEnds = HoldEnds.AGENT_REPORT
    counts_stopping: CountsStopping = CountsStopping.ALWAYS
    counts_stopping_seconds: float = 0
    healthy_after_seconds: float = 40
    """A task counts as healthy this long after it reached RUNNING; 0: at once. Source: API reference,
    `DeploymentConfiguration.minimumHealthyPercent` (40 s for tasks without load balancer and health check)."""
    unhealthy_in_rollout: UnhealthyInRollout = UnhealthyInRollout.REPLACE_FIRST
    protection_covers: ProtectionCovers = ProtectionCovers.DRAINING
    throttle_max_seconds: float = 27 * 60
    """The longest wait between tries of tasks that never start. Source: ECS Developer Guide, "Service throttle logic";
    15 minutes in the guide of 2017 to 2023."""
    breaker_minimum: int = 3
    """The circuit breaker's smallest bounded threshold. Source: ECS Developer Guide; 10 in that of 2023."""
    abort_stops: AbortStops = AbortStops.REFUSED
    first_task: FirstTask = FirstTask.WITH_OTHERS
    launches_per_minute: int | None = None
    """Tasks that one service starts at most; None: no limit. Source: ECS service quotas (500)."""
    scheduler: str = "berth"
    """Who chooses instances: the engine, or an installed scheduler of that name (entry point `berth.schedulers`)."""
    pending_lease_seconds: float | None = None
    """A task that waits longer than this in PENDING on a full host is placed anew; None: it stays, as in ECS."""
    scaler_counts: ScalerCounts = ScalerCounts.PROVISIONING
    empty_when: EmptyWhen = EmptyWhen.STOPPED
    provisioning_seconds: float = 15 * 60
    """A task that finds no instance for so long (on the scaler's clock) stops: TaskFailedToStart. Source: AWS
    containers blog, "Deep dive on Amazon ECS cluster auto scaling" (10 to 30 minutes)."""


class AgentPolicy(msgspec.Struct, frozen=True, omit_defaults=True):
    """The agents' half of a preset, as the environment variables of our agent."""

    release: Literal["eager", "on-exit"] = "eager"
    """ECS_RESOURCE_RELEASE."""
    task_queue: Annotated[str, msgspec.Meta(pattern="^(fifo|serial|greedy|greedy:[1-9][0-9]{0,8})$")] = "fifo"
    """ECS_TASK_QUEUE: fifo, serial, greedy or greedy:SECONDS."""
    stop_give_up: Literal["hold", "declare"] = "hold"
    """ECS_STOP_GIVE_UP."""


class Preset(msgspec.Struct, frozen=True):
    """A named combination over both sides."""

    name: str
    summary: str
    policy: Policy = Policy()
    agent: AgentPolicy = AgentPolicy()


PRESETS = {
    preset.name: preset
    for preset in (
        Preset("ecs-2026", "Amazon ECS today: room is booked free at the stop request"),
        Preset(
            "ecs-2015",
            "Amazon ECS up to agent 1.72: besides, a host starts nothing while anything on it is stopping",
            Policy(counts_stopping=CountsStopping.NEVER),
            AgentPolicy(task_queue="serial"),
        ),
        Preset(
            "on-exit",
            "room is free when every container of the task has been seen to exit",
            agent=AgentPolicy(release="on-exit"),
        ),
        Preset(
            "deadline",
            "room is free at signal + stopTimeout, or at the exit where that comes first",
            Policy(hold_ends=HoldEnds.DEADLINE),
        ),
        Preset(
            "lease",
            "as today, but a task that waits 15 s for its room is placed anew elsewhere",
            Policy(pending_lease_seconds=15),
        ),
    )
}
