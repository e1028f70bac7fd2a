"""GPUs on the host: where they are read from, who gets them, and who waits for them."""

import contextlib
import json

import msgspec
import pytest
from scripted_host import RUN, Machine, host_test

from agent import daemon
from agent.backend.responders import VISIBLE_GPUS, _desired
from agent.config import ConfigError, read
from agent.core.spec import ContainerSpec, cost
from agent.journal import Journal
from agent.runtime.finishing import Surroundings, finish
from agent.runtime.options import Options
from agent.runtime.spec import create_config
from wire.resources import Amounts
from wire.status import DesiredStatus

BASE = {"ECS_BACKEND_HOST": "http://127.0.0.1:6333"}
TWO = {"DriverVersion": "550.54.15", "GPUIDs": ["GPU-1", "GPU-2"]}


def registration(tmp_path, **environment):
    config = read({**BASE, **environment})
    with contextlib.closing(Journal(tmp_path)) as journal:
        found = daemon._gpus(config, journal)
        registered = daemon._registered(config, frozenset(), found.ids)
    return found, registered


def test_the_file_of_amazons_agent_is_registered_where_it_is_asked_for(tmp_path):
    path = tmp_path / "info.json"
    path.write_text(json.dumps(TWO))
    found, registered = registration(tmp_path, ECS_ENABLE_GPU_SUPPORT="true", BERTH_GPU_FILE=str(path))
    assert (found.driver_version, registered.gpus, sorted(registered.gpu_ids)) == ("550.54.15", 2, TWO["GPUIDs"])
    assert registration(tmp_path, BERTH_GPU_FILE=str(path))[1].gpus == 0


def test_without_the_file_it_goes_on_and_with_a_broken_one_it_does_not(tmp_path, caplog):
    path = tmp_path / "info.json"
    environment = {"ECS_ENABLE_GPU_SUPPORT": "true", "BERTH_GPU_FILE": str(path)}
    assert registration(tmp_path, **environment)[1].gpus == 0
    assert f"there is no {path}" in caplog.text
    path.write_text("[")
    with pytest.raises(ConfigError, match="cannot be read from"):
        registration(tmp_path, **environment)


def test_a_declared_type_plays_its_gpus_under_names_of_its_own(tmp_path):
    type_ = {"BERTH_INSTANCE_TYPE": "g4dn.12xlarge"}
    once = registration(tmp_path / "a", **type_)[1]
    assert (once.cpu, once.gpus, len(once.gpu_ids)) == (49152, 4, 4)
    assert registration(tmp_path / "a", **type_)[1] == once
    assert not registration(tmp_path / "b", **type_)[1].gpu_ids & once.gpu_ids


def desired(*associations):
    containers = [{"name": "main", "image": "i", "environment": {VISIBLE_GPUS: "all"}}, {"name": "other", "image": "i"}]
    task = {"arn": "t", "desiredStatus": "RUNNING", "containers": containers, "associations": list(associations)}
    return _desired(msgspec.Raw(json.dumps(task).encode()), "m")


def gpu(name, *containers):
    return {"name": name, "type": "gpu", "containers": list(containers)}


def test_a_payload_tells_each_container_its_gpus():
    spec = desired(gpu("GPU-1", "main"), gpu("GPU-2", "main"), {"name": "e", "type": "elastic-inference"}).spec
    main, other = spec.containers
    assert (main.gpu_ids, main.environment) == (("GPU-1", "GPU-2"), {VISIBLE_GPUS: "GPU-1,GPU-2"})
    assert (other.gpu_ids, other.environment) == ((), {})
    assert cost(spec) == Amounts(gpus=2, gpu_ids=frozenset({"GPU-1", "GPU-2"}))


@pytest.mark.parametrize("containers", [(), ("main", "other"), ("third",)])
def test_a_gpu_belongs_to_one_container(containers):
    refused = desired(gpu("GPU-1", *containers))
    assert refused.spec is None
    assert refused.desired is DesiredStatus.RUNNING
    assert "GPU GPU-1 is for" in refused.refusal


def test_the_runtime_for_gpus_is_for_who_has_some():
    spec = desired(gpu("GPU-1", "main")).spec
    around = Surroundings(gpu_runtime="nvidia")
    said = [
        finish(create_config(spec, container, {}), spec, container, Options(), around)["HostConfig"].get("Runtime")
        for container in spec.containers
    ]
    assert said == ["nvidia", None]


def using(*ids):
    return ContainerSpec(name="main", image="i", essential=True, gpu_ids=ids, environment={"QUIT_SECONDS": "5"})


@host_test
async def test_who_is_given_the_gpu_of_a_stopping_task_waits_for_it(tmp_path):
    host = Machine(tmp_path, gpus=("GPU-1", "GPU-2"))
    backend = await host.boot()
    await host.run("old", using("GPU-1"))
    await backend.wait_for("old", "RUNNING")
    await host.stop("old")
    await host.run("next", using("GPU-1"))
    await host.run("never", using("GPU-9"))
    ended = await backend.wait_for("old", "STOPPED")
    assert await backend.wait_for("next", "RUNNING") > ended
    await backend.wait_for("never", "STOPPED")
    assert "RESOURCE:GPU" in host.engine.task("never").reason
    assert host.engine.task("next").desired is RUN
    await host.kill()
