"""What a request says a service is to be, over what it is: counts, percentages, strategy, constraints, health, rollout.

All of it is checked before anything changes. Source: API reference, CreateService and UpdateService; ECS Developer
Guide, "Daemon scheduling strategy"; texts in AWS's style where AWS's own are not known.
"""

from typing import Any

import msgspec

from controlplane.api import deployment_configuration, limits, network
from controlplane.api.call import Call
from controlplane.api.placement import constraints_of, strategy_of
from controlplane.core.model import Scheduling, Service, TaskDefinition
from controlplane.core.reconcile import rebalance
from controlplane.core.rollouts import RolloutSettings, Strategy
from wire.errors import InvalidParameterException

PERCENTAGES = {Scheduling.REPLICA: (100, 200), Scheduling.DAEMON: (0, 100)}
"""Defaults of minimumHealthyPercent and maximumPercent. Source: API reference, `DeploymentConfiguration`."""
DAEMON_MAXIMUM_PERCENT = 100
"""API reference, `DeploymentConfiguration.maximumPercent`: it "should remain at 100%" for a daemon."""
_DEFAULTS: dict[str, Any] = {
    "desired_count": 0,
    "placement_strategy": (),
    "placement_constraints": (),
    "health_grace_seconds": None,
    "rollout": RolloutSettings(),
}
_OF_EXTERNAL = {"cluster", "service", "desiredCount", "healthCheckGracePeriodSeconds"}
"""Members of UpdateService that the EXTERNAL controller takes (API reference)."""
_REFUSED_OF_DAEMONS = {
    "desiredCount": "a desired count for tasks. Remove the desired count value",
    "placementStrategy": "placement strategies. Remove the placement strategy",
}


def read(call: Call, definition: TaskDefinition, standing: Service | None) -> dict[str, Any]:
    """The members of `Service` that a request sets, over those that stand (None: a new service).

    Raises:
        InvalidParameterException: AWS's sentence.
        ClientException: a member that is not served.
    """
    body = call.body
    limits.refuse_unserved(body, limits.SERVICE_REQUEST, call.operation)
    limits.refuse_unrunnable(definition)
    _check_network(call, definition, standing)
    deployment = body.get("deploymentConfiguration", {})
    settings = {name: default if standing is None else getattr(standing, name) for name, default in _DEFAULTS.items()}
    settings["scheduling"] = Scheduling(body.get("schedulingStrategy", standing.scheduling if standing else "REPLICA"))
    minimum, maximum = PERCENTAGES[settings["scheduling"]]
    if standing is not None:
        minimum, maximum = standing.minimum_healthy_percent, standing.maximum_percent
    settings["minimum_healthy_percent"] = deployment.get("minimumHealthyPercent", minimum)
    settings["maximum_percent"] = deployment.get("maximumPercent", maximum)
    settings["desired_count"] = body.get("desiredCount", settings["desired_count"])
    settings["health_grace_seconds"] = body.get("healthCheckGracePeriodSeconds", settings["health_grace_seconds"])
    settings["rollout"] = deployment_configuration.read(
        deployment, settings["rollout"], floor_percent=settings["minimum_healthy_percent"]
    )
    if "placementStrategy" in body:
        settings["placement_strategy"] = strategy_of(body)
    if "placementConstraints" in body:
        settings["placement_constraints"] = tuple(body["placementConstraints"])
    own = {"placementConstraints": settings["placement_constraints"]}
    together = {**settings, "placement_constraints": constraints_of(own, definition)}
    _check(settings)
    settings["rebalances"] = _rebalances(body, together, standing)
    if settings["scheduling"] is Scheduling.DAEMON:
        _check_daemon(body, settings)
    return settings


def read_external(call: Call, standing: Service | None) -> dict[str, Any]:
    """The same for a service of the EXTERNAL controller: task sets bring what it lacks.

    Raises:
        InvalidParameterException: AWS's sentence.
        ClientException: a member that is not served.
    """
    body = call.body
    limits.refuse_unserved(body, limits.SERVICE_REQUEST, call.operation)
    if standing is not None:
        others = sorted(set(body) - _OF_EXTERNAL)
        if others:
            raise InvalidParameterException(
                f"Cannot update {', '.join(others)} of a service with the EXTERNAL deployment controller: only "
                "desiredCount and healthCheckGracePeriodSeconds can be updated; use a task set."
            )
    elif body.get("schedulingStrategy", "REPLICA") != "REPLICA" or "taskDefinition" in body:
        raise InvalidParameterException(
            "A service with the EXTERNAL deployment controller is a REPLICA service, and its task sets name the task "
            "definition."
        )
    minimum, maximum = PERCENTAGES[Scheduling.REPLICA]
    percentages = {"minimumHealthyPercent": minimum, "maximumPercent": maximum}
    if {**percentages, **body.get("deploymentConfiguration", {})} != percentages:
        raise InvalidParameterException("The EXTERNAL deployment controller takes no deploymentConfiguration.")
    settings = {name: default if standing is None else getattr(standing, name) for name, default in _DEFAULTS.items()}
    settings["desired_count"] = body.get("desiredCount", settings["desired_count"])
    settings["health_grace_seconds"] = body.get("healthCheckGracePeriodSeconds", settings["health_grace_seconds"])
    if "placementStrategy" in body:
        settings["placement_strategy"] = strategy_of(body)
    if "placementConstraints" in body:
        settings["placement_constraints"] = constraints_of(body)
    _check({**settings, "minimum_healthy_percent": minimum, "maximum_percent": maximum})
    return settings


def _check_network(call: Call, definition: TaskDefinition, standing: Service | None) -> None:
    is_awsvpc = definition.body.get("networkMode") == "awsvpc"
    former = standing.body.get("networkConfiguration") if is_awsvpc and standing is not None else None
    network.check(definition.body, call.body.get("networkConfiguration", former))


def _check(settings: dict[str, Any]) -> None:
    if settings["desired_count"] < 0:
        raise InvalidParameterException("desiredCount should be 0 or more.")
    if (settings["health_grace_seconds"] or 0) < 0:
        raise InvalidParameterException("healthCheckGracePeriodSeconds should be 0 or more.")
    minimum, maximum = settings["minimum_healthy_percent"], settings["maximum_percent"]
    if minimum < 0 or maximum <= 0 or maximum < minimum:
        raise InvalidParameterException(
            "maximumPercent should be more than 0 and at least minimumHealthyPercent, which should be 0 or more."
        )


def _rebalances(body: dict[str, Any], settings: dict[str, Any], standing: Service | None) -> bool:
    """Whether zones are kept even. Unsaid: on for a new service that may (since 2025-09-05), as it was for another."""
    unlike = Service(arn="", name="", cluster="", task_definition="")
    names = ("maximum_percent", "placement_strategy", "placement_constraints", "scheduling")
    asked = msgspec.structs.replace(unlike, **{name: settings[name] for name in names})
    obstacle = "it must be a REPLICA service" if asked.scheduling is Scheduling.DAEMON else rebalance.why_not(asked)
    said = body.get("availabilityZoneRebalancing")
    if said == "ENABLED" and obstacle is not None:
        raise InvalidParameterException(f"Availability Zone rebalancing is not possible for this service: {obstacle}.")
    if said is not None:
        return bool(said == "ENABLED")
    return obstacle is None if standing is None else standing.rebalances


def _check_daemon(body: dict[str, Any], settings: dict[str, Any]) -> None:
    for member, what in _REFUSED_OF_DAEMONS.items():
        if body.get(member):
            raise InvalidParameterException(f"The daemon scheduling strategy does not support {what} and try again.")
    if settings["maximum_percent"] != DAEMON_MAXIMUM_PERCENT:
        raise InvalidParameterException("The maximumPercent of a service with the DAEMON strategy should be 100.")
    if settings["rollout"].hooks:
        raise InvalidParameterException("The DAEMON scheduling strategy does not support lifecycle hooks.")
    if settings["rollout"].strategy is not Strategy.ROLLING:
        raise InvalidParameterException("The DAEMON scheduling strategy supports only the ROLLING deployment strategy.")
