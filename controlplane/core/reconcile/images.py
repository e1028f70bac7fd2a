"""Which image a revision means: the digest that its first task has found is what all later ones run.

Asked for by `versionConsistency`, container by container. Whether others wait for that first task is a switch of the
policy. Source: ECS Developer Guide, "Container image resolution"; API reference, `ContainerDefinition`.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from controlplane.core.model import Deployment, TaskDefinition
from controlplane.core.policy import FirstTask
from controlplane.core.reconcile.look import Look, Team, definition_of
from controlplane.core.rollouts import ServiceRevision
from controlplane.core.view import View
from wire.status import TaskStatus

TRIES = 3
"""Tasks that fail before the others go on without the digest."""


def learn(look: Look) -> None:
    """Take the digests in that tasks have reported; the first one of each container stands for its revision."""
    for deployment in look.service.deployments:
        revision = look.draft.record(ServiceRevision, deployment.revision)
        missing = _missing(look.draft, deployment, revision)
        if revision is None or not missing:
            continue
        found: dict[str, str] = {}
        for task in look.tasks:
            if task.deployment == deployment.id:
                for container in task.containers:
                    if container.name in missing and container.image_digest:
                        found.setdefault(container.name, container.image_digest)
        if found:
            look.draft.put(msgspec.structs.replace(revision, digests={**revision.digests, **found}))


def starts_allowed(look: Look, team: Team, count: int) -> int:
    """How many of `count` tasks may start now: one, while the first is to find the digests and has not yet.

    A task that runs has shown all that it can: an image that only its host knows has no digest.
    """
    if look.policy.first_task is FirstTask.WITH_OTHERS or team.deployment.failed_tasks >= TRIES:
        return count
    revision = look.draft.record(ServiceRevision, team.deployment.revision)
    if not _missing(look.draft, team.deployment, revision):
        return count
    own = [task for task in look.live if task.deployment == team.deployment.id]
    return count if any(task.last_status is TaskStatus.RUNNING for task in own) else min(count, 1 - len(own))


def _missing(view: View, deployment: Deployment, revision: ServiceRevision | None) -> frozenset[str]:
    """Containers whose images are to be the same in all tasks, and are not known yet."""
    known: Mapping[str, str] = revision.digests if revision is not None else {}
    return frozenset(_pinnable(definition_of(view, deployment)) - known.keys())


def _pinnable(definition: TaskDefinition) -> set[str]:
    containers: list[dict[str, Any]] = definition.body.get("containerDefinitions", [])
    return {
        container["name"]
        for container in containers
        if container.get("versionConsistency") != "disabled" and "@" not in container.get("image", "")
    }
