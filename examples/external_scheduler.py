"""A scheduler of one's own as a program beside berth: boto3 and nothing else.

It keeps COUNT tasks of TASKDEF running in a cluster, each started on the instance with the most free memory. Every look
is optimistic: it reads the cluster, chooses, and calls StartTask; where somebody else took the room first, StartTask
answers with a failure (RESOURCE:MEMORY, ...) and the next look chooses anew. `startedBy` marks what is its own, so it
may be killed and started again at any time.

    python examples/external_scheduler.py web 5 --endpoint http://127.0.0.1:6333
"""

import argparse
import os
import time

import boto3

DESCRIBE_MAX = 100
LOOK_SECONDS = 1.0


class Scheduler:
    """One program; `name` marks its tasks."""

    def __init__(self, ecs, *, cluster, definition, count, name):
        self.ecs = ecs
        self.cluster = cluster
        self.definition = definition
        self.count = count
        self.name = name

    def look(self):
        """One look: start what is missing. Returns (running or pending, started, refused)."""
        live = self._listed("list_tasks", "taskArns", startedBy=self.name, desiredStatus="RUNNING")
        started = refused = 0
        for instance in self._emptiest_first()[: max(0, self.count - len(live))]:
            answer = self.ecs.start_task(
                cluster=self.cluster,
                taskDefinition=self.definition,
                containerInstances=[instance],
                startedBy=self.name,
            )
            started += len(answer["tasks"])
            refused += len(answer["failures"])  # somebody else was first: the next look sees the world as it is
        return len(live) + started, started, refused

    def _emptiest_first(self):
        """Connected ACTIVE instances, the one with the most memory left first."""
        arns = self._listed("list_container_instances", "containerInstanceArns", status="ACTIVE")
        rows = []
        for nth in range(0, len(arns), DESCRIBE_MAX):
            page = self.ecs.describe_container_instances(
                cluster=self.cluster, containerInstances=arns[nth : nth + DESCRIBE_MAX]
            )
            rows += page["containerInstances"]
        free = {
            row["containerInstanceArn"]: next(
                r["integerValue"] for r in row["remainingResources"] if r["name"] == "MEMORY"
            )
            for row in rows
            if row["agentConnected"]
        }
        return sorted(free, key=free.get, reverse=True)

    def _listed(self, operation, member, **filters):
        pages = self.ecs.get_paginator(operation).paginate(cluster=self.cluster, **filters)
        return [arn for page in pages for arn in page[member]]


def main():
    """Look for ever."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("definition")
    options.add_argument("count", type=int)
    options.add_argument("--cluster", default="default")
    options.add_argument("--name", default="external-scheduler")
    options.add_argument("--endpoint", default=os.environ.get("AWS_ENDPOINT_URL_ECS", "http://127.0.0.1:6333"))
    options.add_argument("--until-there", action="store_true", help="end once all are there")
    args = options.parse_args()
    ecs = boto3.client("ecs", endpoint_url=args.endpoint)
    scheduler = Scheduler(ecs, cluster=args.cluster, definition=args.definition, count=args.count, name=args.name)
    while True:
        there, started, refused = scheduler.look()
        if started or refused:
            print(f"{there} of {args.count}: {started} started, {refused} refused", flush=True)
        if args.until_there and there >= args.count:
            return
        time.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    main()
