"""The engine: one writer. It takes facts from a queue, hands them to the machines, and carries out what they ask.

A turn takes every fact that waits, then saves all that changed in one commit, then acts: nothing is visible before it
is on disk. It holds no policy. An effect never raises into the loop; it comes back as a fact.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol

from agent.core.events import (
    Absent,
    Admitted,
    ContainerEvent,
    Desired,
    Event,
    Exited,
    KillSent,
    RuntimeFault,
    SignalSent,
    Started,
    TimerFired,
)
from agent.core.instructions import (
    AskRoom,
    ContainerInstruction,
    CreateContainer,
    Forget,
    Instruction,
    NoteStopping,
    ReleaseHost,
    RemoveContainer,
    Send,
    SendKill,
    SendSignal,
    StartContainer,
    StartTimer,
    Tell,
    WithdrawRoom,
)
from agent.core.ladder import Known
from agent.core.queueing import Host, Waiting
from agent.core.reporting import Outbox
from agent.core.state import RoomState, Settings, TaskState
from agent.core.task import TaskMachine
from agent.journal import Journal
from agent.runtime.facts import facts_of, host_ports
from agent.runtime.port import ContainerLife, Found, NotRunningError, Runtime, RuntimeCallError
from agent.slots import Slots, Turn
from wire.resources import Amounts
from wire.story import Kind

log = logging.getLogger(__name__)

RELIST_SECONDS = 60.0
"""Besides Docker's events, look this often whether what runs by our books runs (kubelet's relist; assumed)."""


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
    ) -> None:
        """`clock` tells epoch seconds; `instance` is the container instance's ARN."""
        self._host = host
        self._runtime = runtime
        self._journal = journal
        self._settings = settings
        self._clock = clock
        self._instance = instance
        self._outlet: Outlet | None = None
        self._machines: dict[str, TaskMachine] = {}
        self._facts: asyncio.Queue[tuple[Event, asyncio.Future[None] | None]] = asyncio.Queue()
        self._timers: dict[tuple[str, str, str], asyncio.TimerHandle] = {}
        self._effects: set[asyncio.Task[None]] = set()
        self._slots = Slots()

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

    def task(self, arn: str) -> TaskState | None:
        """A task's state, to read."""
        machine = self._machines.get(arn)
        return machine.state if machine else None

    def tasks(self) -> list[TaskState]:
        """All tasks that are not forgotten, to read."""
        return [machine.state for machine in list(self._machines.values())]

    async def resume(self) -> None:
        """After a start of the agent: take up the tasks of the journal, at the point where Docker says they are."""
        # Who held room takes it again before anybody queues.
        states = sorted(self._journal.tasks(), key=lambda state: (state.room is RoomState.QUEUED, state.order))
        now = self._clock()
        self._tell(now, self._instance, Kind.AGENT_STARTED, "", {"resumed": len(states)})
        listed = {(row.task, row.container): row.docker_id for row in await self._runtime.containers()}
        instructions: list[Instruction] = []
        for state in states:
            machine = self._machines[state.spec.arn] = TaskMachine(state, self._settings)
            found = [] if state.known is Known.STOPPED else await self._found(state, listed)
            instructions += machine.resume(found, self._clock())
        self._finish_turn(instructions, {state.spec.arn for state in states})
        self._runtime.watch(self._on_exit, self._on_gap)

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
        try:
            while True:
                await self._turn()
        finally:
            relist.cancel()
            for timer in self._timers.values():
                timer.cancel()
            for effect in self._effects:
                effect.cancel()

    # ---- a turn ------------------------------------------------------------------------------------------------

    async def _turn(self) -> None:
        batch = [await self._facts.get()]
        while not self._facts.empty():
            batch.append(self._facts.get_nowait())
        instructions: list[Instruction] = []
        for event, _ in batch:
            instructions += self._handle(event)
        self._finish_turn(instructions, {event.task for event, _ in batch})
        for _, saved in batch:
            if saved is not None and not saved.done():
                saved.set_result(None)

    def _handle(self, event: Event) -> list[Instruction]:
        machine = self._machines.get(event.task)
        if machine is None:
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
            admitted = self._decide_room(instruction, acts)
            for entry in admitted:
                touched.add(entry.task)
                waiting += self._handle(Admitted(task=entry.task, cause=instruction.task))
        changed = [self._machines[arn].state for arn in sorted(touched) if arn in self._machines]
        forgotten = [act.task for act in acts if isinstance(act, Forget)]
        self._journal.save(changed, forgotten)
        for act in acts:
            self._act(act)

    def _decide_room(self, instruction: Instruction, acts: list[Instruction]) -> list[Waiting]:
        """Room is decided in memory and within the turn; the story of it, and all else, goes to `acts`."""
        now, host, task = self._clock(), self._host, instruction.task
        match instruction:
            case AskRoom(amounts=amounts, resumed=True):
                host.restore(task, amounts, now)
                acts.append(self._room_line(Kind.HOST_HELD, task, amounts, waited_seconds=0.0))
                return []
            case AskRoom(amounts=amounts):
                admitted = host.ask(task, amounts, now)
                if all(entry.task != task for entry in admitted):
                    acts.append(self._room_line(Kind.HOST_QUEUED, task, amounts, lacks=host.lacks(task)))
            case WithdrawRoom():
                admitted = host.withdraw(task, now)
            case NoteStopping():
                host.note_stopping(task)
                return []
            case ReleaseHost(proof=proof):
                hold, admitted = host.release(task, proof, now)
                if hold is not None:
                    acts.append(self._room_line(Kind.HOST_ENDED, task, hold.amounts, proof=proof))
            case _:
                acts.append(instruction)
                return []
        for entry in admitted:
            waited = now - entry.since
            acts.append(self._room_line(Kind.HOST_HELD, entry.task, entry.amounts, waited_seconds=waited))
        return admitted

    def _room_line(self, kind: Kind, task: str, amounts: Amounts, **data: Any) -> Tell:
        machine = self._machines.get(task)
        return Tell(
            task=task,
            kind=kind,
            cause=machine.state.cause if machine else "",
            data={"cpu": amounts.cpu, "memory_mib": amounts.memory_mib, **data},
        )

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
            case ContainerInstruction():
                self._spawn(_EFFECTS[type(act)](self, act))
            case _:
                raise AssertionError(f"nobody carries out {act!r}")

    def _tell(self, at: float, subject: str, kind: Kind, cause: str, data: dict[str, Any]) -> None:
        if self._outlet is not None:
            self._outlet.tell(at, subject, kind, cause, data)

    def _spawn(self, effect: Coroutine[Any, Any, None]) -> None:
        running = asyncio.get_running_loop().create_task(effect)
        self._effects.add(running)
        running.add_done_callback(self._effects.discard)

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

    async def _create(self, act: CreateContainer) -> None:
        try:
            async with self._slots.take(Turn.CREATE):
                found = await self._runtime.create(act.of, act.spec)
                # Within the slot: the start that follows is in line before the slot is passed on.
                await asyncio.gather(*(self.submit(fact) for fact in facts_of(found, "")))
        except RuntimeCallError as error:
            self._fault(act, "create", error)

    async def _start(self, act: StartContainer) -> None:
        try:
            async with self._slots.take(Turn.START):
                found = await self._runtime.start(act.docker_id)
        except RuntimeCallError as error:
            self._fault(act, "start", error)
        else:
            started = Started(
                task=act.task,
                container=act.container,
                docker_id=act.docker_id,
                at=found.started_at or self._clock(),
                ports=found.ports or host_ports(act),
            )
            self._give(started)
            if found.life is ContainerLife.EXITED:
                self._on_exit(found)

    async def _signal(self, act: SendSignal) -> None:
        try:
            await self._runtime.signal(act.docker_id, act.signal)
        except NotRunningError:
            await self._look(act)
        except RuntimeCallError as error:
            self._fault(act, "signal", error)
        else:
            self._give(SignalSent(task=act.task, container=act.container, at=self._clock()))

    async def _kill(self, act: SendKill) -> None:
        try:
            await self._runtime.signal(act.docker_id, "SIGKILL")
        except NotRunningError:
            await self._look(act)
        except RuntimeCallError as error:
            self._fault(act, "kill", error)
        else:
            self._give(KillSent(task=act.task, container=act.container))

    async def _remove(self, act: RemoveContainer) -> None:
        try:
            await self._runtime.remove(act.docker_id)
        except RuntimeCallError as error:
            log.warning("Container %s of %s was not removed: %s", act.container, act.task, error)

    async def _look(self, about: SendSignal | SendKill) -> None:
        """A signal found nobody. What Docker says now is the truth."""
        try:
            found = await self._runtime.inspect(about.docker_id)
        except RuntimeCallError as error:
            self._fault(about, "kill", error)
            return
        if found is None:
            self._give(Absent(task=about.task, container=about.container, cause="docker.inspect"))
        elif found.life is ContainerLife.EXITED:
            self._on_exit(found)
        else:
            self._fault(about, "kill", RuntimeCallError("CannotStopContainerError", f"it is {found.life}"))

    def _fault(self, act: ContainerInstruction, call: str, error: RuntimeCallError) -> None:
        self._give(RuntimeFault(task=act.task, container=act.container, call=call, error=str(error)))

    # ---- exits -------------------------------------------------------------------------------------------------

    def _on_exit(self, found: Found) -> None:
        for fact in facts_of(found, f"docker.die.{found.docker_id[:12]}"):
            if isinstance(fact, Exited):
                self._give(fact)

    def _on_gap(self) -> None:
        self._spawn(self._relist())

    async def _relist_for_ever(self) -> None:
        while True:
            await asyncio.sleep(RELIST_SECONDS)
            await self._relist()

    async def _relist(self) -> None:
        """Containers that run by our books and not by Docker's list: ask about each."""
        try:
            running = {row.docker_id for row in await self._runtime.containers() if row.is_running}
            for task, container, docker_id in list(self._running()):
                if docker_id in running:
                    continue
                found = await self._runtime.inspect(docker_id)
                if found is None:
                    self._give(Absent(task=task, container=container, cause="docker.list"))
                elif found.life is ContainerLife.EXITED:
                    self._on_exit(found)
        except RuntimeCallError as error:
            log.warning("Docker did not list its containers (%s); it is asked again.", error)

    def _running(self) -> Iterable[tuple[str, str, str]]:
        for machine in self._machines.values():
            for container in machine.state.containers:
                if container.known is Known.RUNNING:
                    yield machine.arn, container.spec.name, container.docker_id


_EFFECTS: dict[type[ContainerInstruction], Callable[[Engine, Any], Coroutine[Any, Any, None]]] = {
    CreateContainer: Engine._create,  # noqa: SLF001 - the table belongs to the class
    StartContainer: Engine._start,  # noqa: SLF001
    SendSignal: Engine._signal,  # noqa: SLF001
    SendKill: Engine._kill,  # noqa: SLF001
    RemoveContainer: Engine._remove,  # noqa: SLF001
}
