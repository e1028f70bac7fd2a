"""The shape of a container, one matter at a time: what goes to Docker."""

import json

import pytest

from agent.core.pause import pauses_of
from agent.core.spec import ContainerSpec, Mount, Port, TaskSpec, Volume
from agent.runtime.cgroups import NoCgroupsError, TaskCgroups, scaled
from agent.runtime.finishing import Surroundings, finish
from agent.runtime.logconfig import GROUP_LABEL, STREAM_LABEL
from agent.runtime.options import Options, TaskLimits
from agent.runtime.spec import create_config
from agent.runtime.volumes import volume_name

MIB = 1 << 20
ARN = "arn:aws:ecs:us-east-1:123456789012:task/default/0123"


def main(**more):
    return ContainerSpec(**{"name": "main", "image": "i", "essential": True, **more})


def task(*containers, **more):
    return TaskSpec(arn=ARN, family="web", version="3", containers=containers or (main(),), **more)


def finished(of, container=None, options=None, **around):
    container = container or of.containers[0]
    config = create_config(of, container, {"berth.instance": "x"})
    return finish(config, of, container, options or Options(), Surroundings(**around))


def host_of(*arguments, **around):
    return finished(*arguments, **around)["HostConfig"]


def test_a_plain_container_is_left_alone():
    of = task()
    assert finished(of) == create_config(of, of.containers[0], {"berth.instance": "x"})


def test_in_the_tasks_own_network_there_is_nothing_to_publish():
    of = task(main(ports=(Port(80, 80),)), network_mode="awsvpc")
    config = finished(of, network_holder="p" * 64)
    assert config["HostConfig"]["NetworkMode"] == "container:" + "p" * 64
    assert (config["ExposedPorts"], config["HostConfig"]["PortBindings"]) == ({}, {})


def test_the_pause_container_is_on_the_agents_network():
    of = task(network_mode="awsvpc")
    assert host_of(of, pauses_of(of)[0], network="ecs-awsvpc-1")["NetworkMode"] == "ecs-awsvpc-1"


def test_the_namespace_holder_shares_its_ipc_and_the_others_join():
    of = task(pid_mode="task", ipc_mode="task")
    holder = host_of(of, pauses_of(of)[0])
    assert (holder["NetworkMode"], holder["IpcMode"]) == ("none", "shareable")
    joined = host_of(of, namespace_holder="n1")
    assert (joined["PidMode"], joined["IpcMode"]) == ("container:n1", "container:n1")


@pytest.mark.parametrize(("member", "name"), [("pid_mode", "PidMode"), ("ipc_mode", "IpcMode")])
def test_the_hosts_namespaces(member, name):
    assert host_of(task(**{member: "host"}))[name] == "host"


def test_volumes_of_the_host_of_the_task_and_shared_ones():
    volumes = (
        Volume(name="etc", host_path="/etc"),
        Volume(name="scratch"),
        Volume(name="common", is_shared=True),
    )
    mounts = (Mount("etc", "/host", read_only=True), Mount("scratch", "/tmp/s"), Mount("common", "/c"))
    of = task(main(mounts=mounts), volumes=volumes)
    own = volume_name(of, volumes[1])
    assert own.startswith("ecs-web-3-scratch-")
    assert len(own) == len("ecs-web-3-scratch-") + 20
    assert host_of(of)["Binds"] == ["/etc:/host:ro", f"{own}:/tmp/s", "common:/c"]


@pytest.mark.parametrize("mount", [Mount("none", "/x"), Mount("v", "")])
def test_a_mount_that_names_nothing_is_refused(mount):
    with pytest.raises(ValueError, match="names no volume or no path"):
        finished(task(main(mounts=(mount,)), volumes=(Volume(name="v"),)))


def test_privileged_is_refused_where_the_host_says_so():
    of = task(main(host_config=json.dumps({"Privileged": True})))
    assert host_of(of)["Privileged"] is True
    with pytest.raises(ValueError, match=r"'main' asks to be privileged.*ECS_DISABLE_PRIVILEGED"):
        finished(of, None, Options(refuse_privileged=True))


def test_the_tasks_cgroup_is_the_parent():
    assert host_of(task(cpu_vcpus=0.5), cgroup_parent="/ecs/0123")["CgroupParent"] == "/ecs/0123"


def test_without_a_cgroup_the_containers_get_their_part():
    of = task(
        main(cpu=300, memory_mib=100),
        main(name="b", cpu=100),
        main(name="c", cpu=0),
        cpu_vcpus=1,
        memory_mib=300,
    )
    a, b, c = (scaled(of, container) for container in of.containers)
    assert a == {"CpuPeriod": 100_000, "CpuQuota": round(100_000 * 300 / 402)}
    assert b["Memory"] == c["Memory"] == 100 * MIB
    assert a["CpuQuota"] + b["CpuQuota"] + max(c["CpuQuota"] - 1000, 0) <= 100_000
    assert host_of(of)["CpuQuota"] == a["CpuQuota"]
    assert "CpuQuota" not in host_of(of, None, Options(task_limits=TaskLimits.OFF))


def test_a_tasks_cgroup_on_disk(tmp_path):
    options = Options(cgroup_root=tmp_path, pids_limit=50)
    for controller in ("cpu", "memory", "pids", "devices"):
        (tmp_path / controller).mkdir()
    cgroups = TaskCgroups.of_host(options, engine_is_v1=True)
    of = task(main(cpu=10), cpu_vcpus=0.5, memory_mib=64)
    cgroups.make(of)
    read = {p.relative_to(tmp_path).as_posix(): p.read_text() for p in tmp_path.rglob("*") if p.is_file()}
    assert read == {
        "cpu/ecs/0123/cpu.cfs_period_us": "100000",
        "cpu/ecs/0123/cpu.cfs_quota_us": "50000",
        "cpu/ecs/0123/cpu.shares": "512",
        "memory/ecs/0123/memory.limit_in_bytes": str(64 * MIB),
        "pids/ecs/0123/pids.max": "50",
    }
    assert cgroups.parent(of) == "/ecs/0123"


def test_a_host_without_cgroups_of_its_own_to_make(tmp_path):
    assert TaskCgroups.of_host(Options(cgroup_root=tmp_path), engine_is_v1=False) is None
    assert TaskCgroups.of_host(Options(cgroup_root=tmp_path / "none"), engine_is_v1=True) is None
    with pytest.raises(NoCgroupsError, match="ECS_ENABLE_TASK_CPU_MEM_LIMIT=true cannot be kept"):
        TaskCgroups.of_host(Options(cgroup_root=tmp_path, task_limits=TaskLimits.ON), engine_is_v1=False)


def log(driver, **options):
    return json.dumps({"LogConfig": {"Type": driver, "Config": options}})


def test_awslogs_is_a_local_file_and_two_labels():
    options = {"awslogs-group": "/ecs/web", "awslogs-stream-prefix": "app", "awslogs-region": "us-east-1"}
    config = finished(task(main(host_config=log("awslogs", **options))))
    assert config["HostConfig"]["LogConfig"]["Type"] == "json-file"
    assert config["Labels"][GROUP_LABEL] == "/ecs/web"
    assert config["Labels"][STREAM_LABEL] == "app/main/0123"


def test_every_other_driver_passes_through_with_its_secret_options():
    of = task(main(host_config=log("splunk", url="u")))
    config = finished(of, log_options={"splunk-token": "t"})
    assert config["HostConfig"]["LogConfig"] == {"Type": "splunk", "Config": {"url": "u", "splunk-token": "t"}}


def test_what_the_definition_says_itself_goes_before_what_was_looked_up():
    of = task(main(environment={"A": "1"}))
    assert finished(of, environment={"A": "2", "B": "3"})["Env"] == ["A=1", "B=3"]
