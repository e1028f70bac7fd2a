"""Events of pauses in deployments: somebody is waited for, has answered, or has not in time.

Source: ECS Developer Guide, "Pause hooks" ("EventBridge events"); that what went wrong is of the type ERROR is assumed.
"""

from collections.abc import Iterator
from typing import Any

from controlplane.core.rollouts import HookKind, HookRun, ServiceDeployment
from controlplane.core.view import View

HOOK_CHANGE = "ECS Hook State Change"
_NAMES = {
    "AWAITING_ACTION": ("INFO", "HOOK_AWAITING_ACTION"),
    "SUCCEEDED": ("INFO", "HOOK_SUCCEEDED"),
    "FAILED": ("ERROR", "HOOK_FAILED"),
    "TIMED_OUT": ("ERROR", "HOOK_TIMED_OUT"),
}


def changes(course: ServiceDeployment, before: View, after: View) -> Iterator[tuple[str, dict[str, Any]]]:
    """What a commit has made of the pauses of a deployment: what each event is about, and its `detail`.

    `expiresAt` is epoch seconds, `updatedAt` is missing.
    """
    known = before.record(ServiceDeployment, course.arn)
    statuses = {run.id: run.status for run in known.hooks} if known is not None else {}
    for run in course.hooks:
        is_pause = course.settings.hooks[run.hook].kind is HookKind.PAUSE
        if is_pause and run.status in _NAMES and statuses.get(run.id) != run.status:
            yield f"{run.id} {run.status}", _detail(course, run, after)


def _detail(course: ServiceDeployment, run: HookRun, after: View) -> dict[str, Any]:
    kind, name = _NAMES[run.status]
    cluster = after.cluster(course.cluster)
    return {
        "eventType": kind,
        "eventName": name,
        "hookId": run.id,
        "hookType": str(HookKind.PAUSE),
        "expiresAt": run.expires_at,
        "lifecycleStage": str(run.stage),
        "clusterArn": cluster.arn if cluster is not None else "",
        "serviceArn": course.service,
        "serviceDeploymentArn": course.arn,
    }
