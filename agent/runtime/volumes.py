"""A task's volumes in Docker's terms. Pure. Source: amazon-ecs-agent `api/task/task.go` (dockerHostBinds)."""

import hashlib

from agent.core.spec import ContainerSpec, TaskSpec, Volume


def volume_name(task: TaskSpec, volume: Volume) -> str:
    """A shared volume has its own name; a task's is `ecs-<family>-<version>-<volume>-<20 hex>`.

    Amazon's hex is random; ours comes from the task's ARN, so that a volume can be found again after a crash.
    """
    if volume.is_shared:
        return volume.name
    digest = hashlib.sha256(f"{task.arn} volume {volume.name}".encode()).hexdigest()[:20]
    return f"ecs-{task.family}-{task.version}-{volume.name}-{digest}"


def binds(task: TaskSpec, container: ContainerSpec) -> list[str]:
    """Docker's `Binds`: `source:path`, `:ro` where it may only be read.

    Raises:
        ValueError: a mount names no volume of the task, or no path.
    """
    by_name = {volume.name: volume for volume in task.volumes}
    rows = []
    for mount in container.mounts:
        volume = by_name.get(mount.volume)
        if volume is None or not mount.path:
            raise ValueError(f"the mount of volume {mount.volume!r} at {mount.path!r} names no volume or no path")
        source = volume.host_path or volume_name(task, volume)
        rows.append(f"{source}:{mount.path}" + (":ro" if mount.read_only else ""))
    return rows


def docker_volumes(task: TaskSpec, container: ContainerSpec) -> list[Volume]:
    """The volumes that Docker keeps and `container` mounts."""
    mounted = {mount.volume for mount in container.mounts}
    return [volume for volume in task.volumes if volume.name in mounted and not volume.host_path]
