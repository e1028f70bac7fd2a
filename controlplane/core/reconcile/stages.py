"""BLUE_GREEN, LINEAR and CANARY: the stages of a deployment, its hooks, its shifts of traffic, its bake times.

Green comes up beside blue, traffic moves in one or more steps, and blue goes at the end. The weights stand in the
record; whoever carries traffic reads them there. Without a load balancer they are computed all the same.
A ROLLING deployment with hooks has the stages before and after its tasks are replaced, and none of traffic (assumed).
Source: ECS Developer Guide, "Blue/green", "Linear" and "Canary deployments", "Lifecycle hooks".
"""

import math

import msgspec

from controlplane.core.model import Deployment
from controlplane.core.reconcile import deployments, hooks
from controlplane.core.reconcile.deployments import Cause
from controlplane.core.reconcile.health import Soundness
from controlplane.core.reconcile.look import Look
from controlplane.core.reconcile.replica import Formation
from controlplane.core.rollouts import MINUTE_SECONDS, ServiceDeployment, Stage, Strategy
from wire.story import Kind

STAGE_SECONDS_MAX = 24 * 3600.0
DEPLOYMENT_SECONDS_MAX = 30 * 24 * 3600.0
"""ECS Developer Guide, "Deployment lifecycle stages": a stage lasts at most 24 hours, all of them 30 days."""
WHOLE_PERCENT = 100.0
_ORDER = tuple(Stage)
_GREEN_FROM = _ORDER.index(Stage.SCALE_UP)
_BLUE_UNTIL = _ORDER.index(Stage.CLEAN_UP)
_ROLLING = (Stage.RECONCILE_SERVICE, Stage.PRE_SCALE_UP, Stage.SCALE_UP, Stage.POST_SCALE_UP, Stage.CLEAN_UP)
_RECURRING = (Stage.PRE_PRODUCTION_TRAFFIC_SHIFT, Stage.PRODUCTION_TRAFFIC_SHIFT)
"""Gone through once for each step of the production traffic."""


def is_staged(course: ServiceDeployment | None) -> bool:
    """Whether a deployment goes by stages. The way back does not: blue is still there."""
    return course is not None and course.settings.strategy is not Strategy.ROLLING and not course.is_rolling_back


def has_stages(course: ServiceDeployment | None) -> bool:
    """Whether there are stages to go through: also those of a ROLLING deployment that has hooks."""
    return is_staged(course) or (course is not None and bool(course.settings.hooks) and not course.is_rolling_back)


def wanted(look: Look, course: ServiceDeployment) -> dict[str, int]:
    """How many tasks each deployment (id) is to have at this stage; the newest, green, comes first.

    What is not in it is replaced: blue at the end, or from the scale-up on where the deployment is ROLLING.
    """
    at = _ORDER.index(course.stage or _ORDER[0])
    count = look.service.desired_count
    green, blue = look.service.deployments[0], _blue(look)
    numbers = {green.id: count if at >= _GREEN_FROM else 0}
    if blue is not None and at < (_BLUE_UNTIL if is_staged(course) else _GREEN_FROM):
        numbers[blue.id] = count
    return numbers


def go_on(look: Look, formation: Formation, course: ServiceDeployment) -> ServiceDeployment:
    """Take as many stages as can be taken now. Returns the course as it now stands in the draft."""
    if course.stage is None:
        # Only where more than one revision had tasks when it began is there something to reconcile.
        course = _enter(look, course, Stage.RECONCILE_SERVICE if len(course.sources) > 1 else Stage.PRE_SCALE_UP)
    ends_at = (course.started_at or course.created_at) + DEPLOYMENT_SECONDS_MAX
    while course.stage is not Stage.CLEAN_UP:
        course = hooks.expire(look, course)
        if look.draft.now >= ends_at:
            look.service = deployments.fail(look.draft, look.service, course, Cause.TIMEOUT, look.names)
            return course
        if any(hooks.is_lost(course, run) for run in hooks.here(course)):
            look.service = deployments.fail(look.draft, look.service, course, Cause.HOOK, look.names)
            return course
        is_held = any(run.status in hooks.OPEN for run in hooks.here(course))
        if is_held or not _is_reached(look, formation, course):
            until = _ends_at(course)
            look.times += [until, ends_at]
            if look.draft.now >= until:
                look.service = deployments.fail(look.draft, look.service, course, Cause.STAGE_TIMEOUT, look.names)
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
    steps = range(1, math.ceil(round(WHOLE_PERCENT / settings.step_percent, 6)))
    return (*((round(n * settings.step_percent, 1), settings.step_bake_minutes) for n in steps), (WHOLE_PERCENT, 0))


def _ends_at(course: ServiceDeployment) -> float:
    """When a stage has taken too long (epoch seconds): after a day, or when its pauses have run out of time.

    Tasks that replace others one by one may take longer.
    """
    if course.stage is Stage.SCALE_UP and not is_staged(course):
        return math.inf
    return max(course.stage_since + STAGE_SECONDS_MAX, *(run.expires_at for run in hooks.here(course)), 0)


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
    if course.stage is _RECURRING[-1] and course.steps_done + 1 < len(shifts(course)):
        return _enter(look, course, _RECURRING[0], step=course.steps_done + 1)
    order = _ORDER if is_staged(course) else _ROLLING
    return _enter(look, course, order[order.index(course.stage) + 1], step=course.steps_done)


def _enter(look: Look, course: ServiceDeployment, stage: Stage, *, step: int = 0) -> ServiceDeployment:
    runs = hooks.at_stage(course, stage, step=step, now=look.draft.now, names=look.names)
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


def _blue(look: Look) -> Deployment | None:
    """The deployment that serves: of the revision last completed, else the next older one."""
    older = look.service.deployments[1:]
    serving = [deployment for deployment in older if deployment.revision == look.service.settled]
    return next(iter((*serving, *older)), None)
