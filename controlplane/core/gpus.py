"""Which GPUs a task gets: each container as many as it asks for, of those that its instance has free.

Source: API reference, `ResourceRequirement` (GPU: how many), `Container` (`gpuIds`: which). Which of the free ones AWS
takes is not published; here they go in the order of their ids.
"""

from itertools import islice

import msgspec

from controlplane.core.model import Task


def hand_out(task: Task, free: frozenset[str]) -> Task:
    """`task` with GPUs for its containers, out of `free`."""
    left = iter(sorted(free))
    containers = tuple(
        msgspec.structs.replace(container, gpu_ids=tuple(islice(left, container.gpus))) for container in task.containers
    )
    return msgspec.structs.replace(task, containers=containers)


def handed_out(task: Task) -> frozenset[str]:
    """The GPUs of its containers."""
    return frozenset(gpu for container in task.containers for gpu in container.gpu_ids)
