"""Service events: sentences to people in AWS's words, newest first, repeats held back until something has changed.

Source: recorded service events; ECS Developer Guide, "Service event messages".
"""

import re
from collections.abc import Sequence

import msgspec

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


def tell(draft: Draft, service: Service, message: str, names: Names) -> Service:
    """Say a sentence. Returns the service as it now stands in the draft."""
    event = ServiceEvent(id=names.uuid(), created_at=draft.now, message=message)
    told = msgspec.structs.replace(service, events=(event, *service.events)[:EVENTS_MAX])
    draft.put(told)
    draft.tell(Kind.SERVICE_EVENT, service.arn, message=message)
    return told


def is_news(draft: Draft, service: Service, message: str) -> bool:
    """Whether a sentence about a state has something to say.

    A steady state is news once tasks have moved; trouble is, once the service was steady in between. Which instance was
    the closest match is no news.
    """
    over = _MOVED if message == steady(service) else _STEADY
    for event in service.events:
        if draft.now - event.created_at >= REPEAT_AFTER_SECONDS or over.search(event.message):
            return True
        if _INSTANCE.sub("", event.message) == _INSTANCE.sub("", message):
            return False
    return True


def started(draft: Draft, service: Service, tasks: Sequence[Task], names: Names) -> Service:
    """Say `(service S) has started 2 tasks: (task a) (task b).`, in as many sentences as it takes."""
    for batch in _batches(tasks):
        text = f"(service {service.name}) has started {len(batch)} tasks: {_named(batch)}."
        service = tell(draft, service, text, names)
    return service


def stopped(draft: Draft, service: Service, tasks: Sequence[Task], names: Names) -> Service:
    """Say `(service S) has stopped 2 running tasks: (task a) (task b).` and `(service S) stopped 2 pending tasks.`."""
    pending = [task for task in tasks if task.last_status.is_starting]
    if pending:
        service = tell(draft, service, f"(service {service.name}) stopped {len(pending)} pending tasks.", names)
    for batch in _batches([task for task in tasks if not task.last_status.is_starting]):
        text = f"(service {service.name}) has stopped {len(batch)} running tasks: {_named(batch)}."
        service = tell(draft, service, text, names)
    return service


def steady(service: Service) -> str:
    """The service wants nothing more."""
    return f"(service {service.name}) has reached a steady state."


def completed(service: Service, deployment: str) -> str:
    """A deployment (id) is done."""
    return f"(service {service.name}) (deployment {deployment}) deployment completed."


def impaired(service: Service) -> str:
    """Tasks fail again and again before they run."""
    return f"(service {service.name}) is unable to consistently start tasks successfully."


def deadlocked(service: Service) -> str:
    """Floor and ceiling leave no step to take."""
    return (
        f"(service {service.name}) was unable to stop or start tasks during a deployment because of the service "
        "deployment configuration. Update the minimumHealthyPercent or maximumPercent value and try again."
    )


def _batches(tasks: Sequence[Task]) -> list[Sequence[Task]]:
    return [tasks[at : at + TASKS_PER_EVENT] for at in range(0, len(tasks), TASKS_PER_EVENT)]


def _named(tasks: Sequence[Task]) -> str:
    return " ".join(f"(task {short_id(task.arn)})" for task in tasks)


def over_limit(service: Service) -> str:
    """Too many tasks of the cluster wait for an instance already."""
    return (
        f"(service {service.name}) was unable to place tasks in your cluster because the tasks provisioning capacity "
        "limit was exceeded."
    )
