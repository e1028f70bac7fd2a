"""Application Auto Scaling's operations on ECS services: targets, policies, scheduled actions, activities, tags.

What a policy then does stands in `core/scaling`. Source: botocore's model (2016-02-06), Application Auto Scaling API
Reference; error texts as AWS gives them where they are known.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from controlplane.committing import Committer
from controlplane.core.model import Scheduling, Service
from controlplane.core.names import Names
from controlplane.core.scaling import scaler
from controlplane.core.scaling.model import (
    MetricAlarm,
    ScalableTarget,
    ScalingActivity,
    ScalingPolicy,
    ScheduledAction,
)
from controlplane.core.view import Draft, View
from controlplane.rules.timing import ScheduleError
from controlplane.scaling import shapes, timing
from controlplane.scaling.shapes import invalid
from controlplane.store.port import Store
from wire import models
from wire.errors import AwsError, UnknownOperationException
from wire.numerals import whole
from wire.scaling import ACTIONS_MAX, DIMENSION, NAMESPACE, POLICIES_MAX, TARGETS_MAX

PAGE_MAX = 50
TAGS_MAX = 50
_RESOURCE_PARTS = 3

Answer = dict[str, Any]


class AutoScalingApi:
    """Serves the operations of the target prefix `AnyScaleFrontendService`."""

    def __init__(self, store: Store, committer: Committer, names: Names) -> None:
        self._store = store
        self._committer = committer
        self._names = names
        self._arns = names.arns

    async def serve(self, operation: str, body: dict[str, Any]) -> Answer:
        """Answer one request.

        Raises:
            AwsError: it cannot be carried out; nothing has changed.
        """
        if operation not in _READERS and operation not in _WRITERS:
            raise UnknownOperationException(f"Application Auto Scaling's {operation[:100]} is not served here.")
        request = models.checked(models.SCALING, operation, body, code="ValidationException")
        _check_scope(request)
        if operation in _READERS:
            return _READERS[operation](self, self._store.view(), request)
        writer = _WRITERS[operation]
        return await self._committer.commit(lambda draft: writer(self, draft, request), cause=self._names.uuid())

    # -- targets -------------------------------------------------------------------------------------------------------

    def _register(self, draft: Draft, body: Answer) -> Answer:
        resource = body["ResourceId"]
        known = draft.record(ScalableTarget, resource)
        service = self._service(draft, resource)
        minimum = body.get("MinCapacity", known.minimum if known else None)
        maximum = body.get("MaxCapacity", known.maximum if known else None)
        _check_bounds(minimum, maximum)
        if known is None and sum(1 for _ in draft.records(ScalableTarget)) >= TARGETS_MAX:
            raise _too_many("scalable targets", TARGETS_MAX)
        if known is not None and body.get("Tags"):
            raise invalid("Tags can be given when a scalable target is registered first; then use TagResource.")
        target = known or self._new_target(resource, service, body, draft.now)
        suspended = body.get("SuspendedState", {})
        changed = msgspec.structs.replace(
            target,
            minimum=minimum,
            maximum=maximum,
            role=body.get("RoleARN", target.role),
            is_in_suspended=suspended.get("DynamicScalingInSuspended", target.is_in_suspended),
            is_out_suspended=suspended.get("DynamicScalingOutSuspended", target.is_out_suspended),
            is_schedule_suspended=suspended.get("ScheduledScalingSuspended", target.is_schedule_suspended),
        )
        draft.put(changed)
        is_low = service.desired_count < changed.minimum
        bound, count = ("minimum", changed.minimum) if is_low else ("maximum", changed.maximum)
        scaler.keep_within(draft, changed, reason=f"{bound} capacity was set to {count}", names=self._names)
        return {"ScalableTargetARN": changed.arn}

    def _new_target(self, resource: str, service: Service, body: Answer, now: float) -> ScalableTarget:
        tags = body.get("Tags", {})
        _check_tags(tags)
        region, account = self._arns
        id_ = self._names.uuid().replace("-", "")
        return ScalableTarget(
            resource=resource,
            arn=f"arn:aws:application-autoscaling:{region}:{account}:scalable-target/{id_}",
            service=service.arn,
            minimum=0,
            maximum=0,
            role=f"arn:aws:iam::{account}:role/aws-service-role/ecs.application-autoscaling.amazonaws.com/"
            "AWSServiceRoleForApplicationAutoScaling_ECSService",
            tags=tags,
            created_at=now,
        )

    def _deregister(self, draft: Draft, body: Answer) -> Answer:
        target = _target(draft, body["ResourceId"])
        scaler.deregister(draft, target)
        return {}

    def _service(self, view: View, resource: str) -> Service:
        _, cluster, name = resource.split("/")
        service = view.service(self._arns.service(cluster, name))
        if service is None or service.status != "ACTIVE":
            raise invalid(f"ECS service doesn't exist: {resource}")
        if service.scheduling is Scheduling.DAEMON:
            raise invalid(f"ECS service has the DAEMON strategy, which has no desired count: {resource}")
        return service

    # -- policies ------------------------------------------------------------------------------------------------------

    def _put_policy(self, draft: Draft, body: Answer) -> Answer:
        target, name = _target(draft, body["ResourceId"]), body["PolicyName"]
        known = draft.record(ScalingPolicy, f"{target.resource} {name}")
        kind = body.get("PolicyType", "StepScaling" if known is None or known.stepping else "TargetTrackingScaling")
        if kind == "PredictiveScaling":
            raise invalid("Predictive scaling is not served here; target tracking and step scaling are.")
        if known is None and len(scaler.policies_of(draft, target)) >= POLICIES_MAX:
            raise _too_many("scaling policies of a target", POLICIES_MAX)
        configuration = body.get(f"{kind}PolicyConfiguration")
        if configuration is None:
            raise invalid(f"{kind}PolicyConfiguration must be given for the policy type {kind}.")
        is_tracking = kind == "TargetTrackingScaling"
        if known is not None and is_tracking != (known.tracking is not None):
            raise invalid("The type of a scaling policy can't be changed. Delete it first.")
        policy = ScalingPolicy(
            resource=target.resource,
            name=name,
            arn=known.arn if known else self._arn_of("scalingPolicy", target.resource, f"policyName/{name}"),
            tracking=shapes.tracking_of(configuration, target.resource) if is_tracking else None,
            stepping=None if is_tracking else shapes.stepping_of(configuration),
            body=configuration,
            alarms=self._alarms_of(target, configuration) if is_tracking else (),
            last_out=known.last_out if known else None,
            last_in=known.last_in if known else None,
            created_at=known.created_at if known else draft.now,
        )
        draft.put(policy)
        return {"PolicyARN": policy.arn, "Alarms": shapes.alarm_shapes(self._arns, policy.alarms)}

    def _alarms_of(self, target: ScalableTarget, configuration: Answer) -> tuple[str, ...]:
        """Names of the alarms that tracking would have in CloudWatch."""
        sides = ("AlarmHigh",) if configuration.get("DisableScaleIn") else ("AlarmHigh", "AlarmLow")
        return tuple(f"TargetTracking-{target.resource}-{side}-{self._names.uuid()}" for side in sides)

    def _arn_of(self, kind: str, resource: str, end: str) -> str:
        region, account = self._arns
        id_ = self._names.uuid()
        return f"arn:aws:autoscaling:{region}:{account}:{kind}:{id_}:resource/{NAMESPACE}/{resource}:{end}"

    def _delete_policy(self, draft: Draft, body: Answer) -> Answer:
        policy = draft.record(ScalingPolicy, f"{body['ResourceId']} {body['PolicyName']}")
        if policy is None:
            raise _missing("scaling policy", body, f", policy name: {body['PolicyName']}")
        draft.delete(policy)
        return {}

    def _describe_policies(self, view: View, body: Answer) -> Answer:
        found = [
            policy
            for policy in _of_resource(view.records(ScalingPolicy), body)
            if not body.get("PolicyNames") or policy.name in body["PolicyNames"]
        ]
        rung: defaultdict[str, list[str]] = defaultdict(list)
        for alarm in view.records(MetricAlarm):
            for arn in alarm.policies:
                rung[arn].append(alarm.name)
        rows = [shapes.policy_shape(p, self._arns, p.alarms or tuple(rung[p.arn])) for p in found]
        return _page("ScalingPolicies", rows, body)

    # -- scheduled actions ---------------------------------------------------------------------------------------------

    def _put_action(self, draft: Draft, body: Answer) -> Answer:
        target, name = _target(draft, body["ResourceId"]), body["ScheduledActionName"]
        known = draft.record(ScheduledAction, f"{target.resource} {name}")
        if known is None and len(_of_resource(draft.records(ScheduledAction), body)) >= ACTIONS_MAX:
            raise _too_many("scheduled actions of a target", ACTIONS_MAX)
        schedule = body.get("Schedule", known.schedule if known else "")
        bounds = body.get("ScalableTargetAction", {})
        if not schedule or not (bounds or known):
            raise invalid("A scheduled action needs a Schedule and a ScalableTargetAction.")
        minimum = bounds.get("MinCapacity", known.minimum if known else None)
        maximum = bounds.get("MaxCapacity", known.maximum if known else None)
        if minimum is None and maximum is None:
            raise invalid("ScalableTargetAction needs MinCapacity or MaxCapacity.")
        _check_bounds(*(value if value is not None else other for value, other in ((minimum, 0), (maximum, 1 << 30))))
        action = ScheduledAction(
            resource=target.resource,
            name=name,
            arn=known.arn if known else self._arn_of("scheduledAction", target.resource, f"scheduledActionName/{name}"),
            schedule=schedule,
            zone=body.get("Timezone", known.zone if known else "UTC"),
            minimum=minimum,
            maximum=maximum,
            start_at=body.get("StartTime", known.start_at if known else None),
            end_at=body.get("EndTime", known.end_at if known else None),
            created_at=known.created_at if known else draft.now,
        )
        draft.put(msgspec.structs.replace(action, next_at=_first_time(action, draft.now)))
        return {}

    def _delete_action(self, draft: Draft, body: Answer) -> Answer:
        action = draft.record(ScheduledAction, f"{body['ResourceId']} {body['ScheduledActionName']}")
        if action is None:
            raise _missing("scheduled action", body, f", scheduled action name: {body['ScheduledActionName']}")
        draft.delete(action)
        return {}

    def _describe_actions(self, view: View, body: Answer) -> Answer:
        names = body.get("ScheduledActionNames")
        found = [a for a in _of_resource(view.records(ScheduledAction), body) if not names or a.name in names]
        return _page("ScheduledActions", [shapes.action_shape(action) for action in found], body)

    # -- what else is shown, and tags ----------------------------------------------------------------------------------

    def _describe_targets(self, view: View, body: Answer) -> Answer:
        wanted = body.get("ResourceIds")
        found = sorted(view.records(ScalableTarget), key=lambda target: target.resource)
        rows = [shapes.target_shape(target) for target in found if not wanted or target.resource in wanted]
        return _page("ScalableTargets", rows, body)

    def _describe_activities(self, view: View, body: Answer) -> Answer:
        with_all = body.get("IncludeNotScaledActivities", False)
        found = [a for a in _of_resource(view.records(ScalingActivity), body) if with_all or not a.not_scaled]
        found.sort(key=lambda activity: (activity.started_at, activity.id), reverse=True)
        return _page("ScalingActivities", [shapes.activity_shape(activity) for activity in found], body)

    def _tag(self, draft: Draft, body: Answer) -> Answer:
        target = _tagged(draft, body)
        tags = {**target.tags, **body["Tags"]}
        _check_tags(tags)
        draft.put(msgspec.structs.replace(target, tags=tags))
        return {}

    def _untag(self, draft: Draft, body: Answer) -> Answer:
        target = _tagged(draft, body)
        left = {key: value for key, value in target.tags.items() if key not in body["TagKeys"]}
        draft.put(msgspec.structs.replace(target, tags=left))
        return {}

    def _list_tags(self, view: View, body: Answer) -> Answer:
        return {"Tags": _tagged(view, body).tags}


_READERS: dict[str, Callable[[AutoScalingApi, View, Answer], Answer]] = {
    "DescribeScalableTargets": AutoScalingApi._describe_targets,  # noqa: SLF001 - the table belongs to the class
    "DescribeScalingPolicies": AutoScalingApi._describe_policies,  # noqa: SLF001
    "DescribeScheduledActions": AutoScalingApi._describe_actions,  # noqa: SLF001
    "DescribeScalingActivities": AutoScalingApi._describe_activities,  # noqa: SLF001
    "ListTagsForResource": AutoScalingApi._list_tags,  # noqa: SLF001
}
_WRITERS: dict[str, Callable[[AutoScalingApi, Draft, Answer], Answer]] = {
    "RegisterScalableTarget": AutoScalingApi._register,  # noqa: SLF001
    "DeregisterScalableTarget": AutoScalingApi._deregister,  # noqa: SLF001
    "PutScalingPolicy": AutoScalingApi._put_policy,  # noqa: SLF001
    "DeleteScalingPolicy": AutoScalingApi._delete_policy,  # noqa: SLF001
    "PutScheduledAction": AutoScalingApi._put_action,  # noqa: SLF001
    "DeleteScheduledAction": AutoScalingApi._delete_action,  # noqa: SLF001
    "TagResource": AutoScalingApi._tag,  # noqa: SLF001
    "UntagResource": AutoScalingApi._untag,  # noqa: SLF001
}


def _check_scope(body: Answer) -> None:
    namespace, dimension = body.get("ServiceNamespace", NAMESPACE), body.get("ScalableDimension", DIMENSION)
    if namespace != NAMESPACE or dimension != DIMENSION:
        raise invalid(f"Only the namespace {NAMESPACE} and its dimension {DIMENSION} are served here.")
    for resource in (*body.get("ResourceIds", ()), *([body["ResourceId"]] if "ResourceId" in body else [])):
        parts = resource.split("/")
        if len(parts) != _RESOURCE_PARTS or parts[0] != "service" or not all(parts):
            raise invalid(f"Unsupported resource ID {resource[:200]!r}: it should be service/CLUSTER/NAME.")


def _check_bounds(minimum: int | None, maximum: int | None) -> None:
    if minimum is None or maximum is None:
        raise invalid("MinCapacity and MaxCapacity must be given when a scalable target is registered first.")
    if minimum < 0 or maximum < 0:
        raise invalid("Minimum and maximum capacity must be 0 or more.")
    if minimum > maximum:
        raise invalid("Maximum capacity cannot be less than minimum capacity")


def _check_tags(tags: dict[str, str]) -> None:
    if len(tags) > TAGS_MAX:
        raise AwsError(f"A scalable target has {TAGS_MAX} tags at most.", code="TooManyTagsException")


def _first_time(action: ScheduledAction, now: float) -> float:
    try:
        due = timing.next_after(action.schedule, now, zone=action.zone, start_at=action.start_at, end_at=action.end_at)
    except ScheduleError:
        raise invalid("Schedule or Timezone is not valid: at(yyyy-mm-ddThh:mm:ss), rate(...) or cron(...).") from None
    if due is None:
        raise invalid("The schedule has no time that is still to come.")
    return due


def _target(view: View, resource: str) -> ScalableTarget:
    target = view.record(ScalableTarget, resource)
    if target is None:
        raise _missing("scalable target registered", {"ResourceId": resource})
    return target


def _tagged(view: View, body: Answer) -> ScalableTarget:
    for target in view.records(ScalableTarget):
        if target.arn == body["ResourceARN"]:
            return target
    raise AwsError(f"No scalable target has the ARN {body['ResourceARN'][:300]}.", code="ResourceNotFoundException")


def _missing(what: str, body: Answer, rest: str = "") -> AwsError:
    scope = f"service namespace: {NAMESPACE}, resource ID: {body['ResourceId']}, scalable dimension: {DIMENSION}"
    found = "" if " registered" in what else " found"
    return AwsError(f"No {what}{found} for {scope}{rest}", code="ObjectNotFoundException")


def _too_many(what: str, most: int) -> AwsError:
    return AwsError(f"There are {most} {what} already.", code="LimitExceededException")


def _of_resource(records: Iterable[Any], body: Answer) -> list[Any]:
    """Those of the resource that is asked for, or all; by resource and name."""
    resource = body.get("ResourceId")
    found = [record for record in records if not resource or record.resource == resource]
    return sorted(found, key=lambda record: record.key)


def _page(member: str, rows: list[Answer], body: Answer) -> Answer:
    start, limit = whole(body.get("NextToken", "0")), body.get("MaxResults", PAGE_MAX)
    if start is None:
        raise AwsError("The next token is not valid.", code="InvalidNextTokenException")
    if not 0 < limit <= PAGE_MAX:
        raise invalid(f"MaxResults should be between 1 and {PAGE_MAX}.")
    end = start + limit
    return {member: rows[start:end], **({"NextToken": str(end)} if end < len(rows) else {})}
