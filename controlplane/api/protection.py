"""Task scale-in protection: ask for it, end it, look at it. What it holds back is the scheduler's business.

A protection has an end; once that has passed it is as if it had never been. Source: API reference,
`UpdateTaskProtection`, `GetTaskProtection`; ECS Developer Guide, "Protect your Amazon ECS tasks from being terminated".
"""

import msgspec

from controlplane.api.call import Answer, Call
from controlplane.api.clusters import cluster_of
from controlplane.api.references import task_arn
from controlplane.core.model import Cluster, Task
from controlplane.core.view import Draft, View
from wire.errors import InvalidParameterException
from wire.status import TaskStatus

UPDATE_MAX = 10
GET_MAX = 100
MINUTES_DEFAULT = 120
MINUTES_MAX = 2880
_BLOCKED = (
    "The number of protected tasks are more than the desired count of tasks: wait, end the protection of others, or "
    "raise the desired count of the service."
)
"""Source: ECS Developer Guide, "Task scale-in protection" (failure reasons); the second half is ours."""


def update_task_protection(draft: Draft, call: Call) -> Answer:
    """UpdateTaskProtection. Protecting a protected task again sets its end anew."""
    cluster = cluster_of(draft, call)
    references = _references(call, UPDATE_MAX)
    minutes = call.body.get("expiresInMinutes", MINUTES_DEFAULT)
    if not 1 <= minutes <= MINUTES_MAX:
        raise InvalidParameterException(f"expiresInMinutes should be between 1 and {MINUTES_MAX}.")
    until = call.now + minutes * 60 if call.body["protectionEnabled"] else None
    found, failures = _found(draft, call, cluster, references)
    changed = []
    for task in found:
        if until is not None and _is_blocked(draft, task):
            failures.append({"arn": task.arn, "reason": "DEPLOYMENT_BLOCKED", "detail": _BLOCKED})
            continue
        protected = msgspec.structs.replace(task, protected_until=until)
        if protected != task:
            draft.put(protected)
        changed.append(_render(protected, call.now))
    return {"protectedTasks": changed, "failures": failures}


def _is_blocked(draft: Draft, task: Task) -> bool:
    """Whether a deployment is under way and one more protected task would make more of them than are desired."""
    service = draft.service(task.service or "")
    if service is None or len(service.deployments) < 2:  # noqa: PLR2004 - the newest, and one that it replaces
        return False
    others = [t for t in draft.tasks_of(service.arn) if t.is_live and t.is_protected(draft.now) and t.arn != task.arn]
    return len(others) + 1 > service.desired_count


def get_task_protection(view: View, call: Call) -> Answer:
    """GetTaskProtection. Without `tasks`: every task of the cluster's services that is protected."""
    cluster = cluster_of(view, call)
    if not call.body.get("tasks"):
        protected = [task for task in view.tasks(cluster.name) if task.is_protected(call.now)]
        return {"protectedTasks": [_render(task, call.now) for task in protected[:GET_MAX]], "failures": []}
    found, failures = _found(view, call, cluster, _references(call, GET_MAX))
    return {"protectedTasks": [_render(task, call.now) for task in found], "failures": failures}


def _references(call: Call, most: int) -> list[str]:
    references: list[str] = call.body.get("tasks", [])
    if not references:
        raise InvalidParameterException("Tasks cannot be empty.")
    if len(references) > most:
        raise InvalidParameterException(f"Tasks cannot have more than {most} elements.")
    return references


def _found(view: View, call: Call, cluster: Cluster, references: list[str]) -> tuple[list[Task], list[Answer]]:
    """Tasks that can be protected, and for each other one why it cannot."""
    found, failures = [], []
    for reference in references:
        arn = task_arn(call, cluster, reference)
        task = view.task(arn)
        if task is None or task.cluster != cluster.name or task.last_status is TaskStatus.STOPPED:
            failures.append({"arn": arn, "reason": "MISSING"})
        elif task.service is None:
            detail = "The task is not part of a service: only tasks that a service has started can be protected."
            failures.append({"arn": arn, "reason": "TASK_NOT_VALID", "detail": detail})
        else:
            found.append(task)
    return found, failures


def _render(task: Task, now: float) -> Answer:
    if not task.is_protected(now):
        return {"taskArn": task.arn, "protectionEnabled": False}
    return {"taskArn": task.arn, "protectionEnabled": True, "expirationDate": task.protected_until}
