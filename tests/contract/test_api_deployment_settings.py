"""`deploymentConfiguration` refused where Amazon's ranges end; what of a service belongs to which of its revisions."""

from typing import Any

import pytest
from apiside import Ecs, definition, until
from botocore.exceptions import ClientError
from scripted_agent import ScriptedAgent

from controlplane.core.rollouts import ServiceDeployment
from controlplane.server import ControlPlane

SMALL = {"cpu": 100, "memory": 100}
WEBHOOK = {"hookTargetArn": "http://127.0.0.1:1/", "lifecycleStages": ["POST_SCALE_UP"]}
PAUSE = {"targetType": "PAUSE", "lifecycleStages": ["POST_SCALE_UP"]}
EARLY = {"enable": True, "healthyPercent": 90, "sourceServiceRevisionCleanup": "BLOCKING"}


def breaker(type_: str, value: int) -> dict[str, Any]:
    threshold = {"type": type_, "value": value}
    return {"deploymentCircuitBreaker": {"enable": True, "rollback": True, "thresholdConfiguration": threshold}}


def staged(strategy: str, **members: Any) -> dict[str, Any]:
    return {"strategy": strategy, "bakeTimeInMinutes": 0, **members}


@pytest.mark.parametrize(
    ("configuration", "sentence"),
    [
        (breaker("BOUNDED_PERCENT", 101), "between 1 and 100"),
        (breaker("UNBOUNDED_PERCENT", 101), "between 1 and 100"),
        (breaker("BOUNDED_PERCENT", 0), "between 1 and 100"),
        (breaker("COUNT", 0), "1 or more"),
        (staged("LINEAR", linearConfiguration={"stepPercent": 3.05}), "multiple of 0.1"),
        (staged("LINEAR", linearConfiguration={"stepPercent": 2.9}), "between 3.0 and 100"),
        (staged("CANARY", canaryConfiguration={"canaryPercent": 0.25}), "multiple of 0.1"),
        (
            staged("BLUE_GREEN", lifecycleHooks=[{**WEBHOOK, "timeoutConfiguration": {"timeoutInMinutes": 1441}}]),
            "between 1 and 1440",
        ),
        (staged("BLUE_GREEN", lifecycleHooks=[PAUSE] * 11), "at most 10 lifecycle hooks of type PAUSE"),
        (staged("BLUE_GREEN", lifecycleHooks=[WEBHOOK] * 11), "at most 10 lifecycle hooks of type AWS_LAMBDA"),
        ({"earlySuccessCriteria": {"enable": True, "healthyPercent": 100}}, "sourceServiceRevisionCleanup"),
        ({"earlySuccessCriteria": {**EARLY, "healthyPercent": 40}}, "minimumHealthyPercent"),
    ],
)
async def test_what_is_out_of_its_range_is_refused(ecs: Ecs, configuration: dict[str, Any], sentence: str) -> None:
    await ecs.register_task_definition(**definition(**SMALL))
    with pytest.raises(ClientError, match=sentence) as refused:
        await ecs.create_service(
            serviceName="web", taskDefinition="web", desiredCount=0, deploymentConfiguration=configuration
        )
    assert refused.value.response["Error"]["Code"] == "InvalidParameterException"
    assert (await ecs.list_services())["serviceArns"] == []


async def test_what_is_within_its_range_is_shown_as_it_was_given(ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition(**SMALL))
    hooks = [
        {**WEBHOOK, "targetType": "AWS_LAMBDA", "timeoutConfiguration": {"timeoutInMinutes": 5, "action": "CONTINUE"}},
        {**PAUSE, "timeoutConfiguration": {"timeoutInMinutes": 20160, "action": "ROLLBACK"}},
    ]
    linear = {"stepPercent": 12.5, "stepBakeTimeInMinutes": 1440}
    made = await ecs.create_service(
        serviceName="web",
        taskDefinition="web",
        desiredCount=0,
        deploymentConfiguration=staged("LINEAR", linearConfiguration=linear, lifecycleHooks=hooks),
    )
    shown = made["service"]["deploymentConfiguration"]
    assert (shown["linearConfiguration"], shown["lifecycleHooks"]) == (linear, hooks)


async def test_constraints_of_a_task_definition_go_with_it(plane: ControlPlane, ecs: Ecs) -> None:
    """They are the revision's, not the service's: the next one may have others."""
    nowhere = [{"type": "memberOf", "expression": "attribute:nowhere == yes"}]
    await ecs.register_task_definition(**definition(**SMALL), placementConstraints=nowhere)
    await ecs.register_task_definition(**definition(**SMALL))
    async with ScriptedAgent(plane.url):
        await ecs.create_service(serviceName="web", taskDefinition="web:1", desiredCount=1)
        await ecs.update_service(service="web", taskDefinition="web:2")
        await until(
            plane, lambda view: [str(c.status) for c in view.records(ServiceDeployment)].count("SUCCESSFUL") == 1
        )


async def test_each_deployment_shows_the_network_of_its_own_revision(ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition(**SMALL), networkMode="awsvpc")

    def network(subnet: str) -> dict[str, Any]:
        return {"awsvpcConfiguration": {"subnets": [subnet], "assignPublicIp": "DISABLED"}}

    await ecs.create_service(serviceName="web", taskDefinition="web", desiredCount=1, networkConfiguration=network("a"))
    changed = (await ecs.update_service(service="web", networkConfiguration=network("b")))["service"]
    shown = [each["networkConfiguration"]["awsvpcConfiguration"]["subnets"] for each in changed["deployments"]]
    assert shown == [["b"], ["a"]][: len(shown)]
    assert len(shown) == 2
