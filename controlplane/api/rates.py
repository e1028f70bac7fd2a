"""How many calls a second an account may make: a token bucket for each class of operations, as AWS has them.

Off unless switched on: on one's own machine nothing is gained by waiting, and code that must wait needs a test.
Source: ECS API reference, "Request throttling for the Amazon ECS API" (bucket and refill of each class).
"""

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from wire.errors import AwsError


class Throttle(StrEnum):
    """Which limits are kept."""

    OFF = "off"
    AWS = "aws"
    """AWS's published ones."""


class Bucket(NamedTuple):
    """So many calls at once, so many more a second."""

    size: int
    refill_per_second: float


class Class(NamedTuple):
    """Operations that share a bucket."""

    bucket: Bucket
    operations: tuple[str, ...]


_READ, _MODIFY = Bucket(50, 20), Bucket(20, 1)
CLASSES = (
    Class(
        _MODIFY,
        ("CreateCluster", "DeleteCluster", "UpdateCluster", "UpdateClusterSettings", "PutClusterCapacityProviders"),
    ),
    Class(_READ, ("DescribeClusters", "ListClusters")),
    Class(_MODIFY, ("RegisterTaskDefinition", "DeregisterTaskDefinition")),
    Class(_READ, ("DescribeTaskDefinition", "ListTaskDefinitions", "ListTaskDefinitionFamilies")),
    Class(Bucket(5, 1), ("DeleteTaskDefinitions",)),
    Class(Bucket(10, 1), ("CreateCapacityProvider", "UpdateCapacityProvider", "DeleteCapacityProvider")),
    Class(_READ, ("DescribeCapacityProviders",)),
    Class(Bucket(20, 10), ("TagResource", "UntagResource")),
    Class(_READ, ("ListTagsForResource",)),
    Class(Bucket(10, 1), ("PutAccountSetting", "PutAccountSettingDefault", "DeleteAccountSetting")),
    Class(_READ, ("ListAccountSettings",)),
    Class(
        Bucket(100, 40),
        (
            "RunTask",
            "StartTask",
            "StopTask",
            "PutAttributes",
            "DeleteAttributes",
            "UpdateContainerInstancesState",
            "DeregisterContainerInstance",
            "ExecuteCommand",
        ),
    ),
    Class(
        Bucket(100, 20),
        ("DescribeTasks", "ListTasks", "DescribeContainerInstances", "ListContainerInstances", "ListAttributes"),
    ),
    Class(
        Bucket(200, 120),
        (
            "RegisterContainerInstance",
            "SubmitTaskStateChange",
            "SubmitContainerStateChange",
            "SubmitAttachmentStateChanges",
            "DiscoverPollEndpoint",
        ),
    ),
    Class(
        Bucket(50, 5),
        (
            "CreateService",
            "UpdateService",
            "DeleteService",
            "CreateTaskSet",
            "UpdateTaskSet",
            "DeleteTaskSet",
            "UpdateServicePrimaryTaskSet",
        ),
    ),
    Class(Bucket(100, 20), ("DescribeServices", "ListServices", "DescribeTaskSets")),
    Class(_READ, ("DescribeServiceDeployments", "ListServiceDeployments", "StopServiceDeployment")),
    Class(_READ, ("DescribeServiceRevisions",)),
    Class(Bucket(200, 80), ("UpdateTaskProtection", "GetTaskProtection")),
    Class(Bucket(10, 1), ("ListServicesByNamespace",)),
)
"""An operation that is in none of them has no limit (AWS publishes none for it; ours have none)."""


class Rates:
    """The buckets of one account."""

    def __init__(self, throttle: Throttle, clock: Callable[[], float]) -> None:
        """`clock` counts seconds and never goes back."""
        self._clock = clock
        classes = CLASSES if throttle is Throttle.AWS else ()
        self._class_of = {operation: number for number, each in enumerate(classes) for operation in each.operations}
        self._left = {number: (float(each.bucket.size), clock()) for number, each in enumerate(classes)}

    def take(self, operation: str) -> None:
        """One call of `operation`.

        Raises:
            AwsError: ThrottlingException, which clients answer by waiting.
        """
        number = self._class_of.get(operation)
        if number is None:
            return
        bucket, now, (left, at) = CLASSES[number].bucket, self._clock(), self._left[number]
        left = min(left + (now - at) * bucket.refill_per_second, bucket.size)
        self._left[number] = (left - 1 if left >= 1 else left, now)
        if left < 1:
            raise AwsError("Rate exceeded", code="ThrottlingException")
