"""The agent dies at every point where it can: before and after each write to its disk, and between the acts of a turn.

A small host on virtual time: a chain of three, a task that ends at TERM, one that ignores it, and one in the queue.
What Docker has been asked for goes on without the agent; a second later it is started again.
"""

import asyncio
from collections import Counter

import pytest
from scripted_host import Backend, Machine
from virtual_time import epoch, run_virtual

from agent.core.reporting import ReleaseReport
from agent.core.spec import Condition, ContainerSpec, Dependency
from agent.core.state import Release
from agent.core.stopping import Stage
from agent.engine import Engine
from agent.journal import Journal
from agent.runtime.port import ContainerLife
from agent.runtime.scripted import ScriptedRuntime

GRACE_SECONDS = 5
POINTS_MAX = 400


class Death(BaseException):
    """kill -9."""


class Docker(ScriptedRuntime):
    """Calls that have begun come to their end, whoever asked; it counts starts, and keeps signals and exits."""

    def __init__(self):
        super().__init__(epoch, latency_seconds=0.3)
        self.runs, self.signals, self.exits = Counter(), [], {}
        self._going = set()

    async def _on_its_own(self, call):
        going = asyncio.get_running_loop().create_task(call)
        self._going.add(going)
        going.add_done_callback(self._going.discard)
        return await asyncio.shield(going)

    async def create(self, task, container):
        return await self._on_its_own(super().create(task, container))

    async def start(self, docker_id):
        return await self._on_its_own(super().start(docker_id))

    async def signal(self, docker_id, signal):
        await self._on_its_own(super().signal(docker_id, signal))
        self.signals.append((self._by_id[docker_id].spec.name, signal, epoch()))

    def _run(self, container):
        self.runs[container.spec.name] += 1
        super()._run(container)

    def _exit(self, container, code, error=""):
        super()._exit(container, code, error)
        self.exits[container.spec.name] = (code, epoch())

    def alive(self, task):
        """Containers of a task that run."""
        rows = [container.found for container in self._by_id.values()]
        return [found.container for found in rows if found.task == task and found.life is ContainerLife.RUNNING]


class Mortal:
    """Counts points; at the chosen one the agent dies."""

    def __init__(self, number):
        self.left, self.has_struck = number, False

    def pass_point(self):
        self.left -= 1
        if self.left == 0:
            self.has_struck = True
            raise Death


class World(Machine):
    """A host whose agent dies once, and a control plane that says again what the agent has not taken in."""

    def __init__(self, path, mortal, where, **policy):
        super().__init__(path, stop_timeout_seconds=GRACE_SECONDS, **policy)
        self.runtime, self.mortal, self.where = Docker(), mortal, where
        self.told, self.asked = [], set()

    async def kill(self):
        containers = [container for state in self.journal.tasks() for container in state.containers]
        self.asked |= {c.spec.name for c in containers if c.stop is not None and c.stop.stage is Stage.ASKED}
        await super().kill()
        for timer in self.engine._timers.values():  # it may have died before its loop began
            timer.cancel()
        self.engine._effects.cancel()

    def patch(self, monkeypatch):
        """Let it die where this walk wants it to."""
        save, act, take = Journal.save, Engine._act, Backend._take

        def deadly_save(journal, changed, forgotten):
            journal._db.execute("PRAGMA synchronous = OFF")  # nobody pulls the plug here
            if self.where == "before" and (changed or forgotten):
                self.mortal.pass_point()
            save(journal, changed, forgotten)
            if self.where == "after" and (changed or forgotten):
                self.mortal.pass_point()

        def deadly_act(engine, instruction):
            if self.where == "between":
                self.mortal.pass_point()
            act(engine, instruction)

        async def watched_take(backend, task):
            report = backend.engine.next_report(task)
            if report is not None and self.alive_after(task, report):
                raise AssertionError(f"{report} is told while something of it runs")
            await take(backend, task)

        monkeypatch.setattr(Journal, "save", deadly_save)
        monkeypatch.setattr(Engine, "_act", deadly_act)
        monkeypatch.setattr(Backend, "_take", watched_take)

    def alive_after(self, task, report):
        is_end = isinstance(report, ReleaseReport) and self.settings.release is Release.ON_EXIT
        is_end = is_end or getattr(report, "status", "") == "STOPPED"
        self.told.append((task, report))
        return is_end and self.runtime.alive(task)

    async def keep_alive(self):
        """Boot; after a death, a second later, boot again."""
        while True:
            try:
                await self.boot()
                await self.running
            except Death:
                await self.kill()
                await asyncio.sleep(1)

    async def say(self, verb, task, *arguments):
        """Until the agent has it on disk."""
        while True:
            try:
                async with asyncio.timeout(0.05):
                    await verb(task, *arguments)
                    return
            except (TimeoutError, Death, AttributeError):
                await asyncio.sleep(0.5)

    async def until(self, look):
        async with asyncio.timeout(300):
            while not look():  # noqa: ASYNC110 - virtual time
                await asyncio.sleep(0.05)

    def is_told(self, task, status):
        return any(t == task and getattr(report, "status", "") == status for t, report in self.told)


def container(name, *depends, cpu=100, **environment):
    return ContainerSpec(
        name=name,
        image="i",
        essential=True,
        cpu=cpu,
        memory_mib=64,
        environment=environment,
        depends_on=tuple(Dependency(on, Condition.START) for on in depends),
    )


CHAIN = (
    container("db", QUIT_SECONDS="1"),
    container("app", "db", QUIT_SECONDS="2"),
    container("web", "app", ON_TERM="ignore"),
)
TASKS = {
    "chain": CHAIN,
    "quits": (container("quits", QUIT_SECONDS="1"),),
    "ignores": (container("ignores", ON_TERM="ignore", cpu=1500),),
    "queued": (container("queued", RUN_SECONDS="2", EXIT_CODE="3", cpu=1500),),
}
CODES = {"db": 0, "app": 0, "web": 137, "quits": 0, "ignores": 137, "queued": 3}


async def live(world):
    """The scenario; afterwards everything has stopped, once."""
    life = asyncio.create_task(world.keep_alive())
    try:
        for task, containers in TASKS.items():
            await world.say(world.run, task, *containers)
        await world.until(lambda: all(world.is_told(task, "RUNNING") for task in ("chain", "quits", "ignores")))
        for task in ("chain", "quits", "ignores"):
            await world.say(world.stop, task)
        await world.until(lambda: all(world.is_told(task, "STOPPED") for task in TASKS))
        await asyncio.sleep(3)
    finally:
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)
    check(world)
    await world.kill()


def check(world):
    """Each ran once, to its own end, and its report is true."""
    docker = world.runtime
    assert docker.runs == dict.fromkeys(CODES, 1), "each started once"
    assert {name: code for name, (code, _) in docker.exits.items()} == CODES
    for name in ("web", "ignores"):
        terms = [at for n, signal, at in docker.signals if (n, signal) == (name, "SIGTERM")]
        assert len(terms) == 1 or (len(terms) == 2 and name in world.asked), (
            "again only where the first was not on disk"
        )
        assert docker.exits[name][1] - terms[-1] >= GRACE_SECONDS - 0.001, "not killed early"
        assert docker.exits[name][1] - terms[0] <= GRACE_SECONDS + 1.6, "nor forgotten"
    for task, containers in TASKS.items():
        state = world.engine.task(task)
        assert [c.exit_code for c in state.containers] == [CODES[c.name] for c in containers]
        assert state.outbox == []
    assert list(world.engine._host.ledger) == [], "all room is free"


def killed_at(path, monkeypatch, number, where, release):
    """Whether the agent came to that point."""
    with monkeypatch.context() as patch:
        mortal = Mortal(number)

        async def story():
            world = World(path / f"{where}-{number}", mortal, where, release=release)
            world.patch(patch)
            await live(world)

        try:
            run_virtual(story())
        except BaseException as error:
            error.add_note(f"killed {where} point {number}")
            raise
        return mortal.has_struck


@pytest.mark.parametrize("release", list(Release))
@pytest.mark.parametrize("where", ["before", "after", "between"])
def test_killed_at_every_point(tmp_path, monkeypatch, where, release):
    points = next(n for n in range(1, POINTS_MAX) if not killed_at(tmp_path, monkeypatch, n, where, release)) - 1
    assert points >= 20
