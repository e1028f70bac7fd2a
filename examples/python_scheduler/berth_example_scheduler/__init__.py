"""A scheduler that keeps the tasks of a group in one rack as long as there is room."""

from collections import Counter


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
