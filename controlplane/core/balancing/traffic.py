"""Which target groups the tasks of a deployment belong to, and how a listener shares its traffic among groups.

A service that is deployed in stages has two groups for each load balancer, and its revisions take turns in them; at the
listener rules that it names, the weights of its deployment count. Every other listener goes to its own group whole.
Source: ECS Developer Guide, "Required resources for blue/green deployments"; API reference, `AdvancedConfiguration`.
"""

from collections.abc import Iterator

from controlplane.core.balancing.records import Listener, Target
from controlplane.core.model import Deployment, Service
from controlplane.core.rollouts import ServiceDeployment, ServiceRevision, Strategy
from controlplane.core.view import View

WHOLE = 1000
"""Shares are per mille: a canary may have 0.1 %."""

Shares = tuple[tuple[str, int], ...]
"""(ARN of a group, per mille), together WHOLE."""


def targets_of(view: View, deployment: Deployment) -> tuple[Target, ...]:
    """The targets that a new task of a deployment is to have."""
    if deployment.task_set is not None:
        balancers = deployment.task_set.body.get("loadBalancers", [])
        groups = tuple(balancer["targetGroupArn"] for balancer in balancers)
    else:
        revision = view.record(ServiceRevision, deployment.revision)
        balancers = revision.body.get("loadBalancers", []) if revision is not None else []
        groups = revision.groups if revision is not None else ()
    return tuple(
        Target(group=group, container=balancer["containerName"], container_port=balancer["containerPort"])
        for balancer, group in zip(balancers, groups, strict=True)
    )


def groups_for(view: View, service: Service) -> tuple[str, ...]:
    """Groups (ARNs) of the next revision of a service: in stages those that the serving one does not have."""
    serving = view.record(ServiceRevision, serving_revision(service))
    taken = serving.groups if serving is not None else ()
    groups = []
    for balancer in service.body.get("loadBalancers", []):
        first = balancer["targetGroupArn"]
        other = balancer.get("advancedConfiguration", {}).get("alternateTargetGroupArn")
        takes_turns = other and service.rollout.strategy is not Strategy.ROLLING
        groups.append(other if takes_turns and first in taken else first)
    return tuple(groups)


def serving_revision(service: Service) -> str:
    """ARN of the revision that serves: the last completed one, else the newest; "" for a new service."""
    return service.settled or (service.deployments[0].revision if service.deployments else "")


def shares(view: View, listener: Listener) -> Shares:
    """How a listener shares its traffic now."""
    for service in view.records(Service):
        if service.status == "INACTIVE":
            continue
        for nth, is_test in _rules(service, listener.rule):
            found = _of_service(view, service, nth, is_test=is_test)
            if found:
                return found
    return ((listener.group, WHOLE),)


def _rules(service: Service, rule: str) -> Iterator[tuple[int, bool]]:
    """Which of its load balancers name a rule, and whether as the test listener's."""
    for nth, balancer in enumerate(service.body.get("loadBalancers", [])):
        advanced = balancer.get("advancedConfiguration", {})
        for member, is_test in (("productionListenerRule", False), ("testListenerRule", True)):
            if advanced.get(member) == rule:
                yield nth, is_test


def _of_service(view: View, service: Service, nth: int, *, is_test: bool) -> Shares:
    course = view.record(ServiceDeployment, service.current)
    newest = service.deployments[0].revision if service.deployments else ""
    if course is None or course.status.is_over or course.settings.strategy is Strategy.ROLLING:
        return _whole(_group(view, serving_revision(service) or newest, nth))
    green = _group(view, course.target, nth)
    back = course.rollback.revision if course.rollback is not None else ""
    blue = _group(view, service.settled or back or next(iter(course.sources), ""), nth)
    if not blue or not green or blue == green:
        return _whole(blue or green)
    part = round(WHOLE * (course.test_weight if is_test else course.production_weight) / 100)
    return ((green, part), (blue, WHOLE - part))


def _group(view: View, revision: str, nth: int) -> str:
    found = view.record(ServiceRevision, revision)
    return found.groups[nth] if found is not None and nth < len(found.groups) else ""


def _whole(group: str) -> Shares:
    return ((group, WHOLE),) if group else ()
