"""GetClusterPolicy and PutClusterPolicy, ours: the switches of a cluster on both sides, at run time and durable."""

from typing import Any

import msgspec

from controlplane.api.call import Answer, Call
from controlplane.api.clusters import cluster_of
from controlplane.core.model import Cluster
from controlplane.core.placement import custom
from controlplane.core.switches import SwitchError, preset_of, set_preset, set_switches
from controlplane.core.view import Draft, View
from wire.errors import InvalidParameterException
from wire.story import Kind


def get_policy(view: View, call: Call) -> Answer:
    """What goes in `cluster`, every switch with its value."""
    return _render(cluster_of(view, call))


def put_policy(draft: Draft, call: Call) -> Answer:
    """Set a `preset`, then single `switches` (`{name: value}`); what is not named stays. Agents are told at once."""
    cluster = cluster_of(draft, call)
    try:
        changed = set_preset(cluster, call.text("preset")) if "preset" in call.body else cluster
        changed = set_switches(changed, call.body.get("switches", {}))
    except SwitchError as error:
        raise InvalidParameterException(str(error)) from None
    scheduler = changed.policy.scheduler
    if scheduler not in (custom.BUILT_IN, *custom.installed):
        known = ", ".join((custom.BUILT_IN, *custom.installed))
        raise InvalidParameterException(f"No scheduler '{scheduler}' is installed; there are {known}.")
    if changed != cluster:
        draft.put(changed)
        draft.tell(Kind.POLICY_SET, cluster.arn, **_switches(changed))
    return _render(changed)


def _render(cluster: Cluster) -> Answer:
    return {"clusterName": cluster.name, "preset": preset_of(cluster), **_switches(cluster)}


def _switches(cluster: Cluster) -> dict[str, Any]:
    agent = cluster.agent_policy
    return {"policy": _values(cluster.policy), "agent": None if agent is None else _values(agent)}


def _values(policy: msgspec.Struct) -> dict[str, Any]:
    return {name.replace("_", "-"): value for name, value in msgspec.structs.asdict(policy).items()}
