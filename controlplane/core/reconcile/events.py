"""Service events: sentences to people in AWS's words, newest first, repeats held back until something has changed.

Each sentence carries the name that EventBridge has for it, where it has one. Source: recorded service events; ECS
Developer Guide, "Service event messages", "Service action events".
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from controlplane.core.balancing.records import Target
from controlplane.core.model import Service, ServiceEvent, Task
from controlplane.core.names import Names
from controlplane.core.view import Draft
from wire.arn import short_id
from wire.story import Kind

EVENTS_MAX = 100
"""API reference, `Service.events`."""
REPEAT_AFTER_SECONDS = 6 * 3600
"""A sentence that still holds is said again about every six hours (recorded: 21 6xx s)."""
TASKS_PER_EVENT = 10
"""Tasks named in one sentence; more make more sentences (assumed, after the size of AWS's launch batches)."""

_INSTANCE = re.compile(r"\(container-instance [^)]*\)")
_MOVED = re.compile(r"has started|stopped \d+ pending|has stopped")
_STEADY = re.compile(r"has reached a steady state")


class Sentence(NamedTuple):
    """What is said, and EventBridge's `eventName` for it ("": it has none)."""

    message: str
    name: str = ""


def tell(draft: Draft, service: Service, sentence: Sentence, names: Names) -> Service:
    """Say a sentence. Returns the service as it now stands in the draft."""
    event = ServiceEvent(id=names.uuid(), created_at=draft.now, message=sentence.message, name=sentence.name)
    told = msgspec.structs.replace(service, events=(event, *service.events)[:EVENTS_MAX])
    draft.put(told)
    draft.tell(Kind.SERVICE_EVENT, service.arn, message=sentence.message, name=sentence.name)
    return told


def is_news(draft: Draft, service: Service, sentence: Sentence, *, since: float = 0) -> bool:
    """Whether a sentence about a state has something to say.

    A steady state is news once tasks have moved; trouble is, once the service was steady in between, or where it was
    last told before `since` (epoch seconds). Which instance was the closest match is no news.
    """
    over = _STEADY
    if _STEADY.search(sentence.message):
        over = _MOVED
    for event in service.events:
        if draft.now - event.created_at >= REPEAT_AFTER_SECONDS or event.created_at < since:
            return True
        if over.search(event.message):
            return True
        if _INSTANCE.sub("", event.message) == _INSTANCE.sub("", sentence.message):
            return False
    return True


def repeat_at(service: Service, sentence: Sentence) -> float:
    """When a sentence that was said is news again, if nothing else changes (epoch seconds); 0: it was not said."""
    said = _INSTANCE.sub("", sentence.message)
    told_at = (event.created_at for event in service.events if _INSTANCE.sub("", event.message) == said)
    return next((at + REPEAT_AFTER_SECONDS for at in told_at), 0.0)


def started(draft: Draft, service: Service, tasks: Sequence[Task], names: Names, *, replaced: int = 0) -> Service:
    """Say `(service S) has started 2 tasks: (task a) (task b).`, in as many sentences as it takes.

    `replaced`: how many of them stand in for unhealthy ones.
    """
    for batch in _batches(tasks):
        text = f"(service {service.name}) has started {len(batch)} tasks: {_named(batch)}."
        if replaced:
            text += f" Amazon ECS replaced {min(replaced, len(batch))} tasks due to an unhealthy status."
        service = tell(draft, service, Sentence(text), names)
    return service


def stopped(draft: Draft, service: Service, tasks: Sequence[Task], names: Names) -> Service:
    """Say `(service S) has stopped 2 running tasks: (task a) (task b).` and `(service S) stopped 2 pending tasks.`."""
    pending = [task for task in tasks if task.last_status.is_starting]
    if pending:
        text = f"(service {service.name}) stopped {len(pending)} pending tasks."
        service = tell(draft, service, Sentence(text, "TASKS_STOPPED"), names)
    for batch in _batches([task for task in tasks if not task.last_status.is_starting]):
        text = f"(service {service.name}) has stopped {len(batch)} running tasks: {_named(batch)}."
        service = tell(draft, service, Sentence(text, "TASKS_STOPPED"), names)
    return service


# -- states ------------------------------------------------------------------------------------------------------------


def steady(service: Service) -> Sentence:
    """The service wants nothing more."""
    return Sentence(f"(service {service.name}) has reached a steady state.", "SERVICE_STEADY_STATE")


def taskset_steady(service: Service, task_set: str) -> Sentence:
    """A task set (id) has its number, and all of it is healthy."""
    return Sentence(f"(service {service.name}, taskSet {task_set}) has reached a steady state.", "TASKSET_STEADY_STATE")


def impaired(service: Service) -> Sentence:
    """Tasks fail again and again before they run."""
    text = f"(service {service.name}) is unable to consistently start tasks successfully."
    return Sentence(text, "SERVICE_TASK_START_IMPAIRED")


def throttled(service: Service) -> Sentence:
    """It has started as many tasks as one minute allows."""
    text = f"(service {service.name}) operations are being throttled. Will try again later."
    return Sentence(text, "ECS_OPERATION_THROTTLED")


def rescaled(service: Service) -> Sentence:
    """Auto scaling has set its desired count. The wording is ours; the name is AWS's."""
    text = f"(service {service.name}) has its desired count set to {service.desired_count} by auto scaling."
    return Sentence(text, "SERVICE_DESIRED_COUNT_UPDATED")


def deadlocked(service: Service) -> Sentence:
    """Floor and ceiling leave no step to take."""
    return Sentence(
        f"(service {service.name}) was unable to stop or start tasks during a deployment because of the service "
        "deployment configuration. Update the minimumHealthyPercent or maximumPercent value and try again."
    )


# -- deployments -------------------------------------------------------------------------------------------------------


def completed(service: Service, deployment: str) -> Sentence:
    """A deployment (id) is done."""
    text = f"(service {service.name}) (deployment {deployment}) deployment completed."
    return Sentence(text, "SERVICE_DEPLOYMENT_COMPLETED")


def failed(service: Service, deployment: str, why: str) -> Sentence:
    """A deployment (id) has failed; `why` as in `tasks failed to start`."""
    text = f"(service {service.name}) (deployment {deployment}) deployment failed: {why}."
    return Sentence(text, "SERVICE_DEPLOYMENT_FAILED")


def rolling_back(service: Service, deployment: str) -> Sentence:
    """An earlier deployment (id) becomes the newest again."""
    return Sentence(f"(service {service.name}) rolling back to deployment {deployment}.")


# -- health ------------------------------------------------------------------------------------------------------------


def failed_checks(service: Service, task: Task) -> Sentence:
    """A container health check has failed."""
    return Sentence(f"(service {service.name}) (task {short_id(task.arn)}) failed container health checks.")


def failed_target(service: Service, task: Task, target: Target) -> Sentence:
    """A target group finds a task unhealthy."""
    return Sentence(
        f"(service {service.name}) (task {short_id(task.arn)}) (port {target.port}) is unhealthy in "
        f"(target-group {target.group}) due to (reason {target.reason or 'Health checks failed'})."
    )


# -- load balancing ----------------------------------------------------------------------------------------------------


def registered(service: Service, group: str, count: int) -> Sentence:
    """So many targets have joined a target group (ARN)."""
    return Sentence(f"(service {service.name}) registered {count} targets in (target-group {group})")


def deregistered(service: Service, group: str, count: int) -> Sentence:
    """So many targets are leaving a target group (ARN)."""
    return Sentence(f"(service {service.name}) deregistered {count} targets in (target-group {group})")


def draining(service: Service, count: int) -> Sentence:
    """So many tasks get no new connections any more."""
    return Sentence(f"(service {service.name}) has begun draining connections on {count} tasks.")


# -- protection --------------------------------------------------------------------------------------------------------


def held_by_protection(service: Service, deployment: str, count: int) -> Sentence:
    """Scale-in stops where the protected tasks begin."""
    return Sentence(
        f"(service {service.name}, taskSet {deployment}) was unable to scale in due to (reason {count} tasks under "
        "protection)"
    )


def unsteady_by_protection(service: Service, deployment: str, count: int) -> Sentence:
    """A deployment waits for protected tasks of an older one (id)."""
    text = (
        f"(service {service.name}) was unable to reach steady state because (taskSet {deployment}) was unable to scale "
        f"in due to (reason {count} tasks under protection)"
    )
    if count > service.desired_count:
        text += " Reason: The number of protected tasks are more than the desired count of tasks"
    return Sentence(text)


# -- zones -------------------------------------------------------------------------------------------------------------


def unbalanced(service: Service, counts: Mapping[str, int]) -> Sentence:
    """Tasks are spread unevenly over the zones, and are moved."""
    return Sentence(f"(service {service.name}) is not AZ balanced with {_zones(counts)}. AZ Rebalancing in progress.")


def balanced(service: Service, counts: Mapping[str, int]) -> Sentence:
    """They are spread evenly again."""
    return Sentence(f"(service {service.name}) is AZ balanced with {_zones(counts)}.")


def started_to_balance(service: Service, tasks: Sequence[Task], zone: str) -> Sentence:
    """A task starts where there are too few."""
    named = _named(tasks)
    return Sentence(f"(service {service.name}) has started {len(tasks)} tasks in {zone} to AZ Rebalance: {named}.")


def stopped_to_balance(service: Service, tasks: Sequence[Task], zone: str) -> Sentence:
    """A task stops where there are too many."""
    named = _named(tasks)
    text = f"(service {service.name}) has stopped {len(tasks)} running tasks in {zone} to AZ Rebalance: {named}."
    return Sentence(text, "TASKS_STOPPED")


def unplaced_to_balance(service: Service, zone: str) -> Sentence:
    """No instance of the emptiest zone takes a task."""
    return Sentence(
        f"(service {service.name}) is unable to place a task in {zone} because no container instance met all of its "
        "requirements."
    )


# -- daemons -----------------------------------------------------------------------------------------------------------


def no_longer_matching(service: Service, tasks: Sequence[Task]) -> Sentence:
    """Daemon tasks stand on instances that no longer meet the constraints. The wording is ours; the name is AWS's."""
    text = f"(service {service.name}) stops tasks that no longer meet its placement constraints: {_named(tasks)}."
    return Sentence(text, "SERVICE_DAEMON_PLACEMENT_CONSTRAINT_VIOLATED")


def _zones(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} tasks in {zone}" for zone, count in sorted(counts.items()))


def _batches(tasks: Sequence[Task]) -> list[Sequence[Task]]:
    return [tasks[at : at + TASKS_PER_EVENT] for at in range(0, len(tasks), TASKS_PER_EVENT)]


def _named(tasks: Sequence[Task]) -> str:
    return " ".join(f"(task {short_id(task.arn)})" for task in tasks)


def over_limit(service: Service) -> Sentence:
    """Too many tasks of the cluster wait for an instance already."""
    text = (
        f"(service {service.name}) was unable to place tasks in your cluster because the tasks provisioning capacity "
        "limit was exceeded."
    )
    return Sentence(text, "SERVICE_TASK_PLACEMENT_FAILURE")
