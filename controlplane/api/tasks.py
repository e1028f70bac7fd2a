"""Tasks: run, start, stop, describe, list. Where a task goes is decided by `core/placement`, what it is by `lifecycle`.

What does not fit is a failure in an answer with HTTP 200, never an error. Source: API reference, `RunTask`,
`StartTask`, `StopTask`, `ListTasks`; ECS Developer Guide, "API failures messages".
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from controlplane.api import capacity, limits, network, overrides, tokens
from controlplane.api.call import Answer, Call
from controlplane.api.clusters import cluster_of
from controlplane.api.container_instances import find as find_instance
from controlplane.api.paging import page
from controlplane.api.placement import constraints_of, strategy_of
from controlplane.api.references import instance_arn, service_arn, task_arn
from controlplane.api.tag_rules import check_tags
from controlplane.api.task_definitions import find_active
from controlplane.api.task_shapes import render
from controlplane.core import lifecycle, tagging
from controlplane.core.capacity.launching import launch
from controlplane.core.cost import task_amounts
from controlplane.core.model import Cluster, Task, TaskDefinition
from controlplane.core.placement import explain
from controlplane.core.placement.engine import examine
from controlplane.core.placement.explain import Refusal
from controlplane.core.placement.request import Request, caution_of, demand_of
from controlplane.core.view import Draft, View
from wire.arn import short_id
from wire.errors import ClientException, InvalidParameterException, ServiceNotFoundException
from wire.resources import Amounts
from wire.status import InstanceStatus, StopCode
from wire.story import Kind

DESCRIBE_MAX = 100
COUNT_MAX = 10
"""Tasks in one RunTask, instances in one StartTask. Source: API reference."""
STARTED_BY_CHARACTERS_MAX = {"RunTask": 128, "StartTask": 36}
REFERENCE_ID_CHARACTERS_MAX = 1024

_STARTED_BY = re.compile(r"[A-Za-z0-9_/.-]*")
"""With dots, which names of EventBridge rules may have (`events-rule/NAME`)."""
_WORDS = frozenset({"startedBy", "referenceId", "propagateTags", "tags"})
_KEPT = ("networkConfiguration", "referenceId", "enableExecuteCommand")


def run_task(draft: Draft, call: Call) -> Answer:
    """RunTask: as many of `count` tasks as fit, and a failure for each instance that took no more."""
    cluster = cluster_of(draft, call)
    used = tokens.used_token(draft, call, cluster)
    if used is not None:
        return tokens.again(draft, used)
    count = call.body.get("count", 1)
    if not 1 <= count <= COUNT_MAX:
        raise InvalidParameterException(f"count should be between 1 and {COUNT_MAX}.")
    definition = _runnable(draft, call)
    demand = demand_of(definition)
    request = Request(
        cluster=cluster.name,
        group=call.body.get("group") or demand.group,
        amounts=_amounts(call, definition),
        count=count,
        strategy=strategy_of(call.body),
        constraints=constraints_of(call.body, definition),
        required=demand.required,
        caution=caution_of(cluster.policy),
    )
    strategy = capacity.strategy_of(draft, call, cluster)
    may_wait = bool(strategy) and capacity.any_waits(draft, cluster, strategy)
    launched = launch(
        draft,
        cluster.name,
        strategy,
        request,
        create=partial(_create, draft, call, definition, cluster=cluster.name, group=request.group),
        may_wait=may_wait,
        dice=call.names.dice,
    )
    if launched.is_over_limit:
        raise ClientException("The limit of tasks in PROVISIONING in this cluster is reached.")
    tasks = launched.started
    if not tasks and not may_wait and not _has_instances(draft, cluster):
        raise InvalidParameterException("No Container Instances were found in your cluster.")
    failures = _failures(draft, cluster, launched.refusals)
    tokens.remember_token(draft, call, cluster, tasks, failures)
    return {"tasks": [render(draft, task) for task in tasks], "failures": failures}


def _has_instances(view: View, cluster: Cluster) -> bool:
    return any(instance.status is not InstanceStatus.INACTIVE for instance in view.instances(cluster.name))


def _failures(draft: Draft, cluster: Cluster, refusals: Sequence[Refusal]) -> list[dict[str, Any]]:
    """AWS's reason for each instance that took no more, and all of them in one sentence, which the story gets too."""
    if not refusals:
        return []
    reasons, why = explain.tally(refusals), explain.sentence(refusals)
    draft.tell(Kind.PLACEMENT_FAILED, cluster.arn, reasons=reasons, instances=len(refusals), why=why)
    return [{"arn": refusal.instance, "reason": refusal.reason, "detail": why} for refusal in refusals]


def start_task(draft: Draft, call: Call) -> Answer:
    """StartTask: one task on each named instance that has room; no strategy, no constraint."""
    cluster = cluster_of(draft, call)
    references = call.body["containerInstances"]
    if not 1 <= len(references) <= COUNT_MAX:
        raise InvalidParameterException(f"containerInstances should have 1 to {COUNT_MAX} elements.")
    definition = _runnable(draft, call)
    demand = demand_of(definition)
    group = call.body.get("group") or demand.group
    tasks, failures = [], []
    for reference in references:
        instance = find_instance(draft, call, cluster, reference)
        arn = instance.arn if instance else reference
        reason = examine(draft, arn, _amounts(call, definition), demand.required) if instance else "MISSING"
        if reason is None:
            tasks.append(_create(draft, call, definition, arn, {}, cluster=cluster.name, group=group))
        else:
            failures.append({"arn": instance_arn(call, cluster, arn), "reason": reason})
    return {"tasks": [render(draft, task) for task in tasks], "failures": failures}


def stop_task(draft: Draft, call: Call) -> Answer:
    """StopTask: desired STOPPED. It answers before any signal is sent; a STOPPED task is answered as it is."""
    cluster = cluster_of(draft, call)
    task = _find(draft, call, cluster, call.body["task"])
    if task is None:
        raise InvalidParameterException("The referenced task was not found.")
    reason = call.text("reason") or "Task stopped by user"
    stopped = lifecycle.request_stop(draft, task, stop_code=StopCode.USER_INITIATED, reason=reason)
    return {"task": render(draft, _untagged(draft, stopped))}


def force_stop_task(draft: Draft, call: Call) -> Answer:
    """ForceStopTask, ours: StopTask, and what is left of every grace is cut."""
    cluster = cluster_of(draft, call)
    task = _find(draft, call, cluster, call.text("task"))
    if task is None:
        raise InvalidParameterException("The referenced task was not found.")
    stopped = lifecycle.force_stop(draft, task, reason=call.text("reason") or "Task stopped by user, by force")
    return {"task": render(draft, _untagged(draft, stopped))}


def _untagged(draft: Draft, task: Task) -> Task:
    """StopTask takes a task's tags away. Source: API reference, StopTask."""
    if not task.body.get("tags"):
        return task
    bare = msgspec.structs.replace(task, body={**task.body, "tags": []})
    draft.put(bare)
    return bare


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
            failures.append({"arn": task_arn(call, cluster, reference), "reason": "MISSING"})
        else:
            tasks.append(render(view, task, with_tags=with_tags))
    return {"tasks": tasks, "failures": failures}


def list_tasks(view: View, call: Call) -> Answer:
    """ListTasks. Unless told otherwise those that are wanted: a task told to stop leaves this list at once."""
    cluster = cluster_of(view, call)
    wanted = call.text("desiredStatus", "RUNNING")
    if "startedBy" in call.body and any(member in call.body for member in _FILTERS):
        raise InvalidParameterException("startedBy cannot be combined with another filter.")
    passes = _filter(view, call, cluster)
    chosen = [task for task in view.tasks(cluster.name) if task.desired_status == wanted and passes(task)]
    shown, more = page(chosen, call.body, key=lambda task: (task.created_at, task.arn))
    return {"taskArns": [task.arn for task in shown], **more}


def _runnable(draft: Draft, call: Call) -> TaskDefinition:
    """The task definition of a request, once nothing about the two stands against running it."""
    body = call.body
    limits.refuse_unserved(body, limits.TASK_REQUEST, call.operation)
    definition = find_active(draft, call, body["taskDefinition"])
    limits.refuse_unrunnable(definition)
    network.check(definition.body, body.get("networkConfiguration"))
    _check_words(call)
    overrides.check(definition.body, body.get("overrides", {}))
    return definition


def _check_words(call: Call) -> None:
    if _WORDS.isdisjoint(call.body):
        return
    most = STARTED_BY_CHARACTERS_MAX[call.operation]
    if not _STARTED_BY.fullmatch(call.text("startedBy")) or len(call.text("startedBy")) > most:
        raise InvalidParameterException(
            f"startedBy should be up to {most} letters (uppercase and lowercase), numbers, hyphens, forward slashes, "
            "and underscores."
        )
    if len(call.text("referenceId")) > REFERENCE_ID_CHARACTERS_MAX:
        raise InvalidParameterException(f"referenceId should have at most {REFERENCE_ID_CHARACTERS_MAX} characters.")
    if call.text("propagateTags") == "SERVICE":
        raise InvalidParameterException("propagateTags SERVICE is for the tasks of services.")
    check_tags(call.body.get("tags", ()))


def _amounts(call: Call, definition: TaskDefinition) -> Amounts:
    if not call.body.get("overrides"):
        return definition.amounts
    try:
        return task_amounts(definition.body, call.body["overrides"])
    except ValueError as error:
        raise InvalidParameterException(str(error)) from None


def _create(
    draft: Draft,
    call: Call,
    definition: TaskDefinition,
    instance: str | None,
    body: dict[str, Any],
    *,
    cluster: str,
    group: str,
) -> Task:
    asked, body = call.body, {**body}
    for member in _KEPT:
        if member in asked:
            body[member] = asked[member]
    if instance is None:  # what is asked again once there is room
        body["placementConstraints"] = list(constraints_of(asked, definition))
        body["placementStrategy"] = list(strategy_of(asked))
    body["tags"] = tagging.of_task(asked, definition, cluster)
    new = lifecycle.NewTask(
        cluster=cluster,
        group=group,
        instance=instance,
        started_by=asked.get("startedBy"),
        client_token=asked.get("clientToken"),
        overrides=asked.get("overrides", {}),
        body=body,
    )
    return lifecycle.create(draft, definition, new, call.names)


def _find(view: View, call: Call, cluster: Cluster, reference: str) -> Task | None:
    task = view.task(reference)  # most come by the ARN that they were given
    if task is None or task.cluster != cluster.name:
        task = view.task(task_arn(call, cluster, reference))
    return task if task is not None and task.cluster == cluster.name else None


_FILTERS = ("containerInstance", "family", "serviceName", "launchType", "daemonName")


def _filter(view: View, call: Call, cluster: Cluster) -> Callable[[Task], bool]:
    body = call.body
    if body.get("launchType", "EC2") != "EC2" or "daemonName" in body:
        return lambda _: False
    wanted: dict[str, object] = {}
    if "containerInstance" in body:
        wanted["instance"] = instance_arn(call, cluster, body["containerInstance"])
    if "serviceName" in body:
        wanted["service"] = service_arn(call, cluster, body["serviceName"])
        if view.service(str(wanted["service"])) is None:
            raise ServiceNotFoundException
    if "startedBy" in body:
        wanted["started_by"] = body["startedBy"]
    family = body.get("family")
    return lambda task: (
        all(getattr(task, member) == value for member, value in wanted.items())
        and family in (None, short_id(task.task_definition).partition(":")[0])
    )
