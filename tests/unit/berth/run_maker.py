"""A played run without a player: the story of aws/amazon-ecs-agent#4106 and the events that Docker would have told."""

from story_maker import instance_arn, issue_4106, task_arn

from berth.demo.evidence import Event, Evidence
from berth.demo.scenario import Run
from berth.demo.setup import Remedies, Setup
from controlplane.core.twoledgers import TwoLedgers
from wire.story import Kind, StoryLine

DEPLOY_AT = 10.0
OLD_TASKS = ("a1", "a2", "a3", "a4")


def played(release: str, *, job_seconds: int = 40, remedies: Remedies | None = None, until: float | None = None) -> Run:
    """The run whose job is a4; `until`: only the lines up to that moment, as if it were still played."""
    story = issue_4106(release, job_seconds=job_seconds, deploy_at=DEPLOY_AT)
    if until is not None:
        story = [line for line in story if line.at <= until]
    return Run(
        setup=Setup(release=release, job_seconds=job_seconds, remedies=remedies or Remedies()),
        ledgers=TwoLedgers(story),
        evidence=Evidence([event for line in story for event in _events(line)]),
        hosts={instance_arn(number): f"host-{number}" for number in (1, 2, 3)},
        phase="done",
        job_task=task_arn("a4"),
        deploy_at=DEPLOY_AT,
        ended_at=DEPLOY_AT + job_seconds + 3 if until is None else None,
    )


def _events(line: StoryLine) -> list[Event]:
    old = line.subject in {task_arn(name) for name in OLD_TASKS}
    common = {"at": line.at, "container": line.subject, "task": line.subject, "revision": 1 if old else 2}
    match line.kind:
        case Kind.CONTAINER_STARTED:
            return [Event(action="start", **common)]
        case Kind.CONTAINER_SIGNALLED:
            return [Event(action="kill", signal=15, **common)]
        case Kind.CONTAINER_EXITED:
            return [Event(action="die", exit_code=line.data["exit_code"], **common)]
    return []
