"""A task as its agent is told of it: definition and overrides become Amazon's ACS shapes. Pure translation.

What ACS has no member for travels as JSON strings in Docker's own API shape (`dockerConfig`). To stop a task that its
agent has, the ARN is enough, and a definition could only do harm; an agent that may never have heard of it gets the
whole of it, as Amazon's is wedged by a task without containers. Source: `api-2.json` of amazon-ecs-agent; Docker
Engine API; recorded traffic.
"""

from typing import Any

import msgspec

from controlplane.agents.container_life import health_check, life
from controlplane.agents.docker_shape import docker_config, docker_host_config, network_mode
from controlplane.agents.roles import Roles
from controlplane.core.assignment import Assignment
from controlplane.core.cost import CPU_UNITS_PER_VCPU, cpu_units, mebibytes, overridden
from controlplane.core.model import Cluster, Container, Task, TaskDefinition
from controlplane.core.record import following
from controlplane.core.view import View
from wire import acs_shapes
from wire.arn import short_id
from wire.status import DesiredStatus

EXECUTION_ENVIRONMENT = {"AWS_EXECUTION_ENV": "AWS_ECS_EC2"}
"""Source: amazon-ecs-agent expects it in the payload."""


def payload_of(
    view: View, assignment: Assignment, *, cluster: Cluster, account: str, roles: Roles, now: float
) -> acs_shapes.Task:
    """What the agent is told of an assignment at `now` (epoch seconds)."""
    task = assignment.task
    definition = view.task_definition(task.task_definition)
    assert definition is not None
    if assignment.desired is DesiredStatus.STOPPED:
        return stop_payload(task, definition, cluster, account=account)
    return run_payload(task, definition, cluster, account=account, role=roles.of(task, definition, now))


def run_payload(
    task: Task,
    definition: TaskDefinition,
    cluster: Cluster,
    *,
    account: str,
    role: acs_shapes.IAMRoleCredentials | None = None,
) -> acs_shapes.Task:
    """What an agent needs to run `task`, with the credentials of its `role` where it has one."""
    overrides = task.body.get("overrides")
    plain = _overridden(definition, overrides) if overrides else _plain(definition)
    kept = {container.name: container for container in task.containers}
    return msgspec.structs.replace(
        plain,
        arn=task.arn,
        task_cluster_arn=cluster.arn,
        containers=[_of_task(container, kept[container.name]) for container in plain.containers],
        service_name=short_id(task.service) if task.service else "",
        group=task.group,
        associations=[
            acs_shapes.Association(name=gpu, type=acs_shapes.GPU_ASSOCIATION, containers=[container.name])
            for container in task.containers
            for gpu in container.gpu_ids
        ],
        task_definition_account_id=account,
        role_credentials=role,
    )


def stop_payload(task: Task, definition: TaskDefinition, cluster: Cluster, *, account: str) -> acs_shapes.Task:
    """What an agent needs to stop `task`: one that has reported nothing of it may not have it yet."""
    if not any(container.runtime_id for container in task.containers):
        whole = run_payload(task, definition, cluster, account=account)
        return msgspec.structs.replace(whole, desired_status=DesiredStatus.STOPPED, berth_force=task.force)
    return acs_shapes.Task(
        arn=task.arn, desired_status=DesiredStatus.STOPPED, task_cluster_arn=cluster.arn, berth_force=task.force
    )


def _of_task(container: acs_shapes.Container, kept: Container) -> acs_shapes.Container:
    """As it is in one task: with its ARN, and by the digest of its image where that stands."""
    image = container.image
    if kept.pinned_digest:
        path, slash, name = image.rpartition("/")
        image = f"{path}{slash}{name.partition(':')[0]}@{kept.pinned_digest}"
    return msgspec.structs.replace(container, container_arn=kept.arn, image=image)


@following
def _plain(definition: TaskDefinition) -> acs_shapes.Task:
    return _overridden(definition, {})


def _overridden(definition: TaskDefinition, overrides: dict[str, Any]) -> acs_shapes.Task:
    """What an agent needs to run any task of a definition under these overrides."""
    body = definition.body
    cpu = overrides.get("cpu") or body.get("cpu")
    memory = overrides.get("memory") or body.get("memory")
    return acs_shapes.Task(
        arn="",
        desired_status=DesiredStatus.RUNNING,
        family=definition.family,
        version=str(definition.revision),
        containers=[
            _container(container, body, _environment(container, overrides)) for container in overridden(body, overrides)
        ],
        cpu=cpu_units(cpu) / CPU_UNITS_PER_VCPU if cpu else 0,
        memory=mebibytes(memory) if memory else 0,
        network_mode=network_mode(body),
        volumes=[_volume(volume) for volume in body.get("volumes", ())],
        pid_mode=body.get("pidMode", ""),
        ipc_mode=body.get("ipcMode", ""),
        launch_type="EC2",
    )


def _container(container: dict[str, Any], body: dict[str, Any], environment: dict[str, str]) -> acs_shapes.Container:
    mode = network_mode(body)
    return acs_shapes.Container(
        name=container["name"],
        image=container["image"],
        essential=container.get("essential", True),
        cpu=container.get("cpu", 0),
        memory=container.get("memory", 0),
        command=container.get("command") or None,
        entry_point=container.get("entryPoint") or None,
        environment=environment,
        environment_files=[
            acs_shapes.EnvironmentFile(value=file["value"], type=file.get("type", "s3"))
            for file in container.get("environmentFiles", ())
        ],
        secrets=_secrets(container),
        mount_points=[
            acs_shapes.MountPoint(
                source_volume=mount.get("sourceVolume", ""),
                container_path=mount.get("containerPath", ""),
                read_only=mount.get("readOnly", False),
            )
            for mount in container.get("mountPoints", ())
        ],
        port_mappings=[
            acs_shapes.PortMapping(
                container_port=mapping["containerPort"],
                host_port=mapping.get("hostPort", 0),
                protocol=mapping.get("protocol", "tcp"),
            )
            for mapping in container.get("portMappings", ())
            if mode != "none"
        ],
        stop_timeout=container.get("stopTimeout", 0),
        registry_authentication=_registry(container.get("repositoryCredentials")),
        **life(container),
        docker_config=acs_shapes.DockerConfig(
            config=msgspec.json.encode(docker_config(container) | health_check(container)).decode(),
            host_config=msgspec.json.encode(docker_host_config(container, body)).decode(),
        ),
    )


def _environment(container: dict[str, Any], overrides: dict[str, Any]) -> dict[str, str]:
    """The container's own environment, with the task's overrides laid over it name by name."""
    over = [o for o in overrides.get("containerOverrides", ()) if o.get("name") == container["name"]]
    pairs = [pair for source in (container, *over) for pair in source.get("environment", ())]
    return EXECUTION_ENVIRONMENT | {pair["name"]: pair.get("value", "") for pair in pairs if "name" in pair}


def _registry(credentials: dict[str, Any] | None) -> acs_shapes.RegistryAuthentication | None:
    if not credentials:
        return None
    parameter = credentials["credentialsParameter"]
    region = parameter.split(":")[3] if parameter.startswith("arn:") else ""
    asm = acs_shapes.AsmAuthData(credentials_parameter=parameter, region=region)
    return acs_shapes.RegistryAuthentication(type="asm", asm_auth_data=asm)


def _volume(volume: dict[str, Any]) -> acs_shapes.Volume:
    docker = volume.get("dockerVolumeConfiguration")
    if docker is None:
        path = volume.get("host", {}).get("sourcePath", "")
        return acs_shapes.Volume(name=volume["name"], host=acs_shapes.HostVolume(source_path=path))
    return acs_shapes.Volume(
        name=volume["name"],
        type="docker",
        docker_volume_configuration=acs_shapes.DockerVolume(
            scope=docker.get("scope", "task"),
            autoprovision=docker.get("autoprovision", False),
            driver=docker.get("driver", "local"),
            driver_opts=docker.get("driverOpts", {}),
            labels=docker.get("labels", {}),
        ),
    )


def _secrets(container: dict[str, Any]) -> list[acs_shapes.Secret]:
    options = container.get("logConfiguration", {}).get("secretOptions", ())
    return [
        acs_shapes.Secret(
            name=secret["name"],
            value_from=secret["valueFrom"],
            provider="asm" if ":secretsmanager:" in secret["valueFrom"] else "ssm",
            target=target,
        )
        for target, secrets in (("CONTAINER", container.get("secrets", ())), ("LOG_DRIVER", options))
        for secret in secrets
    ]
