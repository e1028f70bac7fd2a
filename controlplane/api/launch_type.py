"""`launchType` and `capacityProviderStrategy` of a request: one of them at most, and a strategy that could be used.

What a strategy then leads to is `core/capacity`'s. Source: API reference, RunTask and CreateService.
"""

from collections.abc import Mapping
from typing import Any

from controlplane.core import providers
from controlplane.core.model import Cluster
from controlplane.core.view import View
from wire.errors import InvalidParameterException


def check(view: View, cluster: Cluster, body: Mapping[str, Any]) -> None:
    """Hold the two against each other and against the cluster.

    Raises:
        InvalidParameterException: AWS's sentence.
    """
    strategy = body.get("capacityProviderStrategy", ())
    if strategy and "launchType" in body:
        raise InvalidParameterException("Specify either Launch Type or Capacity Provider Strategy, but not both.")
    if "platformVersion" in body:
        raise InvalidParameterException("The platform version must be null when specifying an EC2 launch type.")
    sentence = providers.refuse_strategy(strategy, providers.of_cluster(view, cluster)) if strategy else None
    if sentence is not None:
        raise InvalidParameterException(sentence)
