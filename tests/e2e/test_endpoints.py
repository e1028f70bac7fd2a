"""Endpoints on real containers: busybox's wget reads the container's own metadata, and nobody else's."""

import json

import pytest

pytestmark = pytest.mark.docker


def inside(world, docker_id, command):
    """(exit code, what it printed) of a shell command in a container."""
    started = world.docker.exec_create(docker_id, ["sh", "-c", command])
    out = world.docker.exec_start(started["Id"])
    # Docker may know the end of the output before it knows the end of the command.
    ended = world.until(
        lambda: not (found := world.docker.exec_inspect(started["Id"]))["Running"] and found, "the command has ended"
    )
    return ended["ExitCode"], out.decode()


def read(world, docker_id, path, variable="ECS_CONTAINER_METADATA_URI_V4"):
    code, out = inside(world, docker_id, f'wget -q -O - "${variable}{path}"')
    assert code == 0, out
    return json.loads(out)


def variables(world, docker_id):
    pairs = world.docker.inspect_container(docker_id)["Config"]["Env"]
    return dict(pair.split("=", 1) for pair in pairs)


def test_a_container_reads_its_own_metadata_and_no_other(host):
    definition = host.define(cpu=100, memory=64, portMappings=[{"containerPort": 80}])
    (arn, docker_id), (_, other) = host.running(definition), host.running(definition)
    for variable in ("ECS_CONTAINER_METADATA_URI", "ECS_CONTAINER_METADATA_URI_V4"):
        own = read(host, docker_id, "", variable)
        assert (own["DockerId"], own["KnownStatus"]) == (docker_id, "RUNNING")
        address = host.docker.inspect_container(docker_id)["NetworkSettings"]["IPAddress"]
        assert own["Networks"] == [{"NetworkMode": "bridge", "IPv4Addresses": [address]}]
        assert own["Ports"][0]["HostPort"] == host.task(arn)["containers"][0]["networkBindings"][0]["hostPort"]
        whole = read(host, docker_id, "/task", variable)
        assert (whole["TaskARN"], whole["KnownStatus"]) == (arn, "RUNNING")
        assert [container["DockerId"] for container in whole["Containers"]] == [docker_id]
    assert read(host, docker_id, "")["ContainerARN"] == host.task(arn)["containers"][0]["containerArn"]
    assert read(host, docker_id, "/stats")["memory_stats"]["usage"] > 0
    assert read(host, docker_id, "/taskWithTags")["TaskARN"] == arn
    code, out = inside(host, docker_id, "wget -O - $ECS_CONTAINER_METADATA_URI_V4/../00000000-0000 2>&1")
    assert code != 0, "a guess"
    assert "404" in out
    foreign = variables(host, other)["ECS_CONTAINER_METADATA_URI_V4"]
    code, out = inside(host, docker_id, f"wget -O - {foreign} 2>&1")
    assert code != 0, "the right id, from another task's address"
    assert "404" in out
    assert read(host, other, "")["DockerId"] == other


def test_a_task_without_a_role_is_told_so_by_task_protection(host):
    _, docker_id = host.running(host.define(cpu=100, memory=64))
    code, out = inside(host, docker_id, "wget -O - $ECS_AGENT_URI/task-protection/v1/state 2>&1")
    assert code != 0
    assert "403" in out


def test_the_addresses_outlive_the_agent(host):
    definition = host.define(cpu=100, memory=64)
    _, docker_id = host.running(definition)
    host.kill("host-1")
    host.start_agent(ECS_CONTAINER_STOP_TIMEOUT="3s")
    host.until(lambda: inside(host, docker_id, "wget -q -O - $ECS_CONTAINER_METADATA_URI_V4")[0] == 0, "an answer")
    assert read(host, docker_id, "")["DockerId"] == docker_id


def test_two_agents_on_one_engine_have_ports_of_their_own_and_take_them_from_what_they_offer(host):
    host.start_agent("host-2")
    definition = host.define(cpu=100, memory=64)
    ports = set()
    for instance in host.hosts(2):
        reserved = next(r for r in instance["registeredResources"] if r["name"] == "PORTS")["stringSetValue"]
        started = host.ecs.start_task(taskDefinition=definition, containerInstances=[instance["containerInstanceArn"]])
        docker_id = host.wait_task(started["tasks"][0]["taskArn"], "RUNNING")["containers"][0]["runtimeId"]
        port = variables(host, docker_id)["ECS_AGENT_URI"].split("/")[2].partition(":")[2]
        assert port in reserved
        ports.add(port)
        assert read(host, docker_id, "")["DockerId"] == docker_id
    assert len(ports) == 2


def test_region_and_metadata_file(world):
    world.start_agent(ECS_ENABLE_CONTAINER_METADATA="true")
    world.hosts(1)
    arn, docker_id = world.running(world.define(cpu=100, memory=64))
    env = variables(world, docker_id)
    assert (env["AWS_REGION"], env["AWS_DEFAULT_REGION"]) == ("us-east-1", "us-east-1")
    code, out = inside(world, docker_id, "cat $ECS_CONTAINER_METADATA_FILE")
    assert code == 0
    members = json.loads(out)
    assert (members["TaskARN"], members["ContainerID"], members["ContainerName"]) == (arn, docker_id, "main")
    assert members["MetadataFileStatus"] == "READY"
    _, own = world.running(world.define(cpu=100, memory=64, environment={"AWS_REGION": "eu-west-1"}))
    assert variables(world, own)["AWS_REGION"] == "eu-west-1"
    assert "AWS_DEFAULT_REGION" not in variables(world, own)
