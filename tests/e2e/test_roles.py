"""Task roles on real containers, against a control plane that verifies signatures: protection, credentials, SDKs."""

import contextlib
import json

import boto3
import pytest
from botocore.credentials import ContainerProvider
from conftest import World
from test_endpoints import inside, variables

pytestmark = pytest.mark.docker

KEY, SECRET = "AKIDBERTHTEST", "s3cret-of-this-test"
ROLE = "arn:aws:iam::123456789012:role/worker"
PUT = """
to=${ECS_AGENT_URI#http://}; at=${to%%/*}; port=${at#*:}; [ "$port" = "$at" ] && port=80
{
printf 'PUT /%s/task-protection/v1/state HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: %d\\r\\n' "${to#*/}" ${#BODY}
printf 'Connection: close\\r\\n\\r\\n%s' "$BODY"
sleep 2
} | nc ${at%%:*} $port
"""


class KeyedWorld(World):
    keys = (KEY, SECRET)


@pytest.fixture
def keyed(tmp_path, free_port):
    """A control plane that has keys, and one host."""
    with contextlib.closing(KeyedWorld(tmp_path, free_port)) as built:
        built.start_control_plane(BERTH_ACCESS_KEY_ID=KEY, BERTH_SECRET_ACCESS_KEY=SECRET)
        built.start_agent(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET)
        built.hosts(1)
        yield built


def define(world, role=ROLE, **body):
    container = {"name": "main", "image": "berth/stubborn:latest", "cpu": 64, "memory": 64, "essential": True}
    more = {**({"taskRoleArn": role} if role else {}), **body}
    world.ecs.register_task_definition(family="job", containerDefinitions=[container], **more)
    return "job"


def protect(world, docker_id):
    """(status line, body) of what the container is told."""
    put = f"BODY='{json.dumps({'ProtectionEnabled': True})}'; {PUT}"
    out = world.until(lambda: inside(world, docker_id, put)[1], "an answer while nc still listens")
    head, _, body = out.partition("\r\n\r\n")
    return head.splitlines()[0], json.loads(body)


def asked(world, docker_id):
    code, out = inside(
        world, docker_id, 'wget -q -O - "${ECS_AGENT_URI%/api/*}$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"'
    )
    return json.loads(out) if code == 0 else {}


def test_a_services_task_protects_itself_from_inside_with_the_credentials_of_its_role(keyed, tmp_path):
    keyed.ecs.create_service(serviceName="jobs", taskDefinition=define(keyed), desiredCount=1)
    [arn] = keyed.until(lambda: keyed.ecs.list_tasks(serviceName="jobs")["taskArns"], "a task")
    docker_id = keyed.wait_task(arn, "RUNNING")["containers"][0]["runtimeId"]
    status, answer = protect(keyed, docker_id)
    assert "200" in status, answer
    assert (answer["protection"]["ProtectionEnabled"], answer["protection"]["TaskArn"]) == (True, arn)
    [shown] = keyed.ecs.get_task_protection(cluster="default", tasks=[arn])["protectedTasks"]
    assert shown["protectionEnabled"]
    found = asked(keyed, docker_id)
    assert (found["RoleArn"], found["AccessKeyId"][:4]) == (ROLE, "ASIA")
    keyed.kill("host-1")
    keyed.start_agent(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET)
    keyed.until(lambda: "Expiration" in asked(keyed, docker_id), "an agent that came back is sent them anew")
    newer = asked(keyed, docker_id)
    for file in [path for path in tmp_path.rglob("*") if path.is_file()]:
        for value in (found, newer):
            for name in ("AccessKeyId", "SecretAccessKey", "Token"):
                assert value[name].encode() not in file.read_bytes(), f"{name} is in {file}"


def test_without_a_role_protection_is_denied_as_amazons_agent_denies_it(keyed):
    _, docker_id = keyed.running(define(keyed, role=""))
    status, answer = protect(keyed, docker_id)
    assert "403" in status
    assert answer["error"]["Code"] == "AccessDeniedException"


def test_an_sdk_takes_them_from_the_loopback_in_host_mode_and_from_the_bridge_never(keyed):
    _, docker_id = keyed.running(define(keyed, networkMode="host"))
    env = variables(keyed, docker_id)
    full = env.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if full is None:
        pytest.skip("this machine has 169.254.170.2, or Docker's bridge is not there")
    assert full.startswith("http://127.0.0.1:")
    frozen = ContainerProvider({"AWS_CONTAINER_CREDENTIALS_FULL_URI": full}).load().get_frozen_credentials()
    of_role = boto3.client(
        "ecs",
        endpoint_url=keyed.endpoint,
        region_name="us-east-1",
        aws_access_key_id=frozen.access_key,
        aws_secret_access_key=frozen.secret_key,
        aws_session_token=frozen.token,
    )
    assert len(of_role.list_tasks()["taskArns"]) == 1
    with pytest.raises(of_role.exceptions.ClientError, match="AccessDeniedException"):
        of_role.stop_task(task="x")
    bridge = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": full.replace("127.0.0.1", "172.17.0.1")}
    with pytest.raises(ValueError, match="Unsupported host"):
        ContainerProvider(bridge).load()
