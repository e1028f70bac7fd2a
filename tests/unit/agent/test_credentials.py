"""Credentials of registries, and how a container's life crosses the wire."""

import base64
import json

import pytest

from agent.backend.container_life import life
from agent.config import read
from agent.core.pulling import PullBehavior
from agent.core.spec import Condition, Dependency, RegistryAuthentication, RestartPolicy, VolumesFrom
from agent.runtime.credentials import Logins, host_of, read_engine_auth
from agent.runtime.port import Login, RuntimeCallError
from agent.runtime.secrets import Secrets
from wire import acs_shapes

BASE = {"ECS_BACKEND_HOST": "http://127.0.0.1:6333"}
PLAIN = json.dumps({"https://index.docker.io/v1/": {"username": "u", "password": "p:q", "email": "e@x"}})
CFG = json.dumps({"https://quay.io": {"auth": base64.b64encode(b"u:p:q").decode(), "email": "e@x"}})


@pytest.mark.parametrize(
    ("image", "host"),
    [
        ("busybox", "index.docker.io"),
        ("me/app:1", "index.docker.io"),
        ("docker.io/me/app", "index.docker.io"),
        ("quay.io/me/app", "quay.io"),
        ("localhost/app", "localhost"),
        ("localhost:5000/app", "localhost:5000"),
    ],
)
def test_the_registry_of_an_image(image, host):
    assert host_of(image) == host


async def test_the_agents_own_credentials_go_to_their_registry_alone():
    docker = Logins(read_engine_auth("docker", PLAIN))
    assert await docker.login_of("busybox", None) == Login("u", "p:q")
    assert await docker.login_of("quay.io/me/app", None) is None
    assert await Logins(read_engine_auth("dockercfg", CFG)).login_of("quay.io/a/b", None) == Login("u", "p:q")


@pytest.mark.parametrize(
    ("kind", "text"), [("docker", "{"), ("docker", '{"h":{"username":"secret"}}'), ("dockercfg", CFG[:-9]), ("x", "{}")]
)
def test_bad_credentials_are_a_warning_that_says_nothing_of_them(kind, text):
    config = read({**BASE, "ECS_ENGINE_AUTH_TYPE": kind, "ECS_ENGINE_AUTH_DATA": text})
    assert config.engine_auth == {}
    [warning] = config.warnings
    assert warning.startswith("ECS_ENGINE_AUTH_DATA is passed over")
    assert "secret" not in warning


async def test_a_containers_own_credentials_win_and_their_absence_has_amazons_name():
    async def secret_of(name):
        return {"good": '{"username":"a","password":"b"}', "bad": "{}"}[name]

    logins = Logins(read_engine_auth("docker", PLAIN), secret_of)
    assert await logins.login_of("busybox", RegistryAuthentication("asm", "good")) == Login("a", "b")
    for registry in (
        RegistryAuthentication("asm", "bad"),
        RegistryAuthentication("asm", "none"),
        RegistryAuthentication("ecr"),
    ):
        with pytest.raises(RuntimeCallError, match=r"^CannotPullContainerAuthError: "):
            await logins.login_of("busybox", registry)


async def test_a_containers_credentials_come_from_the_hosts_secrets(tmp_path):
    file = tmp_path / "secrets.json"
    file.write_text(json.dumps({"secretsmanager": {"db": {"username": "a", "password": "b"}, "odd": [1]}}))
    logins = Logins({}, Secrets(str(file)).registry)
    for parameter in ("db", "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf"):
        assert await logins.login_of("busybox", RegistryAuthentication("asm", parameter)) == Login("a", "b")
    for parameter, words in (("odd", "holds no user name"), ("none", "secretsmanager none is not there")):
        with pytest.raises(RuntimeCallError, match=rf"^CannotPullContainerAuthError: .*{words}"):
            await logins.login_of("busybox", RegistryAuthentication("asm", parameter))
    with pytest.raises(RuntimeCallError, match="BERTH_SECRETS is not set"):
        await Logins({}, Secrets("").registry).login_of("busybox", RegistryAuthentication("asm", "db"))


def test_settings_of_pulls_and_clean_up():
    config = read(BASE)
    assert config.pull.behavior is PullBehavior.DEFAULT
    assert (config.pull.inactivity_seconds, config.pull.limit_seconds) == (60, 7200)
    assert (config.pull.clean_up.interval_seconds, config.pull.clean_up.images_per_cycle) == (1800, 5)
    config = read(
        {
            **BASE,
            "ECS_IMAGE_CLEANUP_INTERVAL": "5m",
            "ECS_IMAGE_MINIMUM_CLEANUP_AGE": "2h",
            "ECS_NUM_IMAGES_DELETE_PER_CYCLE": "9",
            "ECS_MANIFEST_PULL_TIMEOUT": "10s",
            "ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION_JITTER": "10m",
            "ECS_PULL_DEPENDENT_CONTAINERS_UPFRONT": "true",
        }
    )
    assert config.pull.clean_up.interval_seconds == 1800, "at least 10 min"
    assert config.pull.clean_up.age_seconds_min == 7200
    assert config.pull.clean_up.images_per_cycle == 9
    assert config.settings.cleanup_jitter_seconds == 600
    assert config.settings.pull_upfront
    assert [w.split()[0] for w in config.warnings] == ["ECS_IMAGE_CLEANUP_INTERVAL", "ECS_MANIFEST_PULL_TIMEOUT"]
    assert read({**BASE, "ECS_DISABLE_IMAGE_CLEANUP": "true"}).pull.clean_up is None
    assert read({**BASE, "ECS_DISABLE_IMAGE_CLEANUP": "maybe"}).warnings


def test_a_containers_life_from_the_wire():
    container = acs_shapes.Container(
        name="main",
        start_timeout=8,
        depends_on=[acs_shapes.ContainerDependency(container_name="db", condition="HEALTHY")],
        links=["db:d"],
        volumes_from=[acs_shapes.VolumeFrom(source_container="files", read_only=True)],
        health_check_type="docker",
        restart_policy=acs_shapes.RestartPolicy(enabled=True, ignored_exit_codes=[3], restart_attempt_period=60),
        registry_authentication=acs_shapes.RegistryAuthentication(
            type="asm", asm_auth_data=acs_shapes.AsmAuthData(credentials_parameter="arn")
        ),
    )
    assert life(container) == {
        "start_timeout_seconds": 8,
        "depends_on": (Dependency("db", Condition.HEALTHY),),
        "links": ("db:d",),
        "volumes_from": (VolumesFrom("files", read_only=True),),
        "has_health_check": True,
        "restart": RestartPolicy((3,), 60),
        "registry": RegistryAuthentication("asm", "arn"),
    }
    assert life(acs_shapes.Container(name="main", restart_policy=acs_shapes.RestartPolicy()))["restart"] is None
    for wrong in (
        acs_shapes.Container(name="m", depends_on=[acs_shapes.ContainerDependency(container_name="a", condition="X")]),
        acs_shapes.Container(name="m", start_timeout=-1),
    ):
        with pytest.raises(ValueError, match=r"X|negative"):
            life(wrong)
