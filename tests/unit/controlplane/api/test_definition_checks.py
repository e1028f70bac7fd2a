"""What a registration may not say about volumes, network, secrets, logs and Linux parameters."""

import pytest

from controlplane.api.definition_checks import check_rest
from controlplane.api.network import check
from wire.errors import ClientException, InvalidParameterException

VPC = {"networkMode": "awsvpc"}


def body(container=None, **more):
    return {"containerDefinitions": [{"name": "main", "memory": 9, **(container or {})}], **more}


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        (body({"mountPoints": [{"sourceVolume": "v", "containerPath": "/x"}]}), "Unknown volume 'v'"),
        (body({"mountPoints": [{"sourceVolume": "v"}]}, volumes=[{"name": "v"}]), "needs a 'containerPath'"),
        (body(volumes=[{"name": "v"}, {"name": "v"}]), "must be unique"),
        (body(volumes=[{}]), r"Volume\.name"),
        (body(volumes=[{"name": "v", "dockerVolumeConfiguration": {"autoprovision": True}}]), "scope shared"),
        (body(volumes=[{"name": "v", "host": {}, "dockerVolumeConfiguration": {}}]), "not both"),
        (
            body({"environment": [{"name": "A"}], "secrets": [{"name": "A", "valueFrom": "x"}]}),
            "The secret name must be unique",
        ),
        (body({"environmentFiles": [{"value": "arn:aws:s3:::b/x.txt", "type": "s3"}]}), "ends with '.env'"),
        (body({"logConfiguration": {"logDriver": "awslogs"}}), "awslogs requires options"),
        (body({"linuxParameters": {"swappiness": 101}}), "between 0 and 100"),
        (body({"linuxParameters": {"maxSwap": -1}}), "must not be negative"),
        (body({"memory": 0, "linuxParameters": {"maxSwap": 1}}), "needs a hard limit"),
        (body({"hostname": "h"}, **VPC), "'hostname' is not supported"),
        (body({"extraHosts": [{}]}, **VPC), "'extraHosts' is not supported"),
        (body({"portMappings": [{"containerPort": 80, "hostPort": 81}]}, **VPC), "must match"),
    ],
)
def test_what_cannot_be_run_as_it_says_is_refused(definition, said):
    with pytest.raises(ClientException, match=said) as refused:
        check_rest(definition)
    assert refused.value.message.endswith(".")


def test_what_can_be_is_not():
    check_rest(body({"portMappings": [{"containerPort": 80, "hostPort": 80}]}, **VPC))
    check_rest(body({"hostname": "h", "linuxParameters": {"maxSwap": 0, "swappiness": 100}}))
    check_rest(body(volumes=[{"name": "v", "dockerVolumeConfiguration": {"scope": "shared", "autoprovision": True}}]))


@pytest.mark.parametrize(
    ("definition", "configuration", "said"),
    [
        (VPC, None, "Network Configuration must be provided when networkMode 'awsvpc' is specified."),
        (VPC, {}, "Network Configuration must be provided when networkMode 'awsvpc' is specified."),
        (VPC, {"awsvpcConfiguration": {"subnets": []}}, "subnets can not be empty."),
        (VPC, {"awsvpcConfiguration": {"subnets": ["s"] * 17}}, "subnets should have at most 16 elements."),
        (
            VPC,
            {"awsvpcConfiguration": {"subnets": ["s"], "securityGroups": ["g"] * 6}},
            "securityGroups should have at most 5 elements.",
        ),
        (
            VPC,
            {"awsvpcConfiguration": {"subnets": ["s"], "assignPublicIp": "ENABLED"}},
            "Assign public IP is not supported for this launch type.",
        ),
        (
            {},
            {"awsvpcConfiguration": {"subnets": ["s"]}},
            "Network Configuration is not valid for the given networkMode of this task definition.",
        ),
    ],
)
def test_the_network_configuration_fits_the_network_mode(definition, configuration, said):
    with pytest.raises(InvalidParameterException) as refused:
        check(definition, configuration)
    assert refused.value.message == said


def test_a_network_configuration_that_fits():
    check(VPC, {"awsvpcConfiguration": {"subnets": ["s"]}})
    check({"networkMode": "bridge"}, None)
