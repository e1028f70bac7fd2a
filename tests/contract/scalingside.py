"""What tests of service auto scaling share: a service to scale."""

from typing import Any

from apiside import Client, Ecs, definition

WEB = {
    "ServiceNamespace": "ecs",
    "ResourceId": "service/default/web",
    "ScalableDimension": "ecs:service:DesiredCount",
}


async def serve(ecs: Ecs, desired: int = 1, **container: Any) -> str:
    await ecs.register_task_definition(**definition(**{"cpu": 64, "memory": 64, **container}))
    made = await ecs.create_service(serviceName="web", taskDefinition="web", desiredCount=desired)
    arn: str = made["service"]["serviceArn"]
    return arn


async def register(scaling: Client, least: int = 1, most: int = 8, **members: Any) -> str:
    arn: str = (await scaling.register_scalable_target(**WEB, MinCapacity=least, MaxCapacity=most, **members))[
        "ScalableTargetARN"
    ]
    return arn
