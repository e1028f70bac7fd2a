"""Runs the machines of instance groups: each an agent process of its own, or a command of the user's that boots a VM.

Level-driven: it asks the control plane again and again which machines there are to be, starts what is missing and ends
what is to end. A machine that has ended is told only when nothing of it is left, its containers too. It does not know
why a machine comes or goes.
"""

import asyncio
import fcntl
import shutil
from collections.abc import Callable, Coroutine, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from berth.children import PYTHON, Child, environment
from berth.client import EcsClient
from wire.errors import AwsError
from wire.extensions import SYNC_MACHINES

POLL_SECONDS = 0.25
END_SECONDS = 5.0
COMMAND_END_SECONDS = 30.0
"""A command of the user's may have a VM to shut down."""
LOCK_SECONDS = 10.0
"""For a former agent of the same data directory to be gone."""
SWEEP_SECONDS = 40.0
SWEEP_AGAIN_SECONDS = 5.0
ENDED_MAX = 1000
"""Ends that wait to be told, while the control plane is away."""


class Order(msgspec.Struct, rename="camel", frozen=True):
    """One machine that there is to be, or that is to end."""

    id: str
    group: str
    cluster: str
    instance_type: str
    zone: str
    command: str
    container_instance_arn: str
    is_on: bool


Environment = Callable[[Order, Path], Mapping[str, str]]
"""What a machine's program is given: its order, and the folder that is its disk."""
Tell = Callable[[str], None]
"""A sentence to whoever looks on."""


class Machines:
    """The machines of one runner. `run` until cancelled, then `close`."""

    def __init__(
        self,
        *,
        client: Callable[[], EcsClient],
        folder: Path,
        run: str,
        environment_of: Environment,
        agent: Sequence[str] = (*PYTHON, "agent"),
        sweeps: bool = True,
        tell: Tell = lambda _: None,
    ) -> None:
        """`run`: label of this runner's containers, and its name. `sweeps`: its containers are on an engine."""
        self.run_label = run
        self._client = client
        self._folder = folder
        self._environment_of = environment_of
        self._agent = agent
        self._sweeps = sweeps
        self._tell = tell
        self._children: dict[str, Child] = {}
        self._instances: dict[str, str] = {}
        """Container instances (ARN) by machine, as far as they are known."""
        self._at_work: dict[str, asyncio.Task[None]] = {}
        """What is being started or ended, by machine."""
        self._ended: dict[str, None] = {}
        self._unswept: set[str] = set()
        """Container instances (ARN) whose containers could not be removed; said once."""
        self._is_refused = False

    @property
    def ids(self) -> list[str]:
        """The machines that run."""
        return list(self._children)

    async def run(self) -> None:
        """Follow the control plane until cancelled; while it is away, everything stays as it is."""
        async with self._client() as client:
            while True:
                try:
                    await self._sync(client)
                    self._is_refused = False
                except AwsError as error:
                    self._tell_refusal(error)
                    self._notice_ends()
                except (aiohttp.ClientError, TimeoutError, ConnectionError):
                    self._notice_ends()
                await asyncio.sleep(POLL_SECONDS)

    async def close(self) -> None:
        """End every machine. Its containers are left to whoever sweeps the run."""
        for task in self._at_work.values():
            task.cancel()
        await asyncio.gather(*self._at_work.values(), return_exceptions=True)
        await asyncio.gather(*(child.end(END_SECONDS) for child in self._children.values()))
        self._children.clear()

    def kill(self) -> None:
        """End every machine at once."""
        for child in self._children.values():
            child.kill()

    def _tell_refusal(self, error: AwsError) -> None:
        """Once, until it is taken again; what a control plane cannot do for the moment is no refusal."""
        is_final = error.status < HTTPStatus.INTERNAL_SERVER_ERROR and error.code != "ThrottlingException"
        if is_final and not self._is_refused:
            self._is_refused = True
            self._tell(f"The control plane refused to say which hosts there are to be: {error}")

    async def _sync(self, client: EcsClient) -> None:
        self._notice_ends()
        ended = list(self._ended)
        answer = await client.call(SYNC_MACHINES, runner=self.run_label, ended=ended)
        for id_ in ended:
            del self._ended[id_]
        orders = {order.id: order for order in msgspec.convert(answer["machines"], list[Order])}
        for order in orders.values():
            if order.container_instance_arn:
                self._instances[order.id] = order.container_instance_arn
            if order.is_on and order.id not in self._children:
                self._begin(order.id, self._start(order))
            elif not order.is_on:
                self._begin(order.id, self._end(order.id))
        for id_ in self._children:
            if id_ not in orders:
                self._begin(id_, self._end(id_))

    def _begin(self, id_: str, work: Coroutine[Any, Any, None]) -> None:
        if id_ in self._at_work or id_ in self._ended:
            work.close()
            return
        task = asyncio.create_task(work)
        self._at_work[id_] = task
        task.add_done_callback(lambda done: self._is_done(id_, done))

    def _is_done(self, id_: str, done: "asyncio.Future[None]") -> None:
        del self._at_work[id_]
        if not done.cancelled() and done.exception() is not None:
            self._tell(f"Machine {id_}: {done.exception()}")

    def _notice_ends(self) -> None:
        """A program that has ended by itself is a machine that has gone."""
        for id_, child in self._children.items():
            if child.exit_code is not None and id_ not in self._at_work:
                self._tell(child.obituary(child.exit_code))
                self._begin(id_, self._end(id_))

    async def _start(self, order: Order) -> None:
        disk = self._folder / "machines" / order.id
        disk.mkdir(parents=True, exist_ok=True)
        logs = self._folder / "logs"
        logs.mkdir(exist_ok=True)
        await _unlocked(disk / "agent.lock")
        program = ("/bin/sh", "-c", order.command) if order.command else self._agent
        self._children[order.id] = await Child.start(
            order.id, program, settings=self._environment_of(order, disk), log=logs / f"{order.id}.log"
        )

    async def _end(self, id_: str) -> None:
        child = self._children.get(id_)
        if child is not None:
            await child.end(COMMAND_END_SECONDS)
        instance = self._instances.get(id_)
        while instance and self._sweeps and not await self._is_swept(instance):  # noqa: ASYNC110 - of another process
            await asyncio.sleep(SWEEP_AGAIN_SECONDS)
        shutil.rmtree(self._folder / "machines" / id_, ignore_errors=True)
        self._children.pop(id_, None)
        self._instances.pop(id_, None)
        if len(self._ended) < ENDED_MAX:
            self._ended[id_] = None

    async def _is_swept(self, instance: str) -> bool:
        """Remove the containers of an instance (ARN): its disk and its processes go with it. Whether none is left."""
        process = await asyncio.create_subprocess_exec(
            *self._agent,
            "sweep",
            "--run",
            self.run_label,
            "--instance",
            instance,
            env=environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(SWEEP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        if process.returncode == 0:
            self._unswept.discard(instance)
            return True
        if instance not in self._unswept:
            self._unswept.add(instance)
            self._tell(
                f"The containers of {instance} could not be removed (label berth.run={self.run_label}): it counts as"
                " running until they are, and that is tried again."
            )
        return False


async def _unlocked(lock: Path) -> None:
    """Wait until no agent has this data directory: a former one may still be on its way out.

    Raises:
        TimeoutError: one still has it.
    """
    try:
        async with asyncio.timeout(LOCK_SECONDS):
            while _is_held(lock):  # noqa: ASYNC110 - the kernel tells nobody when a lock is free
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise TimeoutError(f"{lock} is held by another agent") from None


def _is_held(lock: Path) -> bool:
    try:
        with lock.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
