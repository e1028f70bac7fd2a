"""Account settings: put, put default, delete, list. A principal's own goes before the root user's, that before AWS's.

Everybody who calls is the root user of this account, unless `principalArn` says otherwise. Source: API reference, the
operations' pages; ECS Developer Guide, "Access Amazon ECS features with account settings". Texts are assumed.
"""

from typing import NamedTuple

from controlplane.api.call import Answer, Call
from controlplane.api.paging import page
from controlplane.core.accounts import AccountSetting
from controlplane.core.view import Draft, View
from wire.errors import InvalidParameterException

LIST_MAX = 10


class Rule(NamedTuple):
    """The values that a setting takes, the default first."""

    values: tuple[str, ...]
    refused: str = ""
    """Why other values that AWS knows of are not taken."""


_ON = ("enabled", "disabled")
_OFF = ("disabled", "enabled")
_LONG = Rule(("enabled",), "The long ARN format is the only one and can no longer be turned off.")
AWS_MANAGED = "guardDutyActivate"
SETTINGS: dict[str, Rule] = {
    "serviceLongArnFormat": _LONG,
    "taskLongArnFormat": _LONG,
    "containerInstanceLongArnFormat": _LONG,
    "awsvpcTrunking": Rule(_OFF),
    "containerInsights": Rule(("disabled", "enabled", "enhanced")),
    "fargateFIPSMode": Rule(_OFF),
    "tagResourceAuthorization": Rule(("off", "on")),
    "fargateTaskRetirementWaitPeriod": Rule(("7", "0", "14")),
    AWS_MANAGED: Rule(("off",), "guardDutyActivate is managed by AWS and read-only."),
    "defaultLogDriverMode": Rule(("non-blocking", "blocking")),
    "fargateEventWindows": Rule(_OFF),
}
"""What each is set to out of the box. Source: ECS Developer Guide, "Account settings"."""


def put_account_setting(draft: Draft, call: Call) -> Answer:
    """PutAccountSetting: for one principal; for the root user it is everybody's default."""
    return _put(draft, call, call.text("principalArn") or call.account.user_arn)


def put_account_setting_default(draft: Draft, call: Call) -> Answer:
    """PutAccountSettingDefault: for all who have none of their own."""
    return _put(draft, call, call.account.user_arn)


def delete_account_setting(draft: Draft, call: Call) -> Answer:
    """DeleteAccountSetting: what holds then is the answer. Nothing to delete is no error."""
    principal = call.text("principalArn") or call.account.user_arn
    own = draft.record(AccountSetting, f"{principal} {call.body['name']}")
    if own is not None:
        draft.delete(own)
    return {"setting": _effective(draft, call, call.body["name"], principal)}


def list_account_settings(view: View, call: Call) -> Answer:
    """ListAccountSettings: what a principal was given; with `effectiveSettings` what holds for it."""
    principal = call.text("principalArn") or call.account.user_arn
    name, value = call.text("name"), call.text("value")
    if value and not name:
        raise InvalidParameterException("You must also specify an account setting name to filter by value.")
    everything = call.body.get("effectiveSettings", False)
    found = [
        _effective(view, call, setting, principal)
        for setting in SETTINGS
        if everything or view.record(AccountSetting, f"{principal} {setting}") is not None
    ]
    chosen = [s for s in found if name in ("", s["name"]) and value in ("", s["value"])]
    limited = {**call.body, "maxResults": _size(call)}
    shown, more = page(chosen, limited, key=lambda setting: (setting["name"],))
    return {"settings": shown, **more}


def effective(view: View, call: Call, name: str) -> str:
    """What a setting is for the caller."""
    value: str = _effective(view, call, name, call.account.user_arn)["value"]
    return value


def _put(draft: Draft, call: Call, principal: str) -> Answer:
    name, value = call.body["name"], call.body["value"]
    rule = SETTINGS[name]
    if value not in rule.values or name == AWS_MANAGED:
        raise InvalidParameterException(rule.refused or f"{name} should be one of [{','.join(sorted(rule.values))}]")
    if not principal.startswith("arn:"):
        raise InvalidParameterException(f"Invalid principal: {principal} is not the ARN of a user, a role or root.")
    setting = AccountSetting(principal=principal, name=name, value=value)
    if draft.record(AccountSetting, setting.key) != setting:
        draft.put(setting)
    return {"setting": _shape(name, principal, value)}


def _effective(view: View, call: Call, name: str, principal: str) -> Answer:
    root = call.account.user_arn
    for holder in (principal, root):
        own = view.record(AccountSetting, f"{holder} {name}")
        if own is not None:
            return _shape(name, holder, own.value)
    return _shape(name, root, SETTINGS[name].values[0])


def _shape(name: str, principal: str, value: str) -> Answer:
    kind = "aws_managed" if name == AWS_MANAGED else "user"
    return {"name": name, "value": value, "principalArn": principal, "type": kind}


def _size(call: Call) -> int:
    size: int = call.body.get("maxResults", LIST_MAX)
    if not 1 <= size <= LIST_MAX:
        raise InvalidParameterException(f"maxResults should be between 1 and {LIST_MAX}.")
    return size
