"""A control plane's rules on a clock that is held, with two hosts to place on."""

import json
from random import Random
from typing import Any, Self

from controlplane.api.call import Account
from controlplane.committing import Committer
from controlplane.core.model import Cluster, Instance, Task, TaskDefinition
from controlplane.core.names import Names
from controlplane.core.policy import Policy
from controlplane.core.view import Draft
from controlplane.rules.api import RulesApi
from controlplane.rules.firing import EventRules, Firing, Ticker
from controlplane.store.memory import MemoryStore
from wire.arn import ArnMaker
from wire.resources import Amounts
from wire.story import StoryLine

EVENT = {"id": "1", "source": "aws.ecs", "detail": {"lastStatus": "STOPPED"}}
CLUSTER = "arn:aws:ecs:us-east-1:123456789012:cluster/default"


class World:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.store = MemoryStore()
        names = Names(ArnMaker("us-east-1", "123456789012"), Random(1))
        committer = Committer(self.store, clock=lambda: self.now)
        firing = Firing(self.store, committer, Account(names, Policy()), lambda: self.now)
        self.committer = committer
        self.api = RulesApi(self.store, committer, names)
        self.firing = firing
        self.slept: list[float] = []

        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)

        self.events = EventRules(self.store, firing, sleep=sleep)
        self.ticker = Ticker(self.store, committer, firing, clock=lambda: self.now, sleep=sleep)

    @classmethod
    async def made(cls) -> Self:
        world = cls()

        def decide(draft: Draft) -> None:
            draft.put(Cluster(name="default", arn=CLUSTER))
            container = {"name": "main", "image": "x", "cpu": 1024, "memory": 512, "essential": True}
            draft.put(
                TaskDefinition(
                    arn="arn:aws:ecs:us-east-1:123456789012:task-definition/job:1",
                    family="job",
                    revision=1,
                    amounts=Amounts(1024, 512),
                    body={"family": "job", "containerDefinitions": [container]},
                )
            )
            for nth in (1, 2):
                arn = f"arn:aws:ecs:us-east-1:123456789012:container-instance/default/{nth:032x}"
                draft.put(Instance(arn=arn, cluster="default", agent_connected=True, registered=Amounts(2048, 4096)))

        await world.committer.commit(decide, cause="")
        return world

    async def rule(
        self,
        schedule: str,
        *,
        name: str = "nightly",
        wanted: dict[str, Any] | None = None,
        count: int = 1,
        given: dict[str, Any] | None = None,
        **parameters: Any,
    ) -> None:
        """A rule with one target."""
        how = {"ScheduleExpression": schedule} if schedule else {}
        how |= {"EventPattern": json.dumps(wanted)} if wanted else {}
        await self.api.serve("PutRule", {"Name": name, **how})
        target: dict[str, Any] = {
            "Id": "one",
            "Arn": CLUSTER,
            "EcsParameters": {"TaskDefinitionArn": "job", "TaskCount": count, **parameters},
        }
        if given is not None:
            target["Input"] = json.dumps(given)
        await self.api.serve("PutTargets", {"Rule": name, "Targets": [target]})

    async def look(self) -> float | None:
        return await self.ticker.look()

    def tasks(self) -> list[Task]:
        return list(self.store.view().records(Task))

    async def told(self) -> list[StoryLine]:
        lines, _ = await self.store.story(0, 1000)
        return [line for _, line in lines if line.kind == "rule.fired"]
