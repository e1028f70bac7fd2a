"""Carries out what the machines ask of the container runtime. An effect never raises: it comes back as a fact."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from agent.core.events import Absent, Event, Exited, KillSent, Pulled, RuntimeFault, SignalSent, Started
from agent.core.instructions import (
    ContainerInstruction,
    CreateContainer,
    LeaveImage,
    RemoveContainer,
    RemoveResources,
    SeeToImage,
    SendKill,
    SendSignal,
    StartContainer,
)
from agent.pulling import Puller
from agent.runtime.facts import facts_of, host_ports
from agent.runtime.port import ContainerLife, Found, NoAnswerError, NotRunningError, Runtime, RuntimeCallError
from agent.slots import Slots, Turn

RESTART_TRIES = 40
RESTART_WAIT_SECONDS = 0.05

log = logging.getLogger(__name__)


class Effects:
    """Effects under way. `give` takes a fact at once, `submit` returns when it is on disk."""

    def __init__(
        self,
        runtime: Runtime,
        puller: Puller,
        *,
        clock: Callable[[], float],
        give: Callable[[Event], None],
        submit: Callable[[Event], Awaitable[None]],
    ) -> None:
        self._runtime = runtime
        self._puller = puller
        self._clock = clock
        self._give = give
        self._submit = submit
        self._slots = Slots()
        self._running: set[asyncio.Task[None]] = set()
        self._pulls: dict[tuple[str, str], asyncio.Task[None]] = {}

    def carry_out(self, act: ContainerInstruction) -> None:
        """Begin it."""
        key = (act.task, act.container)
        if isinstance(act, LeaveImage):
            if key in self._pulls:
                self._pulls[key].cancel()
            return
        effect = self.spawn(_EFFECTS[type(act)](self, act))
        if isinstance(act, SeeToImage):
            self._pulls[key] = effect
            effect.add_done_callback(lambda _: self._pulls.pop(key, None))

    def spawn(self, effect: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something beside the engine's loop, until it is done or the engine ends."""
        running = asyncio.get_running_loop().create_task(effect)
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        return running

    def cancel(self) -> None:
        """The agent ends. What Docker has been asked for goes on there."""
        for effect in self._running:
            effect.cancel()

    def tell_exit(self, found: Found) -> None:
        """What the runtime says of a container that has ended."""
        for fact in facts_of(found, f"docker.die.{found.docker_id[:12]}"):
            if isinstance(fact, Exited):
                self._give(fact)

    async def _see_to_image(self, act: SeeToImage) -> None:
        try:
            ready = await self._puller.see_to(act.spec.image, act.spec.registry)
        except RuntimeCallError as error:
            self._fault(act, "pull", error)
        else:
            self._give(
                Pulled(
                    task=act.task,
                    container=act.container,
                    digest=ready.digest,
                    pull_started_at=ready.pull_started_at,
                    pull_stopped_at=ready.pull_stopped_at,
                    error=ready.error,
                )
            )

    async def _create(self, act: CreateContainer) -> None:
        try:
            async with self._slots.take(Turn.CREATE):
                found = await self._runtime.create(act.of, act.spec)
                # Within the slot: the start that follows is in line before the slot is passed on.
                await asyncio.gather(*(self._submit(fact) for fact in facts_of(found, "")))
        except RuntimeCallError as error:
            self._fault(act, "create", error)

    async def _start(self, act: StartContainer) -> None:
        try:
            async with self._slots.take(Turn.START):
                found = await self._start_anew(act)
        except RuntimeCallError as error:
            started_all_the_same = await self._started_all_the_same(act)
            if started_all_the_same is None:
                self._fault(act, "start", error)
                return
            found = started_all_the_same
        started = Started(
            task=act.task,
            container=act.container,
            docker_id=act.docker_id,
            at=found.started_at or self._clock(),
            ports=found.ports or host_ports(act),
            address=found.address,
            stop_signal=found.stop_signal,
        )
        self._give(started)
        if found.life is ContainerLife.EXITED:
            self.tell_exit(found)

    async def _start_anew(self, act: StartContainer) -> Found:
        """Right after an exit Docker may still hold the container for running: then its start does nothing."""
        for _ in range(RESTART_TRIES):
            found = await self._runtime.start(act.docker_id)
            if act.after is None or found.started_at is None or found.started_at != act.after:
                return found
            await asyncio.sleep(RESTART_WAIT_SECONDS)
        raise RuntimeCallError("CannotStartContainerError", "Docker does not notice that the container has exited")

    async def _started_all_the_same(self, act: StartContainer) -> Found | None:
        """A start whose answer was lost may have worked; what it started may even have ended since."""
        try:
            found = await self._runtime.inspect(act.docker_id)
        except RuntimeCallError:
            return None
        if found is None or found.life is ContainerLife.CREATED:
            return None
        has_run = found.life is ContainerLife.RUNNING or found.started_at != act.after
        return found if has_run else None

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
            await self._runtime.remove(act.docker_id, force=act.force)
        except RuntimeCallError as error:
            log.warning("Container %s of %s was not removed: %s", act.container, act.task, error)

    async def remove_resources(self, act: RemoveResources) -> None:
        """What was made for a task besides its containers goes when these have gone."""
        try:
            await self._runtime.remove_resources(act.of)
        except RuntimeCallError as error:
            log.warning("Something of %s was left behind: %s", act.task, error)

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
            self.tell_exit(found)
        else:
            self._fault(about, "kill", RuntimeCallError("CannotStopContainerError", f"it is {found.life}"))

    def _fault(self, act: ContainerInstruction, call: str, error: RuntimeCallError) -> None:
        is_away = isinstance(error, NoAnswerError)
        fault = RuntimeFault(task=act.task, container=act.container, call=call, error=str(error), is_away=is_away)
        self._give(fault)


_EFFECTS: dict[type[ContainerInstruction], Callable[[Effects, Any], Coroutine[Any, Any, None]]] = {
    SeeToImage: Effects._see_to_image,  # noqa: SLF001 - the table belongs to the class
    CreateContainer: Effects._create,  # noqa: SLF001
    StartContainer: Effects._start,  # noqa: SLF001
    SendSignal: Effects._signal,  # noqa: SLF001
    SendKill: Effects._kill,  # noqa: SLF001
    RemoveContainer: Effects._remove,  # noqa: SLF001
}
