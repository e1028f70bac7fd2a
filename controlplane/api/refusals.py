"""Operations that make no sense on Docker hosts: why, and what to do instead. A table, and nothing else.

The exception is the model's own: UnsupportedFeatureException where the operation has it, else ClientException.
"""

_EXPRESS = (
    "{operation} is for Express Gateway services, which AWS runs on Fargate behind a load balancer that it makes; "
    "berth runs containers on Docker hosts: use CreateService with a task definition that publishes a port."
)
_GATEWAY = (
    "{operation} is for gateways, load balancers that AWS manages, and berth has none: "
    "publish a port with portMappings and reach the task on its host."
)
_DAEMON = (
    "{operation} is for managed daemons, which run on Amazon ECS Managed Instances only, and berth has none: "
    "use CreateService with schedulingStrategy DAEMON."
)

_OPERATIONS = {
    _EXPRESS: (
        "CreateExpressGatewayService",
        "UpdateExpressGatewayService",
        "DeleteExpressGatewayService",
        "DescribeExpressGatewayService",
    ),
    _GATEWAY: (
        "CreateGateway",
        "UpdateGateway",
        "DeleteGateway",
        "DescribeGateway",
        "ListGateways",
        "DescribeGatewayResources",
        "DescribeGatewayRoute",
        "ListGatewayRoutes",
        "AssociateGatewayWithCluster",
        "DisassociateGatewayFromCluster",
        "ListGatewayClusterAssociations",
    ),
    _DAEMON: (
        "CreateDaemon",
        "UpdateDaemon",
        "DeleteDaemon",
        "DescribeDaemon",
        "ListDaemons",
        "DescribeDaemonDeployments",
        "ListDaemonDeployments",
        "DescribeDaemonRevisions",
        "RegisterDaemonTaskDefinition",
        "DescribeDaemonTaskDefinition",
        "DeleteDaemonTaskDefinition",
        "ListDaemonTaskDefinitions",
    ),
}

REFUSED: dict[str, str] = {
    operation: sentence.format(operation=operation)
    for sentence, operations in _OPERATIONS.items()
    for operation in operations
}
"""The sentence that each of them is answered with."""
