"""The engine: one writer. It takes facts from a queue, hands them to the machines, and carries out what they ask.

A turn takes every fact that waits, then saves all that changed in one commit, then acts: nothing is visible before it
is on disk. It holds no policy. An effect never raises into the loop; it comes back as a fact.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import msgspec

from agent.clock import WallClock
from agent.core.events import (
    Absent,
    ContainerEvent,
    Created,
    Desired,
    Event,
    HealthChanged,
    SignalSent,
    Started,
    TimerFired,
)
from agent.core.health import ContainerHealth
from agent.core.instructions import (
    ContainerInstruction,
    Forget,
    Instruction,
    RemoveContainer,
    RemoveResources,
    Send,
    SetQueue,
    StartTimer,
    Tell,
)
from agent.core.ladder import Known
from agent.core.queueing import Host, QueuePolicy
from agent.core.reporting import Outbox
from agent.core.state import ContainerState, RoomState, Settings, TaskState
from agent.core.task import TaskMachine
from agent.effects import Effects
from agent.journal import Journal
from agent.pulling import Puller
from agent.room import HostRoom
from agent.runtime.facts import facts_of
from agent.runtime.port import ContainerLife, Found, Listed, Runtime, RuntimeCallError
from wire.story import Kind

log = logging.getLogger(__name__)

RELIST_SECONDS = 60.0
"""Besides Docker's events, look this often whether what runs by our books runs (kubelet's relist; assumed)."""

CLOCK_SECONDS = 5.0
"""Besides every turn, look this often whether the wall clock was set (assumed)."""


class Outlet(Protocol):
    """Where the engine's words go. Neither call blocks or raises."""

    def tell(self, at: float, subject: str, kind: Kind, cause: str, data: dict[str, Any]) -> None:
        """A line of the story."""

    def reports_wait(self, task: str) -> None:
        """The outbox of `task` has something to send."""


class Engine:
    """The tasks of one host."""

    def __init__(
        self,
        *,
        host: Host,
        runtime: Runtime,
        journal: Journal,
        settings: Settings,
        clock: Callable[[], float],
        instance: str,
        puller: Puller | None = None,
    ) -> None:
        """`clock` tells epoch seconds; `instance` is the container instance's ARN; `puller` sees to images."""
        self._host = host
        self._room = HostRoom(host, clock, self._cause_of)
        self._runtime = runtime
        self._journal = journal
        self._settings = settings
        self._clock = clock
        self._instance = instance
        self._outlet: Outlet | None = None
        self._wall: WallClock | None = None
        self._machines: dict[str, TaskMachine] = {}
        self._facts: asyncio.Queue[tuple[Event, asyncio.Future[None] | None]] = asyncio.Queue()
        self._timers: dict[tuple[str, str, str], asyncio.TimerHandle] = {}
        self._puller = puller or Puller(runtime, journal, clock=clock)
        self._effects = Effects(runtime, self._puller, clock=clock, give=self._give, submit=self.submit)

    # ---- from outside ------------------------------------------------------------------------------------------

    def attach(self, outlet: Outlet) -> None:
        """Say where stories and reports go. Before `resume`."""
        self._outlet = outlet

    async def submit(self, event: Event) -> None:
        """Give the engine a fact; returns when everything about it is on disk."""
        saved = asyncio.get_running_loop().create_future()
        self._facts.put_nowait((event, saved))
        await saved

    def next_report(self, task: str) -> Outbox | None:
        """The oldest report of a task's outbox."""
        machine = self._machines.get(task)
        return machine.state.outbox[0] if machine and machine.state.outbox else None

    def health(self) -> list[ContainerHealth]:
        """Health of every running container that Docker checks, for telemetry."""
        return [
            ContainerHealth(
                task=machine.arn,
                family=machine.state.spec.family,
                version=machine.state.spec.version,
                container=container.spec.name,
                docker_id=container.docker_id,
                health=container.health,
            )
            for machine in self._machines.values()
            for container in machine.state.containers
            if container.spec.has_health_check and container.known is Known.RUNNING
        ]

    def task(self, arn: str) -> TaskState | None:
        """A task's state, to read."""
        machine = self._machines.get(arn)
        return machine.state if machine else None

    def tasks(self) -> list[TaskState]:
        """All tasks that are not forgotten, to read."""
        return [machine.state for machine in list(self._machines.values())]

    def go_by(self, settings: Settings, queue: QueuePolicy) -> None:
        """Another policy from now on, for the tasks that are here too."""
        self._settings = settings
        for machine in self._machines.values():
            machine.settings = settings
        told = {"release": settings.release, "task_queue": queue, "stop_give_up": settings.give_up}
        self._tell(self._clock(), self._instance, Kind.AGENT_POLICY, "", told)
        self._finish_turn([SetQueue(task="", queue=queue)], set())

    async def resume(self) -> None:
        """After a start of the agent: take up the tasks of the journal, at the point where Docker says they are."""
        self._wall = WallClock(self._clock, asyncio.get_running_loop().time)
        # Who held room takes it again before anybody queues.
        states = sorted(self._journal.tasks(), key=lambda state: (state.room is RoomState.QUEUED, state.order))
        now = self._clock()
        self._tell(now, self._instance, Kind.AGENT_STARTED, "", {"resumed": len(states)})
        rows = await self._runtime.containers()
        listed = {(row.task, row.container): row.docker_id for row in rows}
        instructions: list[Instruction] = []
        for state in states:
            machine = self._machines[state.spec.arn] = TaskMachine(state, self._settings)
            found = [] if state.known is Known.STOPPED else await self._found(state, listed)
            instructions += machine.resume(found, self._clock())
        instructions += self._strays(rows)
        self._finish_turn(instructions, {state.spec.arn for state in states})
        self._runtime.watch(self._on_found, self._on_gap)

    def _strays(self, rows: list[Listed]) -> list[Instruction]:
        """Containers that were created after their task had been stopped, just before the agent was killed."""
        known = {container.docker_id for _, container in self._containers()}
        up = {
            (machine.arn, container.spec.name)
            for machine in self._machines.values()
            for container in machine.state.containers
            if container.known is not Known.STOPPED
        }
        strays = [row for row in rows if row.docker_id not in known and (row.task, row.container) not in up]
        for row in strays:
            log.warning("Container %s of %s belongs to no task that is known here.", row.docker_id, row.task)
        return [
            RemoveContainer(task=row.task, container=row.container, docker_id=row.docker_id)
            for row in strays
            if not row.is_running
        ]

    async def _found(self, state: TaskState, listed: dict[tuple[str, str], str]) -> list[ContainerEvent]:
        facts: list[ContainerEvent] = []
        for container in state.containers:
            name = container.spec.name
            docker_id = listed.get((state.spec.arn, name))
            found = await self._runtime.inspect(docker_id) if docker_id else None
            if found is None:
                facts.append(Absent(task=state.spec.arn, container=name, cause="agent.resume"))
            else:
                facts += facts_of(found, "agent.resume")
        return facts

    async def run(self) -> None:
        """Take turns until cancelled."""
        relist = asyncio.create_task(self._relist_for_ever())
        keep_time = asyncio.create_task(self._keep_time_for_ever())
        clean_up = asyncio.create_task(self._puller.clean_up_for_ever(self._images_in_use))
        try:
            while True:
                await self._turn()
        finally:
            relist.cancel()
            keep_time.cancel()
            for timer in self._timers.values():
                timer.cancel()
            clean_up.cancel()
            self._effects.cancel()

    # ---- a turn ------------------------------------------------------------------------------------------------

    async def _turn(self) -> None:
        batch = [await self._facts.get()]
        while not self._facts.empty():
            batch.append(self._facts.get_nowait())
        instructions: list[Instruction] = []
        touched = self._keep_time()
        for event, _ in batch:
            if touched and isinstance(event, SignalSent):  # stamped just now, and perhaps by the clock as it was
                event = msgspec.structs.replace(event, at=self._clock())  # noqa: PLW2901
            instructions += self._handle(event)
        self._finish_turn(instructions, touched | {event.task for event, _ in batch})
        for _, saved in batch:
            if saved is not None and not saved.done():
                saved.set_result(None)

    def _keep_time(self) -> set[str]:
        """Where the wall clock was set, deadlines move with it (timers that run do not know it). Whose did."""
        seconds = self._wall.set_by() if self._wall is not None else 0.0
        if not seconds:
            return set()
        log.warning("The clock of this host was set by %+.1f s; no grace is cut or lengthened by that.", seconds)
        return {arn for arn, machine in self._machines.items() if machine.shift(seconds)}

    async def _keep_time_for_ever(self) -> None:
        """What is on disk is right soon after, whatever comes next."""
        while True:
            await asyncio.sleep(CLOCK_SECONDS)
            self._finish_turn([], self._keep_time())

    def _handle(self, event: Event) -> list[Instruction]:
        machine = self._machines.get(event.task)
        if machine is None:
            if isinstance(event, Created):  # its task was stopped, and forgotten, before it was there
                return [RemoveContainer(task=event.task, container=event.container, docker_id=event.docker_id)]
            if not isinstance(event, Desired):
                return []  # about a task that is forgotten
            machine = self._machines[event.task] = TaskMachine.accept(event, self._settings)
        return machine.handle(event, self._clock())

    def _finish_turn(self, instructions: list[Instruction], touched: set[str]) -> None:
        """Settle what the host decides within the turn, save, act."""
        acts: list[Instruction] = []
        waiting = instructions
        while waiting:
            instruction, *waiting = waiting
            for event in self._room.decide(instruction, acts):
                touched.add(event.task)
                waiting += self._handle(event)
        changed = [self._machines[arn].state for arn in sorted(touched) if arn in self._machines]
        forgotten = [act.task for act in acts if isinstance(act, Forget)]
        self._journal.save(changed, forgotten)
        for act in acts:
            self._act(act)

    def _cause_of(self, task: str) -> str:
        machine = self._machines.get(task)
        return machine.state.cause if machine else ""

    # ---- effects -----------------------------------------------------------------------------------------------

    def _act(self, act: Instruction) -> None:
        match act:
            case Tell():
                self._tell(self._clock(), act.task, act.kind, act.cause, {"instance": self._instance, **act.data})
            case Send():
                if self._outlet is not None:
                    self._outlet.reports_wait(act.task)
            case StartTimer():
                self._start_timer(act)
            case Forget():
                del self._machines[act.task]
            case RemoveResources():
                self._effects.spawn(self._effects.remove_resources(act))
            case ContainerInstruction():
                self._effects.carry_out(act)
            case _:
                raise AssertionError(f"nobody carries out {act!r}")

    def _tell(self, at: float, subject: str, kind: Kind, cause: str, data: dict[str, Any]) -> None:
        if self._outlet is not None:
            self._outlet.tell(at, subject, kind, cause, data)

    def _start_timer(self, timer: StartTimer) -> None:
        key = (timer.task, timer.container, timer.timer)
        if key in self._timers:
            self._timers[key].cancel()
        delay = max(0.0, timer.at - self._clock())
        self._timers[key] = asyncio.get_running_loop().call_later(delay, self._fire, key)

    def _fire(self, key: tuple[str, str, str]) -> None:
        del self._timers[key]
        task, container, timer = key
        self._give(TimerFired(task=task, container=container, timer=timer, cause=f"timer.{timer.lower()}"))

    def _give(self, event: Event) -> None:
        self._facts.put_nowait((event, None))

    # ---- exits -------------------------------------------------------------------------------------------------

    def _on_found(self, found: Found) -> None:
        """An exit, a change of health, or a start that was not ours."""
        if found.life is ContainerLife.EXITED:
            self._effects.tell_exit(found)
            return
        for fact in facts_of(found, f"docker.event.{found.docker_id[:12]}"):
            is_revival = isinstance(fact, Started) and self._has_stopped(found)
            if is_revival or isinstance(fact, HealthChanged):
                self._give(fact)

    def _has_stopped(self, found: Found) -> bool:
        machine = self._machines.get(found.task)
        containers = machine.state.containers if machine else ()
        return any(c.docker_id == found.docker_id and c.known is Known.STOPPED for c in containers)

    def _on_gap(self) -> None:
        self._effects.spawn(self._relist())

    async def _relist_for_ever(self) -> None:
        while True:
            await asyncio.sleep(RELIST_SECONDS)
            await self._relist()

    async def _relist(self) -> None:
        """Containers of which our books and Docker's list say different things: ask about each."""
        try:
            running = {row.docker_id for row in await self._runtime.containers() if row.is_running}
            for task, container in list(self._containers()):
                is_up = container.docker_id in running
                if not container.docker_id or is_up == (container.known is Known.RUNNING):
                    continue
                found = await self._runtime.inspect(container.docker_id)
                if found is None:
                    self._give(Absent(task=task, container=container.spec.name, cause="docker.list"))
                else:
                    self._on_found(found)
        except RuntimeCallError as error:
            log.warning("Docker did not list its containers (%s); it is asked again.", error)

    def _containers(self) -> Iterable[tuple[str, ContainerState]]:
        """Those whose first start is over: on the way up, the call in flight will tell."""
        for machine in self._machines.values():
            for container in machine.state.containers:
                if container.known >= Known.RUNNING:
                    yield machine.arn, container

    def _images_in_use(self) -> set[str]:
        return {c.spec.image for machine in self._machines.values() for c in machine.state.containers}
