"""Tasks of a revision, counted: live while its deployment goes on, and once for all at the deployment's end.

Source: ECS Developer Guide, "View service history" (the number of tasks running when the deployment completed).
"""

from controlplane.core.rollouts import Counts, ServiceDeployment
from controlplane.core.view import View
from wire.status import TaskStatus


def of_course(view: View, course: ServiceDeployment) -> dict[str, Counts]:
    """The counts of every revision that a service deployment is about, by ARN."""
    if course.status.is_over:
        return course.counts
    return {revision: of_revision(view, course.service, revision) for revision in (*course.sources, course.target)}


def of_revision(view: View, service: str, revision: str) -> Counts:
    """The tasks of one revision (ARN) of a service (ARN), as they are now."""
    record = view.service(service)
    own = [d for d in record.deployments if d.revision == revision] if record is not None else []
    ids = {deployment.id for deployment in own}
    tasks = [task for task in view.tasks_of(service) if task.is_live and task.deployment in ids]
    return Counts(
        requested=sum(deployment.desired_count for deployment in own),
        running=sum(task.last_status is TaskStatus.RUNNING for task in tasks),
        pending=sum(task.last_status.is_starting for task in tasks),
    )
