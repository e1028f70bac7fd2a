"""Two schedulers: one that keeps the tasks of a group in one rack, and one that moves whole services besides."""

from collections import Counter
from random import SystemRandom

from controlplane.core.placement.request import service_request


class SameRack:
    """First where the group already has tasks in the rack, then where most memory is free; ties by the dice."""

    def place(self, requests, view, dice):
        """Instances (ARN) for each request, one for each copy that finds room."""
        return [self._place_one(request, view, dice) for request in requests]

    def _place_one(self, request, view, dice):
        instances = {
            instance.arn: instance
            for instance in view.instances(request.cluster)
            if instance.agent_connected and instance.status == "ACTIVE"
        }
        rooms = {arn: view.free(arn) for arn in instances}
        racks = Counter(
            instances[task.instance].attribute("rack")
            for task in view.tasks_in(request.cluster, request.group)
            if task.is_live and task.instance in instances
        )
        chosen = []
        for _ in range(request.count):
            fitting = [arn for arn, room in rooms.items() if not room.lacks(request.amounts)]
            if not fitting:
                break
            best = max(
                fitting,
                key=lambda arn: (racks[instances[arn].attribute("rack")], rooms[arn].memory_mib, dice.getrandbits(32)),
            )
            rooms[best] = rooms[best].minus(request.amounts)
            racks[instances[best].attribute("rack")] += 1
            chosen.append(best)
        return chosen


class AllAtOnce(SameRack):
    """Deploys without a floor: every old task goes at once, protected or not, and new ones come as room is there."""

    def reconcile(self, service, view, now):
        """What to start and to stop for one service, now or whenever it is asked."""
        del now
        newest = service.deployments[0]
        live = [task for task in view.tasks_of(service.arn) if task.is_live]
        current = [task for task in live if task.deployment == newest.id]
        for task in live:
            if task not in current[: service.desired_count]:
                view.stop(task, f"AllAtOnce: not among the {service.desired_count} of {newest.id}")
        missing = service.desired_count - len(current)
        if missing > 0:
            request = service_request(service, view.task_definition(newest.task_definition), missing)
            for instance in self.place([request], view, SystemRandom())[0]:
                view.start(instance)
        return view.plan()
