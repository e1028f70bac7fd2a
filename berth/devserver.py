"""The development server: one control plane and some agents as child processes, each agent a host of its own.

All hosts live on the one local Docker Engine; what is theirs there carries the label `berth.run`, and goes when the
server goes. Where containers are played there is no engine. Nothing is restarted silently. This module prints nothing
and knows no tasks.
"""

import asyncio
import contextlib
import fcntl
import json
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import msgspec

from berth.access import Access
from berth.children import PYTHON, Child, environment
from berth.client import EcsClient
from berth.errors import UserError
from berth.groups import GroupSetting, make_group
from berth.machines import Machines, Order
from berth.signing import REGION
from controlplane.core.policy import PRESETS
from wire.arn import short_id
from wire.errors import AwsError
from wire.instance_types import INSTANCE_TYPES, InstanceType

HOST = "127.0.0.1"
CLUSTER = "default"
HOSTS_MAX = 50
HOST_ATTRIBUTE = "berth.host"
"""Attribute of an instance that says which of our hosts it is."""

SAID_MAX = 100
START_SECONDS = 60
CONNECT_SECONDS = 60
END_SECONDS = 5
SWEEP_SECONDS = 40
POLL_SECONDS = 0.05


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a server is made of."""

    port: int
    hosts: int = 2
    instance_type: InstanceType = INSTANCE_TYPES["r5.large"]
    zones: tuple[str, ...] = ("us-east-1a",)
    preset: str = "ecs-2026"
    release: str | None = None
    """`eager` or `on-exit`; None: as the preset has it."""
    stop_timeout_seconds: int | None = None
    """The agents' default grace; None: their own (30 s)."""
    reserved_memory_mib: int = 0
    healthy_after_seconds: float | None = None
    """When a task without health check counts as healthy; None: as AWS has it (40 s)."""
    events_webhook: str = ""
    events_file: Path | None = None
    haproxy: str = "haproxy"
    """The program that carries traffic, where there are target groups."""
    script: dict[str, str] | None = None
    """Variables of containers that are played; None: Docker runs them."""
    groups: tuple[GroupSetting, ...] = ()
    """Instance groups that are made at the start."""
    time_scale: float = 1.0
    """How much faster the scaler's clock runs; never a grace, never a job."""
    access: Access = Access()
    keep: Path | None = None
    """Folder for the data; None: a temporary one, removed at the end."""

    @property
    def agent_release(self) -> str:
        """How the agents release."""
        return self.release or PRESETS[self.preset].agent.release


class Programs(msgspec.Struct, frozen=True):
    """What is started; tests have stand-ins."""

    controlplane: Sequence[str] = (*PYTHON, "controlplane")
    agent: Sequence[str] = (*PYTHON, "agent")


class Death(msgspec.Struct, frozen=True):
    """A child that ended unasked."""

    name: str
    obituary: str
    is_controlplane: bool


class StartFailed(Exception):
    """The server could not be started; the message has the words of the program that failed."""


class DevServer:
    """One server. `open`, `start`, use it, `close`."""

    def __init__(self, settings: Settings, programs: Programs | None = None) -> None:
        self.settings = settings
        self.endpoint = f"{settings.access.scheme}://{HOST}:{settings.port}"
        self.deaths: asyncio.Queue[Death] = asyncio.Queue(HOSTS_MAX + 1)
        self.said: asyncio.Queue[str] = asyncio.Queue(SAID_MAX)
        """What is to be told of groups and their machines; what comes while it is full is not."""
        self.folder = Path()
        self.run = ""
        self._programs = programs or Programs()
        self._children: list[Child] = []
        self._watchers: list[asyncio.Task[None]] = []
        self._lock: IO[str] | None = None
        self._hosts = 0
        self._machines: Machines | None = None
        self._runner: asyncio.Task[None] | None = None
        self._last_sweep: subprocess.Popen[bytes] | None = None

    @property
    def logs(self) -> list[Path]:
        """The children's log files."""
        return [child.log for child in self._children]

    def client(self) -> EcsClient:
        """A client that signs as the hosts do."""
        return self.settings.access.client(self.endpoint)

    def open(self) -> None:
        """Open the folder; with `keep`, nobody else uses it until the end.

        Raises:
            UserError: the folder cannot be used.
        """
        keep = self.settings.keep
        if keep is None:
            self.folder = Path(tempfile.mkdtemp(prefix="berth-"))
            self.run = uuid.uuid4().hex[:12]
            return
        try:
            keep.mkdir(parents=True, exist_ok=True)
            self._lock = (keep / "lock").open("a+")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            assert self._lock is not None
            self._lock.close()
            self._lock = None
            raise UserError(f"{keep} is in use by another berth dev: stop that, or keep the data elsewhere.") from None
        except OSError as error:
            raise UserError(f"The data cannot be kept in {keep}: {error.strerror}.") from None
        self.folder = keep.resolve()
        run_file = self.folder / "run"
        if not run_file.exists():
            run_file.write_text(uuid.uuid4().hex[:12])
        self.run = run_file.read_text().strip()

    async def start(self) -> None:
        """Start the control plane; returns when it answers.

        Raises:
            StartFailed: the control plane ended, or does not answer.
        """
        optional = {}
        if self.settings.healthy_after_seconds is not None:
            optional["BERTH_HEALTHY_AFTER_SECONDS"] = f"{self.settings.healthy_after_seconds:g}"
        if self.settings.events_webhook:
            optional["BERTH_EVENTS_WEBHOOK"] = self.settings.events_webhook
        if self.settings.events_file is not None:
            optional["BERTH_EVENTS_FILE"] = str(self.settings.events_file.absolute())
        controlplane = await self._start_child(
            "control plane",
            self._programs.controlplane,
            BERTH_HOST=HOST,
            BERTH_PORT=str(self.settings.port),
            BERTH_DATA_DIR=str(self._subfolder("controlplane")),
            BERTH_REGION=REGION,
            BERTH_POLICY=self.settings.preset,
            BERTH_TIME_SCALE=f"{self.settings.time_scale:g}",
            BERTH_ALLOW_RESET="1",
            BERTH_HAPROXY=self.settings.haproxy,
            **self.settings.access.settings(),
            **optional,
        )
        async with self.client() as client:
            for _ in range(round(START_SECONDS / POLL_SECONDS)):
                self._raise_if_dead()
                if await client.is_healthy():
                    return await self._run_machines()
                await asyncio.sleep(POLL_SECONDS)
        raise StartFailed(f"The control plane does not answer within {START_SECONDS} s; its log is {controlplane.log}.")

    async def add_host(self) -> str:
        """Start one more agent. Returns the host's name."""
        assert self._hosts < HOSTS_MAX, "the number of hosts has a limit"
        self._hosts += 1
        number = self._hosts
        name = f"host-{number}"
        zone = self.settings.zones[(number - 1) % len(self.settings.zones)]
        environment = self._host(name, self._subfolder(name), self.settings.instance_type.name, zone)
        await self._start_child(name, self._programs.agent, **environment)
        return name

    def _host(self, name: str, data: Path, instance_type: str, zone: str) -> dict[str, str]:
        """The environment of one agent."""
        preset = PRESETS[self.settings.preset]
        optional = {}
        if self.settings.stop_timeout_seconds is not None:
            optional["ECS_CONTAINER_STOP_TIMEOUT"] = f"{self.settings.stop_timeout_seconds}s"
        if self.settings.script is not None:
            optional |= {"BERTH_RUNTIME": "scripted", "BERTH_SCRIPT": json.dumps(self.settings.script)}
        return {
            "ECS_CLUSTER": CLUSTER,
            "ECS_BACKEND_HOST": self.endpoint,
            "ECS_DATADIR": str(data),
            "ECS_IMAGE_PULL_BEHAVIOR": "prefer-cached",
            "ECS_RESERVED_MEMORY": str(self.settings.reserved_memory_mib),
            "ECS_INSTANCE_ATTRIBUTES": json.dumps({HOST_ATTRIBUTE: name}),
            "ECS_RESOURCE_RELEASE": self.settings.agent_release,
            "ECS_TASK_QUEUE": preset.agent.task_queue,
            "BERTH_INSTANCE_TYPE": instance_type,
            "BERTH_AVAILABILITY_ZONE": zone,
            "BERTH_RUN": self.run,
            **optional,
        }

    def _machine(self, order: Order, disk: Path) -> dict[str, str]:
        """The environment of a machine of a group."""
        host = self._host(order.id, disk, order.instance_type, order.zone)
        ours = {"ECS_CLUSTER": order.cluster, "BERTH_INSTANCE_ID": order.id, "BERTH_GROUP": order.group}
        # A machine is interrupted as a Spot instance is, and drains then.
        return {**self.settings.access.credentials(), **host, **ours, "ECS_ENABLE_SPOT_INSTANCE_DRAINING": "true"}

    async def _run_machines(self) -> None:
        """Make the groups of the settings, and run the machines of these and of all that are made later."""
        self._machines = Machines(
            client=self.client,
            folder=self.folder,
            run=self.run,
            environment_of=self._machine,
            agent=self._programs.agent,
            sweeps=self.settings.script is None,
            tell=self._tell,
        )
        if self.settings.groups:
            await self._make_groups()
        self._runner = asyncio.create_task(self._machines.run())

    async def _make_groups(self) -> None:
        async with self.client() as client:
            for group in self.settings.groups:
                await make_group(client, group, cluster=CLUSTER, tell=self._tell)

    def _tell(self, sentence: str) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self.said.put_nowait(sentence)

    async def add_hosts(self) -> None:
        """Start all hosts of the settings that are not started yet, together."""
        for _ in range(self.settings.hosts - self._hosts):
            await self.add_host()

    async def connected(self) -> dict[str, str]:
        """Names of the connected hosts by the ARN of their instance."""
        async with self.client() as client:
            arns = (await client.call("ListContainerInstances", cluster=CLUSTER)).get("containerInstanceArns", [])
            if not arns:
                return {}
            described = await client.call("DescribeContainerInstances", cluster=CLUSTER, containerInstances=arns)
        return {
            instance["containerInstanceArn"]: _host_name(instance)
            for instance in described["containerInstances"]
            if instance.get("agentConnected") and instance.get("status") == "ACTIVE"
        }

    async def wait_connected(self) -> dict[str, str]:
        """Wait until every started host is connected. Returns their names by the ARN of their instance.

        Raises:
            StartFailed: a child ended, or a host does not connect.
        """
        for _ in range(round(CONNECT_SECONDS / POLL_SECONDS)):
            self._raise_if_dead()
            try:
                hosts = await self.connected()
            except AwsError as error:
                if error.code != "ClusterNotFoundException":
                    raise
                hosts = {}
            if len(hosts) >= self._hosts:
                return hosts
            await asyncio.sleep(POLL_SECONDS)
        missing = {f"host-{number + 1}" for number in range(self._hosts)} - set(hosts.values())
        raise StartFailed(f"{', '.join(sorted(missing))} did not connect within {CONNECT_SECONDS} s.")

    async def close(self) -> str:
        """End the agents, remove the containers, end the control plane, remove the temporary folder.

        Returns what is left to tell, empty where all is well. A second call does nothing.
        """
        agents = [child for child in self._children if child.name != "control plane"]
        has_machines = self._runner is not None
        if self._runner is not None and self._machines is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, self._machines.close(), return_exceptions=True)
            self._runner = None
        await asyncio.gather(*(child.end(END_SECONDS) for child in agents))
        trouble = await self._sweep() if (agents or has_machines) and self.settings.script is None else ""
        await asyncio.gather(*(child.end(END_SECONDS) for child in self._children))
        await asyncio.gather(*self._watchers)
        self._children.clear()
        self._watchers.clear()
        self._close_folder()
        return trouble

    def force(self) -> None:
        """End everything at once; the containers are removed by a process that we do not wait for."""
        for child in self._children:
            child.kill()
        if self._machines is not None:
            self._machines.kill()
        if self._children and self.settings.script is None:
            self._last_sweep = subprocess.Popen(  # noqa: S603 - our own program
                [*self._programs.agent, "sweep", "--run", self.run],
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._close_folder()

    # -- children ------------------------------------------------------------------------------------------------------

    async def _start_child(self, name: str, program: Sequence[str], **settings: str) -> Child:
        log = self._subfolder("logs") / f"{name.replace(' ', '')}.log"
        child = await Child.start(name, program, settings={**self.settings.access.credentials(), **settings}, log=log)
        self._children.append(child)
        self._watchers.append(asyncio.create_task(self._watch(child)))
        return child

    async def _watch(self, child: Child) -> None:
        exit_code = await child.wait()
        if child.is_wanted:
            self.deaths.put_nowait(Death(child.name, child.obituary(exit_code), child.name == "control plane"))

    def _raise_if_dead(self) -> None:
        if not self.deaths.empty():
            raise StartFailed(self.deaths.get_nowait().obituary)

    async def _sweep(self) -> str:
        """Remove every container of this run. Returns what is left to tell."""
        by_hand = f'docker rm -f $(docker ps -aq --filter "label=berth.run={self.run}")'
        process = await asyncio.create_subprocess_exec(
            *self._programs.agent,
            "sweep",
            "--run",
            self.run,
            env=environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(SWEEP_SECONDS):
                output, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            return f"The containers could not be removed within {SWEEP_SECONDS} s; remove them by: {by_hand}"
        if process.returncode != 0:
            said = output.decode(errors="replace").strip().splitlines()[-1:]
            return f"The containers could not be removed ({' '.join(said)}); remove them by: {by_hand}"
        return ""

    # -- folder --------------------------------------------------------------------------------------------------------

    def _close_folder(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        elif self.settings.keep is None and self.folder != Path():
            shutil.rmtree(self.folder, ignore_errors=True)

    def _subfolder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return folder


def _host_name(instance: dict[str, Any]) -> str:
    for attribute in instance.get("attributes", []):
        if attribute["name"] == HOST_ATTRIBUTE:
            return str(attribute.get("value", ""))
    return short_id(str(instance["containerInstanceArn"]))[:8]
