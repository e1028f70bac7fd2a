"""Amazon resource names, long form (the only one for new resources since 2021-04-01).

Source: ECS Developer Guide, "Account settings"; API reference, "Resource identifiers".
"""

from typing import NamedTuple


class Arn(NamedTuple):
    """One parsed ARN: `arn:PARTITION:ecs:REGION:ACCOUNT:KIND/PATH`."""

    region: str
    account: str
    kind: str
    path: tuple[str, ...]
    partition: str = "aws"

    def __str__(self) -> str:
        return f"arn:{self.partition}:ecs:{self.region}:{self.account}:{self.kind}/{'/'.join(self.path)}"

    @property
    def id(self) -> str:
        """The last part: a name or an id."""
        return self.path[-1]

    @property
    def cluster(self) -> str | None:
        """The cluster named in the ARN, for the kinds that name one."""
        if self.kind == "cluster":
            return self.path[0]
        return self.path[0] if len(self.path) > 1 else None


def parse(text: str) -> Arn | None:
    """Read an ECS ARN; None where `text` is none."""
    if not text.startswith("arn:"):
        return None
    parts = text.split(":", 5)
    if len(parts) != 6 or parts[2] != "ecs":  # noqa: PLR2004 - an ARN has six parts
        return None
    kind, slash, path = parts[5].partition("/")
    if not slash or not path:
        return None
    return Arn(parts[3], parts[4], kind, tuple(path.split("/")), parts[1])


def short_id(text: str) -> str:
    """The last part of an ARN, or `text` itself where it is no ARN."""
    return text.rsplit("/", 1)[-1]


class ArnMaker(NamedTuple):
    """Makes the ARNs of one account in one region."""

    region: str
    account: str

    def _arn(self, path: str) -> str:
        return f"arn:aws:ecs:{self.region}:{self.account}:{path}"

    def cluster(self, name: str) -> str:
        """ARN of a cluster."""
        return self._arn(f"cluster/{name}")

    def container_instance(self, cluster: str, instance_id: str) -> str:
        """ARN of a container instance; `instance_id` is 32 hex digits."""
        return self._arn(f"container-instance/{cluster}/{instance_id}")

    def task(self, cluster: str, task_id: str) -> str:
        """ARN of a task; `task_id` is 32 hex digits."""
        return self._arn(f"task/{cluster}/{task_id}")

    def container(self, cluster: str, task_id: str, container_id: str) -> str:
        """ARN of a container of a task; `container_id` is a UUID."""
        return self._arn(f"container/{cluster}/{task_id}/{container_id}")

    def service(self, cluster: str, name: str) -> str:
        """ARN of a service."""
        return self._arn(f"service/{cluster}/{name}")

    def service_deployment(self, cluster: str, service: str, deployment_id: str) -> str:
        """ARN of a service deployment; `deployment_id` is 21 characters of base64url."""
        return self._arn(f"service-deployment/{cluster}/{service}/{deployment_id}")

    def service_revision(self, cluster: str, service: str, revision_id: str) -> str:
        """ARN of a service revision; `revision_id` is 19 digits."""
        return self._arn(f"service-revision/{cluster}/{service}/{revision_id}")

    def task_set(self, cluster: str, service: str, task_set_id: str) -> str:
        """ARN of a task set; `task_set_id` is `ecs-svc/` and 19 digits."""
        return self._arn(f"task-set/{cluster}/{service}/{task_set_id}")

    def task_definition(self, family: str, revision: int) -> str:
        """ARN of one revision of a task definition."""
        return self._arn(f"task-definition/{family}:{revision}")

    def _balancing(self, path: str) -> str:
        return f"arn:aws:elasticloadbalancing:{self.region}:{self.account}:{path}"

    def target_group(self, name: str, group_id: str) -> str:
        """ARN of a target group; `group_id` is 16 hex digits."""
        return self._balancing(f"targetgroup/{name}/{group_id}")

    def listener(self, balancer_id: str, listener_id: str) -> str:
        """ARN of a listener; the ids are 16 hex digits each."""
        return self._balancing(f"listener/app/berth/{balancer_id}/{listener_id}")

    def capacity_provider(self, name: str) -> str:
        """ARN of a capacity provider."""
        return self._arn(f"capacity-provider/{name}")
