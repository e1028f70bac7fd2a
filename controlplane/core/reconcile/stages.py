"""BLUE_GREEN, LINEAR and CANARY: the stages of a deployment, its hooks, its shifts of traffic, its bake times.

Green comes up beside blue, traffic moves in one or more steps, and blue goes at the end. The weights stand in the
record; whoever carries traffic reads them there. Without a load balancer they are computed all the same.
Source: ECS Developer Guide, "Blue/green", "Linear" and "Canary deployments", "Lifecycle hooks".
"""

import msgspec

from controlplane.core.model import Deployment
from controlplane.core.reconcile import deployments
from controlplane.core.reconcile.deployments import Cause
from controlplane.core.reconcile.health import Soundness
from controlplane.core.reconcile.look import Look
from controlplane.core.reconcile.replica import Formation
from controlplane.core.rollouts import Hook, HookKind, HookRun, ServiceDeployment, Stage, Strategy
from wire.story import Kind

MINUTE_SECONDS = 60.0
STAGE_SECONDS_MAX = 24 * 3600.0
"""ECS Developer Guide, "Lifecycle stages": a stage lasts at most 24 hours."""
WHOLE_PERCENT = 100.0
_ORDER = tuple(Stage)
_GREEN_FROM = _ORDER.index(Stage.SCALE_UP)
_BLUE_UNTIL = _ORDER.index(Stage.CLEAN_UP)
_OPEN = frozenset({"AWAITING_ACTION", "IN_PROGRESS"})


def is_staged(course: ServiceDeployment | None) -> bool:
    """Whether a deployment goes by stages. The way back does not: blue is still there."""
    return course is not None and course.settings.strategy is not Strategy.ROLLING and not course.is_rolling_back


def wanted(look: Look, course: ServiceDeployment) -> dict[str, int]:
    """How many tasks each deployment (id) is to have at this stage; the newest, green, comes first."""
    at = _ORDER.index(course.stage or _ORDER[0])
    count = look.service.desired_count
    green, blue = look.service.deployments[0], _blue(look)
    numbers = {green.id: count if at >= _GREEN_FROM else 0}
    if blue is not None and at < _BLUE_UNTIL:
        numbers[blue.id] = count
    return numbers


def go_on(look: Look, formation: Formation, course: ServiceDeployment) -> ServiceDeployment:
    """Take as many stages as can be taken now. Returns the course as it now stands in the draft."""
    if course.stage is None:
        # Only where more than one revision had tasks when it began is there something to reconcile.
        course = _enter(look, course, Stage.RECONCILE_SERVICE if len(course.sources) > 1 else Stage.PRE_SCALE_UP)
    while course.stage is not Stage.CLEAN_UP:
        course = _expire(look, course)
        if any(_is_lost(course, run) for run in _here(course)):
            look.service = deployments.fail(look.draft, look.service, course, Cause.HOOK, look.names)
            return course
        if look.draft.now >= course.stage_since + STAGE_SECONDS_MAX:
            look.service = deployments.fail(look.draft, look.service, course, Cause.STAGE_TIMEOUT, look.names)
            return course
        if any(run.status in _OPEN for run in _here(course)) or not _is_reached(look, formation, course):
            look.times.append(course.stage_since + STAGE_SECONDS_MAX)
            return course
        course = _enter_next(look, course)
    return course


def shifts(course: ServiceDeployment) -> tuple[tuple[float, float], ...]:
    """Per cent of the production traffic after each step, and the minutes that are waited then."""
    settings = course.settings
    if settings.strategy is Strategy.CANARY and settings.canary_percent < WHOLE_PERCENT:
        return (settings.canary_percent, settings.canary_bake_minutes), (WHOLE_PERCENT, 0)
    if settings.strategy is not Strategy.LINEAR:
        return ((WHOLE_PERCENT, 0),)
    steps = []
    percent = settings.step_percent
    while percent < WHOLE_PERCENT:
        steps.append((percent, settings.step_bake_minutes))
        percent += settings.step_percent
    return (*steps, (WHOLE_PERCENT, 0))


def _is_reached(look: Look, formation: Formation, course: ServiceDeployment) -> bool:
    """Whether what a stage is for has come about."""
    match course.stage:
        case Stage.RECONCILE_SERVICE:
            return not formation.leave
        case Stage.SCALE_UP:
            green = formation.teams[0]
            healthy = [task for task in green.tasks if look.is_(task, Soundness.HEALTHY)]
            return green.wanted == look.service.desired_count <= len(healthy)
        case Stage.PRODUCTION_TRAFFIC_SHIFT:
            return _has_waited(look, course, shifts(course)[course.steps_done][1])
        case Stage.BAKE_TIME:
            return _has_waited(look, course, course.settings.bake_minutes)
    return True


def _has_waited(look: Look, course: ServiceDeployment, minutes: float) -> bool:
    until = course.stage_since + minutes * MINUTE_SECONDS
    look.times.append(until)
    return look.draft.now >= until


def _enter_next(look: Look, course: ServiceDeployment) -> ServiceDeployment:
    assert course.stage is not None
    is_shifting = course.stage is Stage.PRODUCTION_TRAFFIC_SHIFT
    if is_shifting and course.steps_done + 1 < len(shifts(course)):
        return _enter(look, course, course.stage, step=course.steps_done + 1)
    return _enter(look, course, _ORDER[_ORDER.index(course.stage) + 1], step=course.steps_done)


def _enter(look: Look, course: ServiceDeployment, stage: Stage, *, step: int = 0) -> ServiceDeployment:
    runs = tuple(
        _begin(look, hook, nth, stage, step) for nth, hook in enumerate(course.settings.hooks) if stage in hook.stages
    )
    entered = msgspec.structs.replace(
        course,
        stage=stage,
        stage_since=look.draft.now,
        steps_done=step,
        updated_at=look.draft.now,
        hooks=(*course.hooks, *runs),
    )
    if stage is Stage.TEST_TRAFFIC_SHIFT:
        entered = msgspec.structs.replace(entered, test_weight=WHOLE_PERCENT)
    if stage is Stage.PRODUCTION_TRAFFIC_SHIFT:
        entered = msgspec.structs.replace(entered, production_weight=shifts(course)[step][0])
    look.draft.put(entered)
    tell_stage(look, entered)
    return entered


def tell_stage(look: Look, course: ServiceDeployment) -> None:
    """A stage is entered, or the weights have changed: a line of the story."""
    look.draft.tell(
        Kind.DEPLOYMENT_STAGE,
        course.service,
        service_deployment=course.arn,
        stage=course.stage,
        test_weight=course.test_weight,
        production_weight=course.production_weight,
    )


def _begin(look: Look, hook: Hook, nth: int, stage: Stage, step: int) -> HookRun:
    is_pause = hook.kind is HookKind.PAUSE
    seconds = hook.timeout_minutes * MINUTE_SECONDS if is_pause else STAGE_SECONDS_MAX
    return HookRun(
        id=look.names.uuid(),
        stage=stage,
        hook=nth,
        step=step,
        status="AWAITING_ACTION" if is_pause else "IN_PROGRESS",
        started_at=look.draft.now,
        expires_at=look.draft.now + seconds,
        call_at=look.draft.now,
    )


def _here(course: ServiceDeployment) -> list[HookRun]:
    return [run for run in course.hooks if run.stage is course.stage and run.step == course.steps_done]


def _is_lost(course: ServiceDeployment, run: HookRun) -> bool:
    """Whether a hook ends the deployment: it failed, or its time has gone by and its `timeoutConfiguration` says so."""
    if run.status != "TIMED_OUT":
        return run.status == "FAILED"
    hook = course.settings.hooks[run.hook]
    return hook.kind is not HookKind.PAUSE or hook.timeout_action != "CONTINUE"


def _expire(look: Look, course: ServiceDeployment) -> ServiceDeployment:
    """Hooks whose time has gone by: TIMED_OUT."""
    runs = []
    for run in course.hooks:
        is_open = run.status in _OPEN
        if is_open and look.draft.now >= run.expires_at:
            runs.append(msgspec.structs.replace(run, status="TIMED_OUT"))
            look.draft.tell(
                Kind.DEPLOYMENT_HOOK, course.service, service_deployment=course.arn, hook=run.id, status="TIMED_OUT"
            )
        else:
            if is_open:
                look.times.append(run.expires_at)
            runs.append(run)
    if tuple(runs) == course.hooks:
        return course
    expired = msgspec.structs.replace(course, hooks=tuple(runs))
    look.draft.put(expired)
    return expired


def _blue(look: Look) -> Deployment | None:
    """The deployment that serves: of the revision last completed, else the next older one."""
    older = look.service.deployments[1:]
    serving = [deployment for deployment in older if deployment.revision == look.service.settled]
    return next(iter((*serving, *older)), None)
