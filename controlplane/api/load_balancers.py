"""`loadBalancers` of services and task sets, held against the target groups there are and the task definition.

Source: API reference, `LoadBalancer` and `AdvancedConfiguration`; error texts as AWS gives them where they are known.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from controlplane.core.balancing.records import Listener, TargetGroup, TargetType
from controlplane.core.view import View
from wire.errors import InvalidParameterException

GROUPS_MAX = 5
"""Target groups of a service. Source: API reference, CreateService."""
_RULES = ("productionListenerRule", "testListenerRule")


def check(view: View, balancers: Sequence[Mapping[str, Any]], definition: Mapping[str, Any]) -> None:
    """Refuse load balancers that tasks of `definition` cannot be put behind.

    Raises:
        InvalidParameterException: AWS's sentence, or one in its style.
    """
    if len(balancers) > GROUPS_MAX:
        raise InvalidParameterException(f"loadBalancers can have at most {GROUPS_MAX} items.")
    for balancer in balancers:
        if balancer.get("loadBalancerName"):
            raise InvalidParameterException(
                "Classic Load Balancers are not served: name a target group with targetGroupArn."
            )
        if not balancer.get("targetGroupArn"):
            raise InvalidParameterException("targetGroupArn can not be blank.")
        _check_port(balancer, definition)
        _check_group(view, balancer["targetGroupArn"], definition, needs_listener=True)
        advanced = balancer.get("advancedConfiguration")
        if advanced is not None:
            _check_advanced(view, advanced, definition)


def _check_port(balancer: Mapping[str, Any], definition: Mapping[str, Any]) -> None:
    name, port = balancer.get("containerName", ""), balancer.get("containerPort")
    container = next((c for c in definition["containerDefinitions"] if c["name"] == name), None)
    if container is None:
        raise InvalidParameterException(f"The container {name} does not exist in the task definition.")
    if port not in {mapping.get("containerPort") for mapping in container.get("portMappings", ())}:
        raise InvalidParameterException(f"The container {name} did not have a container port {port} defined.")


def _check_group(view: View, arn: str, definition: Mapping[str, Any], *, needs_listener: bool) -> None:
    group = view.record(TargetGroup, arn)
    if group is None:
        raise InvalidParameterException(f"The target group {arn} does not exist.")
    is_awsvpc = definition.get("networkMode") == "awsvpc"
    if is_awsvpc is not (group.target_type is TargetType.IP):
        mode = "awsvpc" if is_awsvpc else definition.get("networkMode", "bridge")
        raise InvalidParameterException(
            f"The provided target group {arn} has target type {group.target_type}, which is incompatible with the "
            f"{mode} network mode specified in the task definition."
        )
    if needs_listener and not any(listener.group == arn for listener in view.records(Listener)):
        raise InvalidParameterException(
            f"The target group with targetGroupArn {arn} does not have an associated load balancer."
        )


def _check_advanced(view: View, advanced: Mapping[str, Any], definition: Mapping[str, Any]) -> None:
    other = advanced.get("alternateTargetGroupArn", "")
    if not other or not advanced.get("productionListenerRule"):
        raise InvalidParameterException(
            "advancedConfiguration needs alternateTargetGroupArn and productionListenerRule."
        )
    _check_group(view, other, definition, needs_listener=False)
    rules = {listener.rule for listener in view.records(Listener)}
    for member in _RULES:
        if advanced.get(member, "") not in {"", *rules}:
            raise InvalidParameterException(f"The {member} {advanced[member]} does not exist.")
