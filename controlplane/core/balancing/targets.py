"""A task's places in target groups, from its start to after its end. The proxy follows what is written here.

Registered when its agent says RUNNING: until then the task is ACTIVATING. A stop by the scheduler deregisters first:
the task is DEACTIVATING for the whole deregistration delay, and only then is its agent told. Whatever else ends a task
(StopTask, its own exit, the loss of its instance) deregisters beside it.
Source: ECS Developer Guide, "Task lifecycle"; ELB User Guide, "Deregistration delay" (the state stays `draining` until
the delay is over, also where nothing is in flight); aws/containers-roadmap#576 and #708 (StopTask).
"""

from collections import Counter
from collections.abc import Callable, Iterable

import msgspec

from controlplane.core.balancing.records import Target, TargetGroup, TargetState
from controlplane.core.model import Service, Task
from controlplane.core.names import Names
from controlplane.core.reconcile import events
from controlplane.core.task_lines import tell_status
from controlplane.core.view import Draft, View
from wire.status import TaskStatus
from wire.story import Kind

ADDRESS_ATTRIBUTE = "berth.address"
"""Attribute of an instance that says where the proxy reaches the ports of its host."""
HOST = "127.0.0.1"
"""Where it does unless said: on this machine."""

_Where = tuple[str, int]
_Told = Counter[tuple[str, str]]
"""Targets by (service, group)."""


def is_open(task: Task) -> bool:
    """Whether there is anything left to do about the targets of a task."""
    return bool(task.targets) and any(target.state is not TargetState.UNUSED for target in task.targets)


def held_back(task: Task, reported: TaskStatus | None) -> TaskStatus | None:
    """What a task becomes at its agent's report: RUNNING waits for the registration."""
    is_waiting = task.is_live and any(target.state is TargetState.WAITING for target in task.targets)
    return TaskStatus.ACTIVATING if reported is TaskStatus.RUNNING and is_waiting else reported


def deregister_first(draft: Draft, task: Task) -> Task:
    """The scheduler stops `task`: DEACTIVATING, its agent is told when the targets have drained. Else a no-op."""
    if not any(target.state.is_registered for target in task.targets):
        return task
    return _put(draft, _draining(draft, task), last_status=TaskStatus.DEACTIVATING)


def settle(draft: Draft, tasks: Iterable[str], names: Names) -> None:
    """Whatever is due for these tasks (ARNs): registrations, deregistrations, the ends of delays; people are told."""
    joined, left = _Told(), _Told()
    for arn in tasks:
        task = draft.task(arn)
        if task is None or not is_open(task):
            continue
        if task.is_live:
            if task.last_status is TaskStatus.ACTIVATING:
                _register(draft, task, joined)
            continue
        leaving = [target for target in task.targets if target.state.is_registered]
        left.update((task.service or "", target.group) for target in leaving)
        if leaving or task.last_status is TaskStatus.STOPPED:
            task = _put(draft, _draining(draft, task))
        _drained(draft, task)
    _tell(draft, joined, events.registered, names)
    _tell(draft, left, events.deregistered, names)


def tell_draining(draft: Draft, service: Service, tasks: Iterable[str], names: Names) -> Service:
    """Tell people about those of the tasks (ARNs) that the scheduler has just begun to deregister."""
    found = [draft.task(arn) for arn in tasks]
    leaving = [task for task in found if task is not None and task.last_status is TaskStatus.DEACTIVATING]
    if not leaving:
        return service
    service = events.tell(draft, service, events.draining(service, len(leaving)), names)
    groups = Counter(target.group for task in leaving for target in task.targets)
    for group, count in groups.items():
        service = events.tell(draft, service, events.deregistered(service, group, count), names)
    return service


def change(draft: Draft, task: Task, targets: tuple[Target, ...]) -> Task:
    """Take in how the load balancer finds the targets of a task."""
    return task if targets == task.targets else _put(draft, msgspec.structs.replace(task, targets=targets))


def where(view: View, task: Task, target: Target) -> _Where | None:
    """Address and port at which a target is reached; None: not known yet."""
    definition = view.task_definition(task.task_definition)
    instance = view.instance(task.instance) if task.instance else None
    if definition is None or instance is None:
        return None
    mode = definition.body.get("networkMode")
    if mode == "awsvpc":
        return (task.address, target.container_port) if task.address else None
    host = instance.attribute(ADDRESS_ATTRIBUTE) or HOST
    if mode == "host":
        return host, target.container_port
    bindings = [b for c in task.containers if c.name == target.container for b in c.network_bindings]
    ports = [b["hostPort"] for b in bindings if b.get("containerPort") == target.container_port and b.get("hostPort")]
    return (host, ports[0]) if ports else None


def _register(draft: Draft, task: Task, joined: _Told) -> None:
    """All targets at once, and RUNNING with them."""
    places = [where(draft, task, target) for target in task.targets]
    targets = tuple(
        msgspec.structs.replace(target, state=TargetState.INITIAL, since=draft.now, address=place[0], port=place[1])
        for target, place in zip(task.targets, places, strict=True)
        if place is not None
    )
    if len(targets) == len(task.targets):
        running = msgspec.structs.replace(task, targets=targets, started_at=draft.now)
        _put(draft, running, last_status=TaskStatus.RUNNING)
        joined.update((task.service or "", target.group) for target in targets)


def _draining(draft: Draft, task: Task) -> Task:
    return msgspec.structs.replace(task, targets=tuple(_leave(draft, target) for target in task.targets))


def _leave(draft: Draft, target: Target) -> Target:
    if target.state is TargetState.WAITING:
        return msgspec.structs.replace(target, state=TargetState.UNUSED, since=draft.now)
    if not target.state.is_registered:
        return target
    group = draft.record(TargetGroup, target.group)
    until = draft.now + (group.deregistration_delay_seconds if group is not None else 0)
    return msgspec.structs.replace(target, state=TargetState.DRAINING, since=draft.now, until=until, reason="")


def _drained(draft: Draft, task: Task) -> Task:
    """Delays that are over; the last one lets the agent be told."""
    targets = tuple(_expired(target, draft.now) for target in task.targets)
    is_waiting = task.last_status is TaskStatus.DEACTIVATING
    is_over = is_waiting and not any(target.state is TargetState.DRAINING for target in targets)
    if targets == task.targets and not is_over:
        return task
    task = msgspec.structs.replace(task, targets=targets)
    return _put(draft, task, last_status=TaskStatus.STOPPING if is_over else task.last_status)


def _expired(target: Target, now: float) -> Target:
    if target.state is not TargetState.DRAINING or target.until is None or now < target.until:
        return target
    return msgspec.structs.replace(target, state=TargetState.UNUSED, since=now, until=None)


def _put(draft: Draft, task: Task, *, last_status: TaskStatus | None = None) -> Task:
    """Put a task whose targets, and perhaps status, have changed; the story has a line of each."""
    before = draft.task(task.arn)
    known = before.targets if before is not None else ()
    is_climbing = last_status is not None and last_status is not task.last_status
    if is_climbing:
        task = msgspec.structs.replace(task, last_status=last_status, version=task.version + 1)
    draft.put(task)
    for target in task.targets:
        if target not in known:
            draft.tell(
                Kind.TARGET,
                task.arn,
                group=target.group,
                address=target.address,
                port=target.port,
                state=target.state,
                until=target.until,
                reason=target.reason,
            )
    if is_climbing:
        tell_status(draft, task)
    return task


def _tell(draft: Draft, counts: _Told, sentence: Callable[[Service, str, int], events.Sentence], names: Names) -> None:
    for (arn, group), count in counts.items():
        service = draft.service(arn)
        if service is not None and service.status != "INACTIVE":
            events.tell(draft, service, sentence(service, group, count), names)
