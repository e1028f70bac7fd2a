"""Story lines written by hand: a small maker, and aws/amazon-ecs-agent#4106 as both kinds of release tell it."""

from typing import Any

from wire.arn import ArnMaker
from wire.story import Kind, StoryLine

ARN = ArnMaker("us-east-1", "123456789012")
CPU, MEMORY_MIB = 1024, 7372
REGISTERED_MIB = 15731


def task_arn(name: str) -> str:
    return ARN.task("default", name.ljust(32, "0"))


def instance_arn(number: int) -> str:
    return ARN.container_instance("default", str(number) * 32)


class StoryMaker:
    """Writes lines at given seconds of a story that begins at 0."""

    def __init__(self, release: str = "eager") -> None:
        self.release = release
        self.lines: list[StoryLine] = []

    def tell(self, at: float, kind: Kind, subject: str, actor: str = "controlplane", **data: Any) -> None:
        self.lines.append(StoryLine(at, actor, subject, str(kind), data=data))

    def agent(self, at: float, kind: Kind, task: str, number: int, **data: Any) -> None:
        self.tell(at, kind, task_arn(task), f"agent/{instance_arn(number)}", instance=instance_arn(number), **data)

    def instance(self, at: float, number: int, *, memory_mib: int = REGISTERED_MIB) -> None:
        self.tell(
            at,
            Kind.INSTANCE_REGISTERED,
            instance_arn(number),
            cluster="default",
            cpu=2048,
            memory_mib=memory_mib,
            zone="us-east-1a",
            instance_type="r5.large",
            ec2_instance_id=f"i-{number:017d}",
            release=self.release,
        )

    def placed(self, at: float, task: str, number: int, revision: int = 1) -> None:
        self.tell(
            at,
            Kind.PLACEMENT_HELD,
            task_arn(task),
            instance=instance_arn(number),
            cpu=CPU,
            memory_mib=MEMORY_MIB,
            group="service:web",
            task_definition=ARN.task_definition("web", revision),
        )

    def status(self, at: float, task: str, number: int, last: str) -> None:
        self.tell(at, Kind.TASK_STATUS, task_arn(task), last=last, instance=instance_arn(number))

    def unplaced(self, at: float, task: str, number: int, proof: str) -> None:
        self.tell(
            at,
            Kind.PLACEMENT_ENDED,
            task_arn(task),
            instance=instance_arn(number),
            cpu=CPU,
            memory_mib=MEMORY_MIB,
            proof=proof,
        )

    def queued(self, at: float, task: str, number: int) -> None:
        lacks = ["CPU", "MEMORY"]
        self.agent(at, Kind.HOST_QUEUED, task, number, cpu=CPU, memory_mib=MEMORY_MIB, lacks=lacks)

    def started(self, at: float, task: str, number: int) -> None:
        """Admitted and running at once."""
        self.agent(at, Kind.HOST_HELD, task, number, cpu=CPU, memory_mib=MEMORY_MIB, waited_seconds=0)
        self.agent(at, Kind.CONTAINER_STARTED, task, number, container="web", docker_id=f"docker-{task}")
        self.status(at, task, number, "RUNNING")

    def told_to_stop(self, at: float, task: str, number: int, grace_seconds: float = 60) -> None:
        """Asked, and signalled at once; with eager release the placement hold ends here."""
        self.tell(
            at, Kind.TASK_DESIRED, task_arn(task), desired="STOPPED", reason="deployment", instance=instance_arn(number)
        )
        self.agent(
            at,
            Kind.CONTAINER_SIGNALLED,
            task,
            number,
            container="web",
            signal="SIGTERM",
            grace_seconds=grace_seconds,
            deadline=at + grace_seconds,
        )
        if self.release != "on-exit":
            self.unplaced(at, task, number, "AGENT_RELEASED")

    def exited(self, at: float, task: str, number: int, exit_code: int = 0) -> None:
        """Gone; with on-exit release the placement hold ends here, a little later than the host's."""
        self.agent(
            at, Kind.CONTAINER_EXITED, task, number, container="web", exit_code=exit_code, finished_at=at, error=""
        )
        self.agent(at, Kind.HOST_ENDED, task, number, cpu=CPU, memory_mib=MEMORY_MIB, proof="EXIT_SEEN")
        if self.release == "on-exit":
            self.unplaced(at + 0.01, task, number, "AGENT_RELEASED")
        self.status(at + 0.01, task, number, "STOPPED")


def issue_4106(release: str, *, job_seconds: float = 40, deploy_at: float = 10) -> list[StoryLine]:
    """Two r5.large, four old tasks, one with a long job; a third host joins 4 s after the deploy.

    Old: a1 a2 on 1, a3 a4 on 2; a4 has the job. New: b1 b2 on 1, b3 on 2, b4 on 2 (eager) or 3 (on exit).
    """
    story = StoryMaker(release)
    old = (("a1", 1), ("a2", 1), ("a3", 2), ("a4", 2))
    new = (("b1", 1), ("b2", 1), ("b3", 2), ("b4", 2))
    for number in (1, 2):
        story.instance(0, number)
    for task, number in old:
        story.placed(1, task, number)
        story.status(1, task, number, "PENDING")
        story.started(2, task, number)
    for task, number in old:
        story.told_to_stop(deploy_at, task, number)
    deploy = _on_exit if release == "on-exit" else _eager
    deploy(story, old, new, deploy_at, deploy_at + job_seconds)
    return story.lines


Places = tuple[tuple[str, int], ...]


def _eager(story: StoryMaker, old: Places, new: Places, deploy_at: float, job_ends_at: float) -> None:
    for task, number in new:
        story.placed(deploy_at, task, number, 2)
        story.status(deploy_at, task, number, "PENDING")
        story.queued(deploy_at, task, number)
    for task, number in old[:3]:
        story.exited(deploy_at + 2, task, number)
    for task, number in new[:3]:
        story.started(deploy_at + 2.2, task, number)
    story.instance(deploy_at + 4, 3)
    story.exited(job_ends_at, "a4", 2)
    story.started(job_ends_at + 0.2, "b4", 2)


def _on_exit(story: StoryMaker, old: Places, new: Places, deploy_at: float, job_ends_at: float) -> None:
    for task, number in old[:3]:
        story.exited(deploy_at + 2, task, number)
    for task, number in new[:3]:
        story.placed(deploy_at + 2.1, task, number, 2)
        story.started(deploy_at + 2.2, task, number)
    story.instance(deploy_at + 4, 3)
    story.placed(deploy_at + 4.1, "b4", 3, 2)
    story.started(deploy_at + 4.2, "b4", 3)
    story.exited(job_ends_at, "a4", 2)
