"""The EXTERNAL controller: whoever calls makes task sets and sets their scale; the scheduler keeps each at its number.

A task set stands in `Service.deployments`. Source: ECS Developer Guide, "Deploy with a third-party controller"; API
reference, `TaskSet`.
"""

import msgspec

from controlplane.core.model import Deployment, Service, Task
from controlplane.core.reconcile import events, rollout, throttle
from controlplane.core.reconcile.health import Soundness
from controlplane.core.reconcile.look import Look, Team
from controlplane.core.reconcile.replica import Formation
from controlplane.core.rollouts import TaskSet
from controlplane.core.view import View
from wire.status import InstanceStatus, TaskStatus

PERCENT = 100


def wanted(service: Service) -> dict[str, int]:
    """How many tasks each task set (id) is to have: desired x scale, rounded up; none while it drains."""
    return {
        deployment.id: computed_desired_count(service, deployment)
        for deployment in service.deployments
        if deployment.status != "DRAINING"
    }


def computed_desired_count(service: Service, deployment: Deployment) -> int:
    """`computedDesiredCount`. Source: API reference, `TaskSet`."""
    if deployment.task_set is None or deployment.status == "DRAINING":
        return 0
    hundredths = round(service.desired_count * deployment.task_set.scale_percent * PERCENT)
    return -(-hundredths // (PERCENT * PERCENT))


def finish(look: Look, formation: Formation) -> None:
    """Task sets that have drained are gone; each other one is steady or not, and says so once."""
    numbers = {team.deployment.id: team.wanted for team in formation.teams}
    look.service = rollout.advance(look.draft, look.service, look.tasks, numbers)
    changed = tuple(_settled(look, formation, deployment) for deployment in look.service.deployments)
    if changed != look.service.deployments:
        look.service = msgspec.structs.replace(look.service, deployments=changed)
        look.draft.put(look.service)
    if changed and all(deployment.task_set is not None and deployment.task_set.is_steady for deployment in changed):
        look.say(events.steady(look.service))
    if any(throttle.is_impaired(deployment, look.service.desired_count) for deployment in changed):
        look.say(events.impaired(look.service))


def is_steady(view: View, tasks: list[Task], computed: int) -> bool:
    """`stabilityStatus` STEADY_STATE, but for health. `tasks` are the live ones of the task set."""
    running = [task for task in tasks if task.last_status is TaskStatus.RUNNING]
    return len(running) == len(tasks) == computed and not any(_drains(view, task) for task in tasks)


def _settled(look: Look, formation: Formation, deployment: Deployment) -> Deployment:
    if deployment.task_set is None:
        return deployment
    team = next((team for team in formation.teams if team.deployment.id == deployment.id), None)
    own = [task for task in look.live if task.deployment == deployment.id]
    steady = team is not None and _is_whole(look, team, own)
    if steady == deployment.task_set.is_steady:
        return deployment
    if steady:
        look.tell(events.taskset_steady(look.service, deployment.id))
    task_set: TaskSet = msgspec.structs.replace(deployment.task_set, is_steady=steady, steady_at=look.draft.now)
    return msgspec.structs.replace(deployment, task_set=task_set, updated_at=look.draft.now)


def _is_whole(look: Look, team: Team, own: list[Task]) -> bool:
    return is_steady(look.draft, own, team.wanted) and all(look.is_(task, Soundness.HEALTHY) for task in own)


def _drains(view: View, task: Task) -> bool:
    instance = view.instance(task.instance) if task.instance else None
    return instance is not None and instance.status is InstanceStatus.DRAINING
