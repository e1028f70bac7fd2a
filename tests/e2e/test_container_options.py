"""What a task definition says about its containers, as `docker inspect` shows it on real ones."""

from pathlib import Path

import pytest
from definitions import STUBBORN, container, of_task, running, said, stopped
from docker_events import CLOCKS_SECONDS

pytestmark = pytest.mark.docker

MIB = 1 << 20
AWSVPC = {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}

EVERYTHING = {
    "cpu": 128,
    "memory": 64,
    "memoryReservation": 48,
    "entryPoint": ["/bin/sh", "-c"],
    "command": ["exec stubborn"],
    "user": "12:34",
    "workingDirectory": "/tmp",
    "hostname": "quay",
    "readonlyRootFilesystem": True,
    "pseudoTerminal": True,
    "interactive": True,
    "privileged": False,
    "dnsServers": ["10.0.0.2"],
    "dnsSearchDomains": ["example.net"],
    "extraHosts": [{"hostname": "db", "ipAddress": "10.0.0.9"}],
    "dockerLabels": {"team": "harbour"},
    "dockerSecurityOptions": ["no-new-privileges"],
    "ulimits": [{"name": "nofile", "softLimit": 100, "hardLimit": 200}],
    "systemControls": [{"namespace": "net.core.somaxconn", "value": "77"}],
    "logConfiguration": {"logDriver": "json-file", "options": {"max-size": "1m"}},
    "mountPoints": [{"sourceVolume": "etc", "containerPath": "/mnt", "readOnly": True}],
    "linuxParameters": {
        "initProcessEnabled": True,
        "sharedMemorySize": 8,
        "maxSwap": 16,
        "swappiness": 7,
        "capabilities": {"add": ["NET_ADMIN"], "drop": ["MKNOD"]},
        "tmpfs": [{"containerPath": "/run", "size": 5, "mountOptions": ["noexec"]}],
        "devices": [{"hostPath": "/dev/null", "containerPath": "/dev/nothing", "permissions": ["read", "write"]}],
    },
}


def test_everything_at_once_is_in_dockers_own_record(host):
    volumes = [{"name": "etc", "host": {"sourcePath": "/etc"}}]
    _, shown = running(host, container(**EVERYTHING), volumes=volumes)
    config, of_host = shown["main"]["Config"], shown["main"]["HostConfig"]
    expected = {
        "Entrypoint": ["/bin/sh", "-c"],
        "Cmd": ["exec stubborn"],
        "User": "12:34",
        "WorkingDir": "/tmp",
        "Hostname": "quay",
        "Tty": True,
        "OpenStdin": True,
    }
    assert {name: config[name] for name in expected} == expected
    assert config["Labels"]["team"] == "harbour"
    expected = {
        "CpuShares": 128,
        "Memory": 64 * MIB,
        "MemoryReservation": 48 * MIB,
        "ReadonlyRootfs": True,
        "Privileged": False,
        "Dns": ["10.0.0.2"],
        "DnsSearch": ["example.net"],
        "ExtraHosts": ["db:10.0.0.9"],
        "SecurityOpt": ["no-new-privileges"],
        "Ulimits": [{"Name": "nofile", "Soft": 100, "Hard": 200}],
        "Sysctls": {"net.core.somaxconn": "77"},
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}},
        "Binds": ["/etc:/mnt:ro"],
        "Init": True,
        "ShmSize": 8 * MIB,
        "MemorySwap": 80 * MIB,
        "MemorySwappiness": 7,
        "CapAdd": ["NET_ADMIN"],
        "CapDrop": ["MKNOD"],
        "Tmpfs": {"/run": "noexec,size=5m"},
        "Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/nothing", "CgroupPermissions": "rw"}],
        "NetworkMode": "bridge",
    }
    assert {name: of_host[name] for name in expected} == expected
    assert "77" in said(host, shown["main"]["Id"], "cat", "/proc/sys/net/core/somaxconn")


def test_privileged_runs_and_is_refused_where_the_host_refuses_it(world):
    world.start_agent(ECS_DISABLE_PRIVILEGED="true")
    world.hosts(1)
    reason = stopped(world, container(privileged=True))["stoppedReason"]
    assert "'main' asks to be privileged" in reason
    assert "ECS_DISABLE_PRIVILEGED" in reason
    _, shown = running(world, container())
    assert shown["main"]["HostConfig"]["Privileged"] is False


def test_a_tasks_own_size_is_a_cgroup_that_goes_with_it(world):
    world.start_agent(ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION="1s")
    world.hosts(1)
    if not Path("/sys/fs/cgroup/cpu/docker").exists():
        pytest.skip("no cgroup v1 that we may write")
    unlimited = {"memory": 0, "memoryReservation": 8}
    task, shown = running(world, container(**unlimited), container("side", **unlimited), cpu="256", memory="64")
    parent = "/ecs/" + task.rsplit("/", 1)[-1]
    assert {c["HostConfig"]["CgroupParent"] for c in shown.values()} == {parent}
    assert Path(f"/sys/fs/cgroup/cpu{parent}/cpu.cfs_quota_us").read_text() == "25000\n"
    assert Path(f"/sys/fs/cgroup/memory{parent}/memory.limit_in_bytes").read_text() == f"{64 * MIB}\n"
    assert Path(f"/sys/fs/cgroup/memory{parent}/{shown['main']['Id']}").is_dir()
    world.ecs.stop_task(task=task)
    world.wait_task(task, "STOPPED")
    world.until(lambda: not list(Path("/sys/fs/cgroup").glob("*" + parent)), "the task's cgroup is removed")


def test_a_host_that_makes_no_cgroups_divides_the_size_among_the_containers(world, tmp_path):
    world.start_agent(ECS_CGROUP_PATH=str(tmp_path / "none"))
    world.hosts(1)
    _, shown = running(
        world, container(cpu=300), container("side", cpu=100, memory=0, memoryReservation=8), cpu="512", memory="128"
    )
    quotas = {name: c["HostConfig"]["CpuQuota"] for name, c in shown.items()}
    assert quotas == {"main": 37500, "side": 12500}
    assert shown["side"]["HostConfig"]["Memory"] == 96 * MIB
    assert shown["main"]["HostConfig"]["CgroupParent"] == ""


def test_a_host_that_is_told_to_make_cgroups_and_cannot_ends_with_one_sentence(world, tmp_path):
    world.start_agent("strict", ECS_ENABLE_TASK_CPU_MEM_LIMIT="true", ECS_CGROUP_PATH=str(tmp_path / "none"))
    process = world.processes.pop("strict")
    assert process.wait(30) == 5
    log = (world.path / "strict.log").read_text()
    assert "ECS_ENABLE_TASK_CPU_MEM_LIMIT=true cannot be kept on this host" in log
    assert "Traceback" not in log


def test_the_tasks_and_the_hosts_pid_and_ipc(host):
    task, shown = running(host, container(), container("side"), pidMode="task", ipcMode="task")
    [pause] = [c for c in of_task(host, task) if c["Labels"]["com.amazonaws.ecs.container-name"].startswith("~")]
    for inspected in shown.values():
        assert inspected["HostConfig"]["PidMode"] == inspected["HostConfig"]["IpcMode"] == f"container:{pause['Id']}"
    assert said(host, shown["main"]["Id"], "ps").count("stubborn") >= 2
    host.ecs.stop_task(task=task)
    ended = host.wait_task(task, "STOPPED")
    assert {c["name"]: c["exitCode"] for c in ended["containers"]} == {"main": 0, "side": 0}
    _, shown = running(host, container(), pidMode="host", ipcMode="host")
    assert (shown["main"]["HostConfig"]["PidMode"], shown["main"]["HostConfig"]["IpcMode"]) == ("host", "host")


# ---- networks ---------------------------------------------------------------------------------------------------


def test_bridge_none_and_host(host):
    for mode in ("bridge", "none", "host"):
        _, shown = running(host, container(), networkMode=mode)
        assert shown["main"]["HostConfig"]["NetworkMode"] == mode


def test_awsvpc_each_task_has_an_address_that_its_containers_share(world):
    world.start_agent(ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION="1s", ECS_CONTAINER_STOP_TIMEOUT="3s")
    world.hosts(1)
    web = container(
        "web", command=["sh", "-c", "echo moored >/tmp/index.html; exec httpd -f -p 80 -h /tmp"], stopTimeout=1
    )
    web["portMappings"] = [{"containerPort": 80}]
    run = {"networkConfiguration": AWSVPC}
    first, shown = running(world, web, container("side"), networkMode="awsvpc", run=run)
    second, others = running(world, web, container("side"), networkMode="awsvpc", run=run)

    described = [world.task(task) for task in (first, second)]
    addresses = []
    for row in described:
        [attachment] = row["attachments"]
        details = {d["name"]: d["value"] for d in attachment["details"]}
        assert (attachment["type"], attachment["status"]) == ("ElasticNetworkInterface", "ATTACHED")
        assert details["subnetId"] == "subnet-1"
        addresses.append(details["privateIPv4Address"])
        for c in row["containers"]:
            assert c["networkInterfaces"] == [
                {"attachmentId": attachment["id"], "privateIpv4Address": details["privateIPv4Address"]}
            ]
            assert c["networkBindings"] == []
    assert len(set(addresses)) == 2

    side = shown["side"]["Id"]
    world.until(lambda: "moored" in said(world, side, "wget", "-qO-", "http://127.0.0.1/"), "127.0.0.1 is shared")
    assert "moored" in said(world, side, "wget", "-qO-", f"http://{addresses[1]}/")
    [pause] = [c for c in of_task(world, first) if c["Labels"]["com.amazonaws.ecs.container-name"].startswith("~")]
    assert {c["HostConfig"]["NetworkMode"] for c in shown.values()} == {f"container:{pause['Id']}"}
    assert {c["name"] for c in described[0]["containers"]} == {"web", "side"}

    [network] = pause["NetworkSettings"]["Networks"]
    for task in (first, second):
        world.ecs.stop_task(task=task)
    ended = world.wait_task(first, "STOPPED")
    world.wait_task(second, "STOPPED")
    assert ended["attachments"][0]["status"] == "DELETED"
    last = max(world.events.at("die", c["Id"]) for c in shown.values())
    assert world.events.at("die", pause["Id"]) > last - CLOCKS_SECONDS
    assert world.events.at("start", pause["Id"]) < min(world.events.at("create", c["Id"]) for c in shown.values())
    world.until(lambda: not of_task(world, first) and not of_task(world, second), "pause containers are removed")
    world.until(lambda: not world.docker.networks(names=[network]), "nobody needs the network: it is removed")
    assert others


def test_awsvpc_goes_on_when_the_agent_is_killed(host):
    run = {"networkConfiguration": AWSVPC}
    task, shown = running(host, container(stopTimeout=1), networkMode="awsvpc", run=run)
    address = host.task(task)["containers"][0]["networkInterfaces"]
    host.kill("host-1")
    host.start_agent()
    host.hosts(1)
    host.ecs.stop_task(task=task)
    host.kill("host-1")
    host.start_agent()
    ended = host.wait_task(task, "STOPPED")
    assert [c["exitCode"] for c in ended["containers"]] == [0]
    assert ended["containers"][0]["networkInterfaces"] == address
    [pause] = [c for c in of_task(host, task) if c["Labels"]["com.amazonaws.ecs.container-name"].startswith("~")]
    assert host.events.at("die", pause["Id"]) > host.events.at("die", shown["main"]["Id"]) - CLOCKS_SECONDS


def test_a_pause_container_killed_behind_our_back_ends_the_task_with_a_reason(host):
    run = {"networkConfiguration": AWSVPC}
    task, _ = running(host, container(), networkMode="awsvpc", run=run)
    [pause] = [c for c in of_task(host, task) if c["Labels"]["com.amazonaws.ecs.container-name"].startswith("~")]
    host.docker.kill(pause["Id"])
    ended = host.wait_task(task, "STOPPED")
    assert [c["name"] for c in ended["containers"]] == ["main"]
    assert ended["containers"][0]["exitCode"] == 0
    assert (ended["stopCode"], ended["stoppedReason"]) == (
        "EssentialContainerExited",
        "TaskEngineError: The container that holds the task's namespaces has ended",
    )


def test_awsvpc_needs_a_network_configuration(host):
    host.ecs.register_task_definition(family="vpc", networkMode="awsvpc", containerDefinitions=[container()])
    refused = host.ecs.exceptions.InvalidParameterException
    with pytest.raises(refused, match="Network Configuration must be provided when networkMode 'awsvpc' is specified"):
        host.run_task("vpc")
    with pytest.raises(refused, match="Network Configuration must be provided"):
        host.ecs.create_service(serviceName="s", taskDefinition="vpc", desiredCount=1)
    with pytest.raises(refused, match="subnets can not be empty"):
        host.run_task("vpc", networkConfiguration={"awsvpcConfiguration": {"subnets": []}})


def test_awsvpc_in_a_service(host):
    host.ecs.register_task_definition(family="vpc", networkMode="awsvpc", containerDefinitions=[container()])
    host.ecs.create_service(serviceName="s", taskDefinition="vpc", desiredCount=1, networkConfiguration=AWSVPC)
    [task] = host.until(lambda: host.ecs.list_tasks(serviceName="s")["taskArns"], "the service has a task")
    shown = host.wait_task(task, "RUNNING")
    assert shown["containers"][0]["networkInterfaces"][0]["privateIpv4Address"]
    host.ecs.update_service(service="s", desiredCount=0)
    host.wait_task(task, "STOPPED")


def test_without_the_pause_image_the_task_says_what_to_do(world):
    world.start_agent(BERTH_PAUSE_IMAGE="berth/no-such:image")
    world.hosts(1)
    ended = stopped(world, container(), networkMode="awsvpc", run={"networkConfiguration": AWSVPC})
    assert "there is no image berth/no-such:image on this host" in ended["stoppedReason"]


# ---- volumes ----------------------------------------------------------------------------------------------------


def volumes_of(host, name):
    return [v["Name"] for v in host.docker.volumes({"name": name})["Volumes"] or ()]


def test_volumes_of_the_host_of_the_task_and_shared(world, tmp_path):
    world.start_agent(ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION="1s", ECS_CONTAINER_STOP_TIMEOUT="3s")
    world.hosts(1)
    (tmp_path / "cargo").write_text("grain")
    shared = f"berth-{world.run}"
    mounts = [
        {"sourceVolume": "hold", "containerPath": "/hold", "readOnly": True},
        {"sourceVolume": "scratch", "containerPath": "/scratch"},
        {"sourceVolume": "anonymous", "containerPath": "/anonymous"},
        {"sourceVolume": shared, "containerPath": "/shared"},
    ]
    volumes = [
        {"name": "hold", "host": {"sourcePath": str(tmp_path)}},
        {"name": "scratch", "dockerVolumeConfiguration": {"scope": "task", "driver": "local", "labels": {"a": "b"}}},
        {"name": "anonymous"},
        {"name": shared, "dockerVolumeConfiguration": {"scope": "shared", "autoprovision": True}},
    ]
    try:
        task, shown = running(
            world, container(mountPoints=mounts), container("side", mountPoints=mounts[1:2]), volumes=volumes
        )
        main, side = shown["main"]["Id"], shown["side"]["Id"]
        assert said(world, main, "cat", "/hold/cargo") == "grain"
        assert "Read-only" in said(world, main, "touch", "/hold/more")
        said(world, main, "sh", "-c", "echo wine >/scratch/barrel; echo rope >/shared/deck")
        assert said(world, side, "cat", "/scratch/barrel") == "wine\n"
        [name] = volumes_of(world, "ecs-opt-1-scratch-")
        labels = world.docker.inspect_volume(name)["Labels"]
        assert (labels["a"], labels["com.amazonaws.ecs.task-arn"]) == ("b", task)
        world.ecs.stop_task(task=task)
        world.wait_task(task, "STOPPED")
        world.until(lambda: not volumes_of(world, name), "the task's volume is removed")
        assert volumes_of(world, shared) == [shared]
        _, again = running(world, container(mountPoints=mounts[3:]), volumes=volumes[3:])
        assert said(world, again["main"]["Id"], "cat", "/shared/deck") == "rope\n"
    finally:
        for c in world.docker.containers(all=True, filters={"volume": shared}):
            world.docker.remove_container(c["Id"], force=True)
        world.docker.remove_volume(shared)


def test_a_shared_volume_that_is_not_there_and_not_to_be_made(host):
    volume = {"name": "nowhere-berth", "dockerVolumeConfiguration": {"scope": "shared"}}
    mounts = [{"sourceVolume": "nowhere-berth", "containerPath": "/x"}]
    ended = stopped(host, container(mountPoints=mounts), volumes=[volume])
    assert ended["stopCode"] == "TaskFailedToStart"
    assert ended["stoppedReason"].startswith("CannotCreateVolumeError: ")
    assert volumes_of(host, "nowhere-berth") == []


def test_what_a_forgotten_task_left_behind_is_removed_by_the_next_agent(world):
    """As if the agent had been killed between forgetting a task and removing its things."""
    world.start_agent()
    [instance] = world.hosts(1)
    labels = {"berth.instance": instance["containerInstanceArn"], "berth.run": world.run}
    task = {"com.amazonaws.ecs.task-arn": "arn:forgotten"}
    name = f"ecs-left-{world.run}"
    world.docker.create_volume(name, labels=labels | task)
    world.docker.create_container(STUBBORN, name=name, labels=labels | task)
    kept, _ = running(world, container())
    world.kill("host-1")
    world.start_agent()
    world.hosts(1)
    world.until(lambda: not volumes_of(world, name), "the volume is removed")
    world.until(lambda: not world.docker.containers(all=True, filters={"name": name}), "the container is removed")
    assert world.task(kept)["lastStatus"] == "RUNNING"
