"""Switches by name: how a cluster's policy, on both sides, is changed by a preset or one switch at a time.

The switches themselves, with their sources, are the fields of `Policy` and `AgentPolicy`.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from controlplane.core.model import Cluster
from controlplane.core.policy import PRESETS, AgentPolicy, Policy

P = TypeVar("P", Policy, AgentPolicy)

KEPT_BY_PRESETS = ("healthy_after_seconds", "scheduler")
"""What no preset is about: the pace of tests, and who chooses."""


class SwitchError(ValueError):
    """No such preset, switch or value; the message is one sentence."""


def set_preset(cluster: Cluster, name: str) -> Cluster:
    """The cluster under a preset, on both sides.

    Raises:
        SwitchError: there is none of that name.
    """
    preset = PRESETS.get(name)
    if preset is None:
        raise SwitchError(f"'{name}' is no policy preset; there are {', '.join(PRESETS)}.")
    kept = {switch: getattr(cluster.policy, switch) for switch in KEPT_BY_PRESETS}
    policy = msgspec.structs.replace(preset.policy, **kept)
    return msgspec.structs.replace(cluster, policy=policy, agent_policy=preset.agent)


def set_switches(cluster: Cluster, switches: Mapping[str, Any]) -> Cluster:
    """The cluster with these switches set; hyphens in a name are as good as underscores, `none` unsets a number.

    Raises:
        SwitchError: no such switch, or it does not take that value.
    """
    named = {name.replace("-", "_"): value for name, value in switches.items()}
    ours = {field.name for field in msgspec.structs.fields(Policy)}
    theirs = {field.name for field in msgspec.structs.fields(AgentPolicy)}
    for name in named.keys() - ours - theirs:
        known = ", ".join(sorted(each.replace("_", "-") for each in ours | theirs))
        raise SwitchError(f"There is no switch '{name.replace('_', '-')}'; there are {known}.")
    policy = _with(cluster.policy, {name: named[name] for name in named.keys() & ours})
    agent = cluster.agent_policy
    if named.keys() & theirs:
        agent = _with(agent or AgentPolicy(), {name: named[name] for name in named.keys() & theirs})
    return msgspec.structs.replace(cluster, policy=policy, agent_policy=agent)


def preset_of(cluster: Cluster) -> str | None:
    """The preset that the cluster is under; None where it is under a combination of its own."""
    kept = {switch: getattr(cluster.policy, switch) for switch in KEPT_BY_PRESETS}
    for preset in PRESETS.values():
        agents_too = cluster.agent_policy in (None, preset.agent)
        if agents_too and msgspec.structs.replace(preset.policy, **kept) == cluster.policy:
            return preset.name
    return None


def _with(policy: P, values: dict[str, Any]) -> P:
    """A policy with other values; texts are read as what the switch takes."""
    before = {field.name: getattr(policy, field.name) for field in msgspec.structs.fields(policy)}
    for name, value in values.items():
        try:
            changed = msgspec.convert({**before, name: None if value == "none" else value}, type(policy), strict=False)
        except msgspec.ValidationError as error:
            raise SwitchError(f"The switch {name.replace('_', '-')} does not take '{value}': {_why(error)}.") from None
        number = getattr(changed, name)
        if isinstance(number, int | float) and not 0 <= number < float("inf"):
            raise SwitchError(f"The switch {name.replace('_', '-')} takes 0 or more, not '{value}'.")
        before[name] = number
    return type(policy)(**before)


def _why(error: msgspec.ValidationError) -> str:
    return str(error).partition(" - at ")[0].replace("`", "'")
