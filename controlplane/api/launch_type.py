"""`launchType` and `capacityProviderStrategy` of a request: one of them at most, and a strategy that could be used.

What a strategy then leads to is not served yet (see `limits`). Source: API reference, RunTask and CreateService.
"""

from collections.abc import Mapping
from typing import Any

from controlplane.core import providers
from controlplane.core.model import Cluster
from controlplane.core.view import View
from wire.errors import ClientException, InvalidParameterException


def check(view: View, cluster: Cluster, body: Mapping[str, Any], *, operation: str) -> None:
    """Hold the two against each other and against the cluster.

    Raises:
        InvalidParameterException: AWS's sentence.
        ClientException: the cluster's default strategy would be used, which is not served yet.
    """
    strategy = body.get("capacityProviderStrategy", ())
    if strategy and "launchType" in body:
        raise InvalidParameterException("Specify either Launch Type or Capacity Provider Strategy, but not both.")
    if "platformVersion" in body:
        raise InvalidParameterException("The platform version must be null when specifying an EC2 launch type.")
    sentence = providers.refuse_strategy(strategy, providers.of_cluster(view, cluster))
    if sentence is not None:
        raise InvalidParameterException(sentence)
    if "launchType" not in body and not strategy and cluster.body.get("defaultCapacityProviderStrategy"):
        raise ClientException(
            f"{operation} would use the defaultCapacityProviderStrategy of the cluster {cluster.name}, which is not "
            "served yet; nothing was started. Name the launchType EC2, or take the strategy from the cluster."
        )
