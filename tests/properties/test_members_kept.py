"""Whatever a request says and is accepted comes back in the answer of its Describe as it went in.

Requests are made from the model: a small one that works, and a few members more, of any value that the model allows.
"""

from collections.abc import Mapping
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from search import tries

from controlplane.api.call import Account, Call
from controlplane.api.operations import READERS, WRITERS
from controlplane.core.model import Cluster, Instance
from controlplane.core.names import Names
from controlplane.core.policy import Policy
from controlplane.core.state import State
from controlplane.core.view import Draft
from wire import ecs_shapes
from wire.arn import ArnMaker
from wire.errors import AwsError
from wire.resources import Amounts

ACCOUNT = Account(Names(ArnMaker("us-east-1", "123456789012"), Random(1)), Policy())
INSTANCE = Instance(
    arn=ACCOUNT.names.arns.container_instance("default", "0" * 32),
    cluster="default",
    agent_connected=True,
    registered=Amounts(2**30, 2**30),
)
CONTAINER = {"name": "main", "image": "image", "memory": 2**20, "cpu": 10}
BASE: dict[str, dict[str, Any]] = {
    "RegisterTaskDefinition": {"family": "web", "containerDefinitions": [CONTAINER]},
    "CreateCluster": {"clusterName": "new"},
    "CreateService": {"serviceName": "s", "taskDefinition": "base", "desiredCount": 1},
    "RunTask": {"taskDefinition": "base", "launchType": "EC2"},
}
"""A request that works."""
DESCRIBED: dict[str, tuple[str, dict[str, Any], str]] = {
    "RegisterTaskDefinition": (
        "DescribeTaskDefinition",
        {"taskDefinition": "web", "include": ["TAGS"]},
        "taskDefinition",
    ),
    "CreateCluster": (
        "DescribeClusters",
        {"clusters": ["new"], "include": ["ATTACHMENTS", "CONFIGURATIONS", "SETTINGS", "STATISTICS", "TAGS"]},
        "clusters",
    ),
    "CreateService": ("DescribeServices", {"services": ["s"], "include": ["TAGS"]}, "services"),
    "RunTask": ("DescribeTasks", {"include": ["TAGS"]}, "tasks"),
}
NOT_SHOWN = {
    "RegisterTaskDefinition": {"tags"},  # beside the task definition
    "CreateCluster": set[str](),
    "CreateService": {
        "cluster",  # as clusterArn
        "clientToken",
        "role",  # as roleArn
        "taskDefinition",  # as an ARN
        "serviceConnectConfiguration",  # of the deployment
        "volumeConfigurations",  # of the deployment
        "vpcLatticeConfigurations",  # of the deployment
        "gatewayConnectors",
        "monitoring",
        "capacityProviderStrategy",
    },
    "RunTask": {
        "cluster",
        "clientToken",
        "count",
        "enableECSManagedTags",
        "networkConfiguration",  # as an attachment
        "placementConstraints",
        "placementStrategy",
        "propagateTags",
        "referenceId",
        "taskDefinition",
        "volumeConfigurations",
        "capacityProviderStrategy",
    },
}
"""Members that the described shape has in another place, or not at all."""
WORDS = st.text("abcXYZ019-_", min_size=1, max_size=8)
DEPTH_MAX = 4


@st.composite
def values(draw: DrawFn, shape: Any, depth: int = 0) -> Any:
    """Any value that the model allows for a shape, a small one."""
    if shape.type_name == "structure":
        optional = [name for name in shape.members if name not in shape.required_members]
        chosen = draw(st.sets(st.sampled_from(optional), max_size=3)) if optional and depth < DEPTH_MAX else set()
        return {
            name: draw(values(shape.members[name], depth + 1)) for name in [*shape.required_members, *sorted(chosen)]
        }
    if shape.type_name == "list":
        return draw(st.lists(values(shape.member, depth + 1), min_size=shape.metadata.get("min", 0), max_size=2))
    if shape.type_name == "map":
        return draw(st.dictionaries(WORDS, values(shape.value, depth + 1), max_size=2))
    return draw(scalars(shape))


def scalars(shape: Any) -> SearchStrategy[Any]:
    low, high = shape.metadata.get("min", 0), min(shape.metadata.get("max", 100), 100)
    if getattr(shape, "enum", None):
        return st.sampled_from(shape.enum)
    kinds: dict[str, SearchStrategy[Any]] = {
        "string": WORDS,
        "boolean": st.booleans(),
        "double": st.floats(low, high),
        "float": st.floats(low, high),
    }
    return kinds.get(shape.type_name, st.integers(low, high))


@st.composite
def requests(draw: DrawFn) -> tuple[str, dict[str, Any]]:
    operation = draw(st.sampled_from(sorted(BASE)))
    shape = ecs_shapes.service_model().operation_model(operation).input_shape
    body = dict(BASE[operation])
    for name in sorted(draw(st.sets(st.sampled_from(sorted(set(shape.members) - set(body))), min_size=1, max_size=2))):
        body[name] = draw(values(shape.members[name], 1))
    if operation == "RegisterTaskDefinition":
        container = shape.members["containerDefinitions"].member
        more = draw(st.sets(st.sampled_from(sorted(container.members)), max_size=2))
        extra = {name: draw(values(container.members[name], 2)) for name in sorted(more - {"name", "image"})}
        body["containerDefinitions"] = [{**CONTAINER, **extra}]
    return operation, body


def world() -> Draft:
    state = State()
    draft = Draft(state, now=1.0, cause="test")
    draft.put(Cluster(name="default", arn=ACCOUNT.names.arns.cluster("default")))
    draft.put(INSTANCE)
    perform(draft, "RegisterTaskDefinition", {"family": "base", "containerDefinitions": [{**CONTAINER, "memory": 10}]})
    state.apply(draft.plan(), 1)
    return Draft(state, now=2.0, cause="test")


def perform(draft: Draft, operation: str, body: dict[str, Any]) -> dict[str, Any]:
    call = Call(operation, ecs_shapes.check_request(operation, body), "id", draft.now, ACCOUNT, "http://here")
    made = READERS[operation](draft, call) if operation in READERS else WRITERS[operation](draft, call)
    answer: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(made))
    assert ecs_shapes.response_faults(operation, answer) == []
    return answer


def lost(given_: Any, shown: Any, path: str) -> list[str]:
    """Where `shown` is not all of `given_`; members more are what AWS fills in, and it chooses for a host port of 0."""
    if path.endswith(".hostPort") and given_ == 0:
        return []
    if isinstance(given_, Mapping):
        if not isinstance(shown, Mapping):
            return [path]
        return [each for name in given_ for each in lost(given_[name], shown.get(name), f"{path}.{name}")]
    if isinstance(given_, list) and given_:
        if not isinstance(shown, list) or len(shown) != len(given_):
            return [path]
        pairs = zip(given_, shown, strict=True)
        return [each for nth, (a, b) in enumerate(pairs) for each in lost(a, b, f"{path}[{nth}]")]
    return [] if given_ in (shown, []) else [f"{path}: {given_!r} became {shown!r}"]


def check(operation: str, body: dict[str, Any]) -> bool:
    """Whether the request was accepted; all of it came back if it was."""
    draft = world()
    try:
        made = perform(draft, operation, body)
    except AwsError:
        return False
    reader, members, noun = DESCRIBED[operation]
    if operation == "RunTask":
        members = {**members, "tasks": [task["taskArn"] for task in made["tasks"]]}
    answer = made if operation == "RunTask" and not made["tasks"] else perform(draft, reader, members)
    shown = answer[noun] if isinstance(answer[noun], dict) else next(iter(answer[noun]), body)
    if operation == "RegisterTaskDefinition":
        assert answer["tags"] == body.get("tags", [])
    assert lost({name: body[name] for name in body if name not in NOT_SHOWN[operation]}, shown, operation) == []
    return True


@settings(max_examples=tries(400))
@given(requests())
def test_what_is_accepted_comes_back(request: tuple[str, dict[str, Any]]) -> None:
    check(*request)


WHOLE_CONTAINER = {
    **CONTAINER,
    "command": ["a"],
    "credentialSpecs": ["credentialspec:x"],
    "dependsOn": [],
    "disableNetworking": False,
    "dnsSearchDomains": ["local"],
    "dnsServers": ["10.0.0.1"],
    "dockerLabels": {"a": "b"},
    "dockerSecurityOptions": ["no-new-privileges"],
    "entryPoint": ["sh"],
    "environment": [{"name": "A", "value": "1"}],
    "environmentFiles": [{"value": "arn:aws:s3:::bucket/web.env", "type": "s3"}],
    "essential": True,
    "extraHosts": [{"hostname": "db", "ipAddress": "10.0.0.2"}],
    "firelensConfiguration": {"type": "fluentbit", "options": {"a": "b"}},
    "healthCheck": {"command": ["CMD", "true"], "interval": 5, "timeout": 2, "retries": 3, "startPeriod": 1},
    "hostname": "web",
    "interactive": True,
    "links": [],
    "linuxParameters": {
        "capabilities": {"add": ["SYS_PTRACE"], "drop": ["MKNOD"]},
        "devices": [{"hostPath": "/dev/null", "containerPath": "/dev/x", "permissions": ["read"]}],
        "initProcessEnabled": True,
        "maxSwap": 10,
        "sharedMemorySize": 64,
        "swappiness": 60,
        "tmpfs": [{"containerPath": "/t", "size": 64, "mountOptions": ["ro"]}],
    },
    "logConfiguration": {
        "logDriver": "json-file",
        "options": {"max-size": "1m"},
        "secretOptions": [{"name": "s", "valueFrom": "arn:aws:ssm:us-east-1:1:parameter/x"}],
    },
    "memoryReservation": 100,
    "mountPoints": [{"sourceVolume": "v", "containerPath": "/v", "readOnly": True}],
    "portMappings": [
        {"containerPort": 80, "hostPort": 8080, "protocol": "tcp", "name": "http", "appProtocol": "http"},
        {"containerPortRange": "90-95", "protocol": "udp"},
    ],
    "privileged": True,
    "pseudoTerminal": True,
    "readonlyRootFilesystem": True,
    "repositoryCredentials": {"credentialsParameter": "arn:aws:secretsmanager:us-east-1:1:secret:x"},
    "resourceRequirements": [{"type": "GPU", "value": "1"}],
    "restartPolicy": {"enabled": True, "ignoredExitCodes": [0], "restartAttemptPeriod": 60},
    "secrets": [{"name": "S", "valueFrom": "arn:aws:ssm:us-east-1:1:parameter/y"}],
    "startTimeout": 10,
    "stopTimeout": 20,
    "systemControls": [{"namespace": "net.core.somaxconn", "value": "1024"}],
    "ulimits": [{"name": "nofile", "softLimit": 10, "hardLimit": 20}],
    "user": "1000:1000",
    "versionConsistency": "disabled",
    "volumesFrom": [],
    "workingDirectory": "/w",
}
ISOLATION = ecs_shapes.service_model().shape_for("TrustedExecutionConfiguration").members["isolationMode"].enum[0]
TAGS = [{"key": "team", "value": "x"}]
VPC = {"awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"], "assignPublicIp": "DISABLED"}}
WHOLE: dict[str, dict[str, Any]] = {
    "RegisterTaskDefinition": {
        "family": "web",
        "containerDefinitions": [WHOLE_CONTAINER],
        "cpu": "1 vCPU",
        "memory": "1025 GB",
        "enableFaultInjection": False,
        "ephemeralStorage": {"sizeInGiB": 21},
        "executionRoleArn": "arn:aws:iam::1:role/x",
        "inferenceAccelerators": [{"deviceName": "d", "deviceType": "t"}],
        "ipcMode": "task",
        "networkMode": "bridge",
        "pidMode": "task",
        "placementConstraints": [],
        "proxyConfiguration": {"type": "APPMESH", "containerName": "main", "properties": [{"name": "a", "value": "b"}]},
        "requiresCompatibilities": ["EC2"],
        "runtimePlatform": {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"},
        "tags": TAGS,
        "taskRoleArn": "arn:aws:iam::1:role/y",
        "volumes": [{"name": "v", "host": {"sourcePath": "/v"}}],
        "trustedExecutionConfiguration": {"isolationMode": ISOLATION},
    },
    "CreateCluster": {
        "clusterName": "new",
        "tags": TAGS,
        "settings": [{"name": "containerInsights", "value": "enhanced"}],
        "configuration": {
            "executeCommandConfiguration": {"logging": "OVERRIDE", "logConfiguration": {"cloudWatchLogGroupName": "g"}},
            "managedStorageConfiguration": {"kmsKeyId": "k"},
        },
        "capacityProviders": ["FARGATE"],
        "defaultCapacityProviderStrategy": [{"capacityProvider": "FARGATE", "weight": 1, "base": 2}],
        "serviceConnectDefaults": {"namespace": "n"},
    },
    "RunTask": {
        "taskDefinition": "base",
        "launchType": "EC2",
        "clientToken": "t",
        "cluster": "default",
        "count": 1,
        "enableECSManagedTags": False,
        "enableExecuteCommand": False,
        "group": "g",
        "overrides": {
            "containerOverrides": [{"name": "main", "command": ["x"], "cpu": 1, "memory": 9, "memoryReservation": 8}],
            "cpu": "2",
            "memory": "10",
            "executionRoleArn": "arn:aws:iam::1:role/x",
            "taskRoleArn": "arn:aws:iam::1:role/y",
        },
        "placementStrategy": [{"type": "spread", "field": "instanceId"}],
        "propagateTags": "NONE",
        "referenceId": "r",
        "startedBy": "me",
        "tags": TAGS,
    },
}


@pytest.mark.parametrize("operation", sorted(WHOLE))
def test_the_largest_request_comes_back_whole(operation: str) -> None:
    perform(world(), operation, WHOLE[operation])
    assert check(operation, WHOLE[operation])
    if operation == "RegisterTaskDefinition":
        model = ecs_shapes.service_model()
        assert set(WHOLE_CONTAINER) == set(model.shape_for("ContainerDefinition").members)
        members = set(model.operation_model(operation).input_shape.members)
        assert set(WHOLE[operation]) == members
