"""`deploymentConfiguration`, read and shown. What a request does not name stands as it was.

Source: API reference, `DeploymentConfiguration` and its members; ranges as given there.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from controlplane.core.model import Service
from controlplane.core.rollouts import (
    AlarmSettings,
    Breaker,
    Cleanup,
    EarlySuccess,
    Hook,
    HookKind,
    RolloutSettings,
    Stage,
    Strategy,
    Threshold,
)
from wire.errors import InvalidParameterException

BAKE_MINUTES_MAX = 1440
HOOK_MINUTES = 1440
HOOKS_MAX = 10
"""Of each type. Source: ECS Developer Guide, "Pause hooks"."""
TIMEOUT_MINUTES_MAX = {HookKind.WEBHOOK: 1440, HookKind.PAUSE: 20160}
PERCENT_MAX = 100
STEP_PERCENT_MIN = 3.0
CANARY_PERCENT_MIN = 0.1
_OF_ONE_STRATEGY = ("linearConfiguration", "canaryConfiguration", "earlySuccessCriteria")
_NO_PAUSE = {Stage.TEST_TRAFFIC_SHIFT, Stage.PRODUCTION_TRAFFIC_SHIFT}
_NO_WEBHOOK = {Stage.SCALE_UP, Stage.BAKE_TIME, Stage.CLEAN_UP}


def read(body: Mapping[str, Any], standing: RolloutSettings, *, floor_percent: int) -> RolloutSettings:
    """The settings that `deploymentConfiguration` asks for, over those that stand. All but the two percentages.

    Raises:
        InvalidParameterException: a member is out of its range.
    """
    settings = msgspec.structs.replace(
        standing,
        strategy=Strategy(body.get("strategy", standing.strategy)),
        breaker=_breaker(body["deploymentCircuitBreaker"]) if "deploymentCircuitBreaker" in body else standing.breaker,
        alarms=_alarms(body["alarms"]) if "alarms" in body else standing.alarms,
        early_success=(
            _early(body["earlySuccessCriteria"]) if "earlySuccessCriteria" in body else standing.early_success
        ),
        bake_minutes=_minutes(body, "bakeTimeInMinutes", standing.bake_minutes),
        hooks=_hooks(body["lifecycleHooks"]) if "lifecycleHooks" in body else standing.hooks,
    )
    linear, canary = body.get("linearConfiguration", {}), body.get("canaryConfiguration", {})
    settings = msgspec.structs.replace(
        settings,
        step_percent=_percent(linear, "stepPercent", settings.step_percent, STEP_PERCENT_MIN),
        step_bake_minutes=_minutes(linear, "stepBakeTimeInMinutes", settings.step_bake_minutes),
        canary_percent=_percent(canary, "canaryPercent", settings.canary_percent, CANARY_PERCENT_MIN),
        canary_bake_minutes=_minutes(canary, "canaryBakeTimeInMinutes", settings.canary_bake_minutes),
    )
    _check_early(settings, floor_percent)
    return settings


def render(service: Service) -> dict[str, Any]:
    """`deploymentConfiguration` of a service; what was given for another strategy is given back as it came."""
    given = service.body.get("deploymentConfiguration", {})
    return {
        **{member: given[member] for member in _OF_ONE_STRATEGY if member in given},
        **show(service.rollout),
        "maximumPercent": service.maximum_percent,
        "minimumHealthyPercent": service.minimum_healthy_percent,
    }


def show(settings: RolloutSettings) -> dict[str, Any]:
    """All but the two percentages. What belongs to one strategy is shown for that one."""
    breaker, alarms, early = settings.breaker, settings.alarms, settings.early_success
    shown: dict[str, Any] = {
        "deploymentCircuitBreaker": {
            "enable": breaker.is_enabled,
            "rollback": breaker.rolls_back,
            **_changed(breaker),
        },
        "alarms": {"alarmNames": list(alarms.names), "rollback": alarms.rolls_back, "enable": alarms.is_enabled},
        "strategy": str(settings.strategy),
        "bakeTimeInMinutes": int(settings.bake_minutes),
    }
    if early.is_enabled:
        shown["earlySuccessCriteria"] = {
            "enable": True,
            "healthyPercent": early.healthy_percent,
            "sourceServiceRevisionCleanup": str(early.cleanup),
        }
    if settings.hooks:
        shown["lifecycleHooks"] = [_show_hook(hook) for hook in settings.hooks]
    if settings.strategy is Strategy.LINEAR:
        shown["linearConfiguration"] = {
            "stepPercent": settings.step_percent,
            "stepBakeTimeInMinutes": int(settings.step_bake_minutes),
        }
    if settings.strategy is Strategy.CANARY:
        shown["canaryConfiguration"] = {
            "canaryPercent": settings.canary_percent,
            "canaryBakeTimeInMinutes": int(settings.canary_bake_minutes),
        }
    return shown


def _breaker(body: Mapping[str, Any]) -> Breaker:
    threshold = body.get("thresholdConfiguration", {})
    kind = Threshold(threshold.get("type", Threshold.BOUNDED_PERCENT))
    value = threshold.get("value", Breaker().threshold_value)
    if value < 1 or (kind is not Threshold.COUNT and value > PERCENT_MAX):
        allowed = "1 or more" if kind is Threshold.COUNT else f"between 1 and {PERCENT_MAX}"
        raise InvalidParameterException(f"The value of thresholdConfiguration should be {allowed} for type {kind}.")
    return Breaker(
        is_enabled=body["enable"],
        rolls_back=body["rollback"],
        resets_on_healthy_task=body.get("resetOnHealthyTask", True),
        threshold=kind,
        threshold_value=value,
    )


def _changed(breaker: Breaker) -> dict[str, Any]:
    """Members of 2026, shown where somebody has set them."""
    shown: dict[str, Any] = {}
    if not breaker.resets_on_healthy_task:
        shown["resetOnHealthyTask"] = False
    if (breaker.threshold, breaker.threshold_value) != (Breaker().threshold, Breaker().threshold_value):
        shown["thresholdConfiguration"] = {"type": str(breaker.threshold), "value": breaker.threshold_value}
    return shown


def _alarms(body: Mapping[str, Any]) -> AlarmSettings:
    if body["enable"] and not body["alarmNames"]:
        raise InvalidParameterException("alarmNames can not be empty when deployment alarms are enabled.")
    return AlarmSettings(names=tuple(body["alarmNames"]), is_enabled=body["enable"], rolls_back=body["rollback"])


def _early(body: Mapping[str, Any]) -> EarlySuccess:
    missing = [member for member in ("healthyPercent", "sourceServiceRevisionCleanup") if member not in body]
    if body["enable"] and missing:
        raise InvalidParameterException(f"earlySuccessCriteria must specify {missing[0]} when it is enabled.")
    return EarlySuccess(
        is_enabled=body["enable"],
        healthy_percent=body.get("healthyPercent", PERCENT_MAX),
        cleanup=Cleanup(body.get("sourceServiceRevisionCleanup", Cleanup.BLOCKING)),
    )


def _check_early(settings: RolloutSettings, floor_percent: int) -> None:
    early = settings.early_success
    if early.is_enabled and settings.strategy is not Strategy.ROLLING:
        raise InvalidParameterException("earlySuccessCriteria is valid only for the ROLLING deployment strategy.")
    if early.is_enabled and not floor_percent <= early.healthy_percent <= PERCENT_MAX:
        raise InvalidParameterException(
            f"healthyPercent should be between minimumHealthyPercent ({floor_percent}) and {PERCENT_MAX}."
        )


def _hooks(bodies: Sequence[Mapping[str, Any]]) -> tuple[Hook, ...]:
    hooks = tuple(map(_hook, bodies))
    for kind in HookKind:
        if sum(hook.kind is kind for hook in hooks) > HOOKS_MAX:
            raise InvalidParameterException(f"A service has at most {HOOKS_MAX} lifecycle hooks of type {kind}.")
    return hooks


def _hook(body: Mapping[str, Any]) -> Hook:
    kind = HookKind(body.get("targetType", HookKind.WEBHOOK))
    stages = tuple(map(Stage, body.get("lifecycleStages", ())))
    if not stages:
        raise InvalidParameterException("A lifecycle hook needs at least one lifecycle stage.")
    refused = (_NO_PAUSE | _NO_WEBHOOK if kind is HookKind.PAUSE else _NO_WEBHOOK) & set(stages)
    if refused:
        raise InvalidParameterException(f"A lifecycle hook of type {kind} is not valid at {min(refused)}.")
    target = body.get("hookTargetArn", "")
    if kind is HookKind.WEBHOOK and not target.startswith(("http://", "https://")):
        raise InvalidParameterException(
            "There is no Lambda here: hookTargetArn is the http(s) URL of a webhook that answers in Lambda's place."
        )
    timeout = body.get("timeoutConfiguration", {})
    minutes = timeout.get("timeoutInMinutes", HOOK_MINUTES)
    if not 1 <= minutes <= TIMEOUT_MINUTES_MAX[kind]:
        raise InvalidParameterException(
            f"timeoutInMinutes of a hook of type {kind} should be between 1 and {TIMEOUT_MINUTES_MAX[kind]}."
        )
    return Hook(
        kind=kind,
        target=target,
        stages=stages,
        details=body.get("hookDetails"),
        timeout_minutes=minutes,
        timeout_action=timeout.get("action", "ROLLBACK"),
    )


def _show_hook(hook: Hook) -> dict[str, Any]:
    shown: dict[str, Any] = {"targetType": str(hook.kind), "lifecycleStages": [str(stage) for stage in hook.stages]}
    if hook.target:
        shown["hookTargetArn"] = hook.target
    if hook.details is not None:
        shown["hookDetails"] = hook.details
    shown["timeoutConfiguration"] = {"timeoutInMinutes": hook.timeout_minutes, "action": hook.timeout_action}
    return shown


def _minutes(body: Mapping[str, Any], member: str, standing: float) -> float:
    minutes: float = body.get(member, standing)
    if not 0 <= minutes <= BAKE_MINUTES_MAX:
        raise InvalidParameterException(f"{member} should be between 0 and {BAKE_MINUTES_MAX}.")
    return minutes


def _percent(body: Mapping[str, Any], member: str, standing: float, least: float) -> float:
    percent: float = body.get(member, standing)
    if not least <= percent <= PERCENT_MAX:
        raise InvalidParameterException(f"{member} should be between {least} and {PERCENT_MAX}.")
    if round(percent, 1) != percent:
        raise InvalidParameterException(f"{member} should be a multiple of 0.1.")
    return percent
