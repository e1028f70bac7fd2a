"""Lifecycle hooks of a deployment: which begin at a stage and on the way back, which run out of time, which end it.

It asks nobody; `scheduling/hooks` does, and people do. Source: ECS Developer Guide, "Lifecycle hooks".
"""

import msgspec

from controlplane.core.names import Names
from controlplane.core.reconcile.look import Look
from controlplane.core.rollouts import MINUTE_SECONDS, HookKind, HookRun, ServiceDeployment, Stage, Strategy
from wire.story import Kind

OPEN = frozenset({"AWAITING_ACTION", "IN_PROGRESS"})
_ORDER = tuple(Stage)
_ASKED_BACK = (Stage.PRODUCTION_TRAFFIC_SHIFT, Stage.TEST_TRAFFIC_SHIFT)
"""Stages whose hooks are asked again on the way back."""


def at_stage(course: ServiceDeployment, stage: Stage, *, step: int, now: float, names: Names) -> tuple[HookRun, ...]:
    """The hooks that begin with a stage."""
    return tuple(
        HookRun(
            id=names.pause() if hook.kind is HookKind.PAUSE else names.uuid(),
            stage=stage,
            hook=nth,
            step=step,
            status="AWAITING_ACTION" if hook.kind is HookKind.PAUSE else "IN_PROGRESS",
            started_at=now,
            expires_at=now + hook.timeout_minutes * MINUTE_SECONDS,
            call_at=now,
        )
        for nth, hook in enumerate(course.settings.hooks)
        if stage in hook.stages
    )


def on_the_way_back(course: ServiceDeployment, now: float, names: Names) -> tuple[HookRun, ...]:
    """The hooks of the shifts that have been, all at once, as the traffic is."""
    has_shifts = course.stage is not None and course.settings.strategy is not Strategy.ROLLING
    been = _ORDER[: _ORDER.index(course.stage) + 1] if course.stage is not None and has_shifts else ()
    runs = (run for s in _ASKED_BACK if s in been for run in at_stage(course, s, step=0, now=now, names=names))
    return tuple(msgspec.structs.replace(run, is_back=True) for run in runs)


def here(course: ServiceDeployment) -> list[HookRun]:
    """Those that hold the deployment where it stands now."""
    if course.is_rolling_back:
        return [run for run in course.hooks if run.is_back]
    return [run for run in course.hooks if run.stage is course.stage and run.step == course.steps_done]


def is_lost(course: ServiceDeployment, run: HookRun) -> bool:
    """Whether a hook ends the deployment: it failed, or its time has gone by and its `timeoutConfiguration` says so."""
    if run.status == "TIMED_OUT":
        return course.settings.hooks[run.hook].timeout_action != "CONTINUE"
    return run.status == "FAILED"


def expire(look: Look, course: ServiceDeployment) -> ServiceDeployment:
    """Hooks whose time has gone by: TIMED_OUT. Returns the course as it now stands in the draft."""
    late = {run.id for run in course.hooks if run.status in OPEN and look.draft.now >= run.expires_at}
    look.times += [run.expires_at for run in course.hooks if run.status in OPEN]
    if not late:
        return course
    runs = (msgspec.structs.replace(run, status="TIMED_OUT") if run.id in late else run for run in course.hooks)
    expired = msgspec.structs.replace(course, hooks=tuple(runs))
    look.draft.put(expired)
    for id_ in sorted(late):
        look.draft.tell(
            Kind.DEPLOYMENT_HOOK, course.service, service_deployment=course.arn, hook=id_, status="TIMED_OUT"
        )
    return expired
