"""Tasks: run, start, stop, describe, list. Where a task goes is decided by `core/placement`, what it is by `lifecycle`.

What does not fit is a failure in an answer with HTTP 200, never an error. Source: API reference, `RunTask`,
`StartTask`, `StopTask`, `ListTasks`; ECS Developer Guide, "API failures messages".
"""

from hashlib import sha256
from typing import Any

import msgspec

from controlplane.api import capacity, limits, network
from controlplane.api.call import Answer, Call
from controlplane.api.clusters import cluster_of
from controlplane.api.container_instances import find as find_instance
from controlplane.api.paging import page
from controlplane.api.placement import constraints_of, strategy_of
from controlplane.api.task_definitions import find_active
from controlplane.api.task_shapes import render
from controlplane.core import lifecycle
from controlplane.core.capacity.launching import launch
from controlplane.core.cost import task_amounts
from controlplane.core.model import Cluster, Task, TaskDefinition, Token
from controlplane.core.placement.engine import Request, examine
from controlplane.core.view import Draft, View
from wire.arn import parse, short_id
from wire.errors import AwsError, ClientException, InvalidParameterException
from wire.resources import Amounts
from wire.status import InstanceStatus, StopCode

DESCRIBE_MAX = 100
COUNT_MAX = 10
"""Tasks in one RunTask, instances in one StartTask. Source: API reference."""
OVERRIDES_CHARACTERS_MAX = 8192
STARTED_BY_CHARACTERS_MAX = 128
_KEPT = ("networkConfiguration",)


def run_task(draft: Draft, call: Call) -> Answer:
    """RunTask: as many of `count` tasks as fit, and a failure for each instance that took no more."""
    cluster = cluster_of(draft, call)
    used = _used_token(draft, call, cluster)
    if used is not None:
        return _again(draft, used)
    count = call.body.get("count", 1)
    if not 1 <= count <= COUNT_MAX:
        raise InvalidParameterException(f"count should be between 1 and {COUNT_MAX}.")
    definition = _runnable(draft, call)
    strategy = capacity.strategy_of(draft, call, cluster)
    request = Request(
        cluster=cluster.name,
        group=_group(call, definition),
        amounts=_amounts(call, definition),
        count=count,
        strategy=strategy_of(call.body),
        constraints=constraints_of(call.body, definition),
    )
    may_wait = capacity.any_waits(draft, cluster, strategy)
    if not may_wait and not any(i.status is not InstanceStatus.INACTIVE for i in draft.instances(cluster.name)):
        raise InvalidParameterException("No Container Instances were found in your cluster.")
    launched = launch(
        draft,
        cluster.name,
        strategy,
        request,
        create=lambda instance, body: _create(draft, call, definition, cluster=cluster, instance=instance, body=body),
        may_wait=may_wait,
        dice=call.names.dice,
    )
    if launched.is_over_limit:
        raise ClientException("The limit of tasks in PROVISIONING in this cluster is reached.")
    tasks = launched.started
    failures = [{"arn": refusal.instance, "reason": refusal.reason} for refusal in launched.refusals]
    _remember_token(draft, call, cluster, tasks, failures)
    return {"tasks": [render(draft, task) for task in tasks], "failures": failures}


def start_task(draft: Draft, call: Call) -> Answer:
    """StartTask: one task on each named instance that has room; no strategy, no constraint."""
    cluster = cluster_of(draft, call)
    references = call.body["containerInstances"]
    if not 1 <= len(references) <= COUNT_MAX:
        raise InvalidParameterException(f"containerInstances should have 1 to {COUNT_MAX} elements.")
    definition = _runnable(draft, call)
    tasks, failures = [], []
    for reference in references:
        instance = find_instance(draft, call, cluster, reference)
        arn = instance.arn if instance else reference
        reason = examine(draft, arn, _amounts(call, definition)) if instance else "MISSING"
        if reason is None:
            tasks.append(_create(draft, call, definition, cluster=cluster, instance=arn, body={}))
        else:
            if parse(arn) is None:
                arn = call.arns.container_instance(cluster.name, arn)
            failures.append({"arn": arn, "reason": reason})
    return {"tasks": [render(draft, task) for task in tasks], "failures": failures}


def stop_task(draft: Draft, call: Call) -> Answer:
    """StopTask: desired STOPPED. It answers before any signal is sent; a STOPPED task is answered as it is."""
    cluster = cluster_of(draft, call)
    task = _find(draft, call, cluster, call.body["task"])
    if task is None:
        raise InvalidParameterException("The referenced task was not found.")
    reason = call.text("reason") or "Task stopped by user"
    stopped = lifecycle.request_stop(draft, task, stop_code=StopCode.USER_INITIATED, reason=reason)
    return {"task": render(draft, stopped)}


def force_stop_task(draft: Draft, call: Call) -> Answer:
    """ForceStopTask, ours: StopTask, and what is left of every grace is cut."""
    cluster = cluster_of(draft, call)
    task = _find(draft, call, cluster, call.text("task"))
    if task is None:
        raise InvalidParameterException("The referenced task was not found.")
    stopped = lifecycle.force_stop(draft, task, reason=call.text("reason") or "Task stopped by user, by force")
    return {"task": render(draft, stopped)}


def describe_tasks(view: View, call: Call) -> Answer:
    """DescribeTasks. Unknown ones are failures with reason MISSING."""
    cluster = cluster_of(view, call)
    references = call.body["tasks"]
    if not references:
        raise InvalidParameterException("Tasks cannot be empty.")
    if len(references) > DESCRIBE_MAX:
        raise InvalidParameterException(f"Tasks cannot have more than {DESCRIBE_MAX} elements.")
    with_tags = "TAGS" in call.body.get("include", ())
    tasks, failures = [], []
    for reference in references:
        task = _find(view, call, cluster, reference)
        if task is None:
            failures.append({"arn": _arn(call, cluster, reference), "reason": "MISSING"})
        else:
            tasks.append(render(view, task, with_tags=with_tags))
    return {"tasks": tasks, "failures": failures}


def list_tasks(view: View, call: Call) -> Answer:
    """ListTasks. Unless told otherwise those that are wanted: a task told to stop leaves this list at once."""
    cluster = cluster_of(view, call)
    wanted = call.text("desiredStatus", "RUNNING")
    chosen = [
        task
        for task in view.tasks(cluster.name)
        if task.desired_status == wanted and _passes(view, call, cluster, task)
    ]
    shown, more = page(chosen, call.body, key=lambda task: (task.created_at, task.arn))
    return {"taskArns": [task.arn for task in shown], **more}


def _runnable(draft: Draft, call: Call) -> TaskDefinition:
    """The task definition of a request, once nothing about the two stands against running it."""
    body = call.body
    limits.refuse_unserved(body, limits.TASK_REQUEST, call.operation)
    definition = find_active(draft, call, body["taskDefinition"])
    limits.refuse_unrunnable(definition.body, f"{definition.family}:{definition.revision}")
    network.check(definition.body, body.get("networkConfiguration"))
    if len(body.get("startedBy", "")) > STARTED_BY_CHARACTERS_MAX:
        raise InvalidParameterException(f"startedBy should have at most {STARTED_BY_CHARACTERS_MAX} characters.")
    overrides = body.get("overrides", {})
    if len(msgspec.json.encode(overrides)) > OVERRIDES_CHARACTERS_MAX:
        raise InvalidParameterException(f"overrides should have at most {OVERRIDES_CHARACTERS_MAX} characters.")
    limits.refuse_overrides(overrides)
    names = {container["name"] for container in definition.body["containerDefinitions"]}
    for override in overrides.get("containerOverrides", ()):
        if override.get("name") not in names:
            raise InvalidParameterException(
                f"Override for container named {override.get('name')} is not a container in the TaskDefinition."
            )
    return definition


def _amounts(call: Call, definition: TaskDefinition) -> Amounts:
    try:
        return task_amounts(definition.body, call.body.get("overrides", {}))
    except ValueError as error:
        raise InvalidParameterException(str(error)) from None


def _group(call: Call, definition: TaskDefinition) -> str:
    return call.text("group") or f"family:{definition.family}"


def _create(
    draft: Draft,
    call: Call,
    definition: TaskDefinition,
    *,
    cluster: Cluster,
    instance: str | None,
    body: dict[str, Any],
) -> Task:
    kept = {member: call.body[member] for member in _KEPT if member in call.body}
    if instance is None:  # what is asked again once there is room
        kept |= {"placementConstraints": list(constraints_of(call.body, definition))}
        kept |= {"placementStrategy": list(strategy_of(call.body))}
    new = lifecycle.NewTask(
        cluster=cluster.name,
        group=_group(call, definition),
        instance=instance,
        started_by=call.body.get("startedBy"),
        client_token=call.body.get("clientToken"),
        overrides=call.body.get("overrides", {}),
        body={"tags": _tags(call, definition), **kept, **body},
    )
    return lifecycle.create(draft, definition, new, call.names)


def _tags(call: Call, definition: TaskDefinition) -> list[dict[str, str]]:
    """The task's tags; with `propagateTags` those of its definition below them."""
    if call.body.get("propagateTags") == "SERVICE":
        raise InvalidParameterException("propagateTags SERVICE is for the tasks of services.")
    propagated = definition.body.get("tags", []) if call.body.get("propagateTags") == "TASK_DEFINITION" else []
    tags = {tag.get("key", ""): tag for tag in [*propagated, *call.body.get("tags", [])]}
    return list(tags.values())


def _fingerprint(body: dict[str, Any]) -> str:
    rest = {member: value for member, value in body.items() if member != "clientToken"}
    return sha256(msgspec.json.encode(rest, order="deterministic")).hexdigest()


def _used_token(draft: Draft, call: Call, cluster: Cluster) -> Token | None:
    """What this request's token was used for before.

    Raises:
        AwsError: ConflictException, where that was another request.
    """
    probe = Token(scope=f"RunTask {cluster.name}", token=call.text("clientToken"), fingerprint="")
    used = draft.token(probe.key) if probe.token else None
    if used is not None and used.fingerprint != _fingerprint(call.body):
        raise AwsError(
            "The clientToken was already used with other parameters.",
            code="ConflictException",
            members={"resourceIds": list(used.tasks)},
        )
    return used


def _again(draft: Draft, used: Token) -> Answer:
    tasks = [task for task in map(draft.task, used.tasks) if task is not None]
    return {"tasks": [render(draft, task) for task in tasks], "failures": list(used.failures)}


def _remember_token(
    draft: Draft, call: Call, cluster: Cluster, tasks: list[Task], failures: list[dict[str, Any]]
) -> None:
    """A token that started something must not start it again; one that started nothing may be tried anew."""
    if not call.text("clientToken") or not tasks:
        return
    token = Token(
        scope=f"RunTask {cluster.name}",
        token=call.text("clientToken"),
        fingerprint=_fingerprint(call.body),
        tasks=tuple(task.arn for task in tasks),
        failures=tuple(failures),
        created_at=draft.now,
    )
    draft.put(token)


def _find(view: View, call: Call, cluster: Cluster, reference: str) -> Task | None:
    task = view.task(_arn(call, cluster, reference))
    return task if task is not None and task.cluster == cluster.name else None


def _arn(call: Call, cluster: Cluster, reference: str) -> str:
    return reference if parse(reference) else call.arns.task(cluster.name, reference)


def _passes(view: View, call: Call, cluster: Cluster, task: Task) -> bool:
    body = call.body
    if "containerInstance" in body:
        instance = find_instance(view, call, cluster, body["containerInstance"])
        if instance is None or task.instance != instance.arn:
            return False
    if "serviceName" in body and task.service != call.arns.service(cluster.name, short_id(body["serviceName"])):
        return False
    if "family" in body and short_id(task.task_definition).partition(":")[0] != body["family"]:
        return False
    if "launchType" in body and body["launchType"] != "EC2":
        return False
    return "startedBy" not in body or task.started_by == body["startedBy"]
