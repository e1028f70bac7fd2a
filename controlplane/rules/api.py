"""EventBridge's operations on rules and their targets: those that scheduled and event-driven tasks need.

One bus, `default`; ECS targets only. What a rule does when its time comes stands in `firing`.
Source: botocore's EventBridge model, EventBridge API reference; error texts as AWS gives them.
"""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from controlplane.api.paging import PAGE_SIZE_MAX, page
from controlplane.committing import Committer
from controlplane.core.names import Names
from controlplane.core.rules import Rule
from controlplane.core.view import Draft, View
from controlplane.rules import pattern, targets, timing
from controlplane.store.port import Store
from wire import models
from wire.errors import AwsError, InvalidParameterException, UnknownOperationException
from wire.events import BUS, RULES_MAX, TARGETS_MAX

ENABLED = "ENABLED"
_KEPT = ("Description", "RoleArn", "Tags")

Answer = dict[str, Any]


class RulesApi:
    """Serves the operations of the target prefix `AWSEvents`."""

    def __init__(self, store: Store, committer: Committer, names: Names) -> None:
        self._store = store
        self._committer = committer
        self._arns = names.arns
        self._names = names

    async def serve(self, operation: str, body: dict[str, Any]) -> Answer:
        """Answer one request.

        Raises:
            AwsError: it cannot be carried out; nothing has changed.
        """
        request = _checked(operation, body)
        if operation in _READERS:
            return _READERS[operation](self._store.view(), request)
        writer = _WRITERS[operation]
        return await self._committer.commit(lambda draft: writer(self, draft, request), cause=self._names.uuid())

    def _put_rule(self, draft: Draft, body: Answer) -> Answer:
        name = body["Name"]
        known = draft.record(Rule, name)
        if known is None and sum(1 for _ in draft.records(Rule)) >= RULES_MAX:
            raise AwsError("The requested resource exceeds the maximum number allowed.", code="LimitExceededException")
        schedule, wanted = body.get("ScheduleExpression", ""), body.get("EventPattern", "")
        if not schedule and not wanted:
            raise _invalid("Parameter(s) EventPattern or ScheduleExpression must be specified.")
        _check_schedule(schedule)
        _check_pattern(wanted)
        arn = f"arn:aws:events:{self._arns.region}:{self._arns.account}:rule/{name}"
        rule = Rule(
            name=name,
            arn=arn,
            schedule=schedule,
            pattern=wanted,
            state=body.get("State", ENABLED),
            body={member: body[member] for member in _KEPT if member in body},
            targets=known.targets if known else (),
            created_at=known.created_at if known else draft.now,
        )
        draft.put(_begun(rule, draft))
        return {"RuleArn": arn}

    def _put_targets(self, draft: Draft, body: Answer) -> Answer:
        rule = _rule(draft, body["Rule"])
        by_id = {target["Id"]: target for target in rule.targets}
        for target in body["Targets"]:
            try:
                targets.check(target, self._arns)
            except targets.TargetError as error:
                raise _invalid(f"Target {target['Id']}: {error}.") from None
            by_id[target["Id"]] = target
        if len(by_id) > TARGETS_MAX:
            raise AwsError("The requested resource exceeds the maximum number allowed.", code="LimitExceededException")
        draft.put(msgspec.structs.replace(rule, targets=tuple(by_id.values()), waits_from=draft.revision))
        return {"FailedEntryCount": 0, "FailedEntries": []}

    def _remove_targets(self, draft: Draft, body: Answer) -> Answer:
        rule = _rule(draft, body["Rule"])
        known = {target["Id"] for target in rule.targets}
        left = tuple(target for target in rule.targets if target["Id"] not in body["Ids"])
        if left != rule.targets:
            draft.put(msgspec.structs.replace(rule, targets=left))
        failed = [
            {
                "TargetId": id_,
                "ErrorCode": "ResourceNotFoundException",
                "ErrorMessage": f"Rule {rule.name} has no target {id_}.",
            }
            for id_ in body["Ids"]
            if id_ not in known
        ]
        return {"FailedEntryCount": len(failed), "FailedEntries": failed}

    def _delete_rule(self, draft: Draft, body: Answer) -> Answer:
        rule = draft.record(Rule, body["Name"])
        if rule is not None and rule.targets:
            raise _invalid("Rule can't be deleted since it has targets.")
        if rule is not None:
            draft.delete(rule)
        return {}

    def _enable_rule(self, draft: Draft, body: Answer) -> Answer:
        return _set_state(draft, body, ENABLED)

    def _disable_rule(self, draft: Draft, body: Answer) -> Answer:
        return _set_state(draft, body, "DISABLED")


def _set_state(draft: Draft, body: Answer, state: str) -> Answer:
    rule = _rule(draft, body["Name"])
    if rule.state != state:
        draft.put(_begun(msgspec.structs.replace(rule, state=state), draft))
    return {}


def _begun(rule: Rule, draft: Draft) -> Rule:
    """The rule with its first time from now on; it waits for what comes now."""
    is_timed, now = rule.schedule and rule.state == ENABLED, draft.now
    due = timing.next_after(rule.schedule, now, since=now) if is_timed else None
    return msgspec.structs.replace(rule, next_at=due, waits_from=draft.revision)


def _describe_rule(view: View, body: Answer) -> Answer:
    rule = _rule(view, body["Name"])
    return {**_shape(rule), "CreatedBy": rule.arn.split(":")[4]}


def _list_rules(view: View, body: Answer) -> Answer:
    prefix = body.get("NamePrefix", "")
    rules = (_shape(rule) for rule in view.records(Rule) if rule.name.startswith(prefix))
    return _page("Rules", rules, body, lambda rule: (rule["Name"],))


def _list_targets(view: View, body: Answer) -> Answer:
    return _page("Targets", _rule(view, body["Rule"]).targets, body, lambda target: (target["Id"],))


def _list_names(view: View, body: Answer) -> Answer:
    arn = body["TargetArn"]
    names = (rule.name for rule in view.records(Rule) if any(target["Arn"] == arn for target in rule.targets))
    return _page("RuleNames", names, body, lambda name: (name,))


def _shape(rule: Rule) -> Answer:
    maybe = {"ScheduleExpression": rule.schedule, "EventPattern": rule.pattern}
    kept = {member: value for member, value in rule.body.items() if member != "Tags"}
    shown = {member: value for member, value in maybe.items() if value}
    return {"Name": rule.name, "Arn": rule.arn, "State": rule.state, "EventBusName": BUS, **shown, **kept}


def _page(member: str, rows: Iterable[Any], body: Answer, key: Callable[[Any], tuple[str]]) -> Answer:
    asked = {"maxResults": body.get("Limit", PAGE_SIZE_MAX), "nextToken": body.get("NextToken", "")}
    try:
        shown, more = page(rows, asked, key=key)
    except InvalidParameterException:
        raise _invalid("Parameter NextToken is not valid.") from None
    return {member: shown, **({"NextToken": more["nextToken"]} if more else {})}


def _rule(view: View, name: str) -> Rule:
    rule = view.record(Rule, name)
    if rule is None:
        raise AwsError(f"Rule {name} does not exist on EventBus {BUS}.", code="ResourceNotFoundException")
    return rule


def _check_schedule(expression: str) -> None:
    try:
        if expression:
            timing.check(expression)
    except timing.ScheduleError:
        raise _invalid("Parameter ScheduleExpression is not valid.") from None


def _check_pattern(text: str) -> None:
    if not text:
        return
    try:
        pattern.check(msgspec.json.decode(text.encode()))
    except (pattern.PatternError, msgspec.MsgspecError) as error:
        raise _invalid_pattern(str(error)) from None
    except RecursionError:
        raise _invalid_pattern("it is nested too deeply") from None


def _checked(operation: str, body: Answer) -> Answer:
    """The request without nulls, held against the model.

    Raises:
        AwsError: see there, or the operation is not served.
    """
    if operation not in _READERS and operation not in _WRITERS:
        raise UnknownOperationException(
            f"EventBridge's {operation[:100]} is not served here; rules with ECS targets are."
        )
    request = models.checked(models.EVENTS, operation, body, code="ValidationException")
    bus = request.get("EventBusName", BUS)
    if bus != BUS and not bus.endswith(f":event-bus/{BUS}"):
        raise AwsError(f"Event bus {bus[:256]} does not exist.", code="ResourceNotFoundException")
    return request


def _invalid_pattern(reason: str) -> AwsError:
    return AwsError(f"Event pattern is not valid. Reason: {reason}.", code="InvalidEventPatternException")


def _invalid(sentence: str) -> AwsError:
    return AwsError(sentence, code="ValidationException")


_READERS: dict[str, Callable[[View, Answer], Answer]] = {
    "DescribeRule": _describe_rule,
    "ListRules": _list_rules,
    "ListTargetsByRule": _list_targets,
    "ListRuleNamesByTarget": _list_names,
}
_WRITERS: dict[str, Callable[[RulesApi, Draft, Answer], Answer]] = {
    "PutRule": RulesApi._put_rule,  # noqa: SLF001 - the table belongs to the class
    "PutTargets": RulesApi._put_targets,  # noqa: SLF001
    "RemoveTargets": RulesApi._remove_targets,  # noqa: SLF001
    "DeleteRule": RulesApi._delete_rule,  # noqa: SLF001
    "EnableRule": RulesApi._enable_rule,  # noqa: SLF001
    "DisableRule": RulesApi._disable_rule,  # noqa: SLF001
}
