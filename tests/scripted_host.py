"""A host for tests of the engine: scripted containers, virtual time, a control plane that takes every report."""

import asyncio

from virtual_time import EPOCH, epoch, run_virtual

from agent.core.events import Desired, ReportAccepted
from agent.core.queueing import Host, QueuePolicy
from agent.core.reporting import ReleaseReport
from agent.core.spec import ContainerSpec, TaskSpec
from agent.core.state import Settings
from agent.engine import Engine
from agent.journal import Journal
from agent.pulling import Puller, PullSettings
from agent.runtime.scripted import ScriptedRuntime
from wire.resources import Amounts
from wire.status import DesiredStatus

RUN, STOP = DesiredStatus.RUNNING, DesiredStatus.STOPPED


class Backend:
    """Takes every report at once and keeps the story."""

    def __init__(self, engine):
        self.engine, self.story, self.reports = engine, [], []
        self.full = []
        self.is_away = False
        self.changed = asyncio.Condition()
        self._sending = set()

    def tell(self, at, subject, kind, _cause, data):
        self.story.append((round(at - EPOCH, 3), kind, subject, data))

    def reports_wait(self, task):
        if not self.is_away:
            sending = asyncio.get_running_loop().create_task(self._take(task))
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)

    async def _take(self, task):
        report = self.engine.next_report(task)
        if report is None:
            return
        word = f"release {report.proof}" if isinstance(report, ReleaseReport) else report.status
        self.full.append((task, report))
        async with self.changed:
            self.reports.append((round(epoch() - EPOCH, 3), task, word))
            self.changed.notify_all()
        await self.engine.submit(ReportAccepted(task=task, number=report.number))

    async def wait_for(self, task, word):
        async with self.changed:
            await self.changed.wait_for(lambda: (task, word) in [(t, w) for _, t, w in self.reports])
        return next(at for at, t, w in self.reports if (t, w) == (task, word))

    def of(self, kind, member="container"):
        """(member, at) of the story's lines of a kind, in order."""
        return [(data.get(member), at) for at, k, _, data in self.story if k is kind]

    def times(self, kind):
        return {subject: at for at, k, subject, _ in self.story if k is kind}


class Machine:
    """A host that can lose its agent and get another."""

    def __init__(self, tmp_path, *, queue=QueuePolicy.FIFO, pull=None, gpus=(), **policy):
        self.path, self.queue, self.settings = tmp_path, queue, Settings(**policy)
        self.pull = pull or PullSettings()
        self.gpus = gpus
        self.runtime = ScriptedRuntime(epoch, latency_seconds=0.3)

    async def boot(self):
        self.journal = Journal(self.path)
        self.engine = Engine(
            host=Host(Amounts(2048, 15731, gpus=len(self.gpus), gpu_ids=frozenset(self.gpus)), self.queue),
            runtime=self.runtime,
            journal=self.journal,
            settings=self.settings,
            clock=epoch,
            instance="i-1",
            puller=Puller(self.runtime, self.journal, clock=epoch, settings=self.pull),
        )
        self.backend = Backend(self.engine)
        self.engine.attach(self.backend)
        await self.engine.resume()
        self.running = asyncio.create_task(self.engine.run())
        return self.backend

    async def kill(self):
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)
        self.journal.close()

    async def run(self, task, *containers):
        """Ask for a task of these containers."""
        spec = TaskSpec(arn=task, family="f", version="1", containers=containers)
        await self.engine.submit(Desired(task=task, cause=f"m-{task}", desired=RUN, spec=spec))

    async def stop(self, task, *, force=False):
        await self.engine.submit(Desired(task=task, cause="m-stop", desired=STOP, force=force))

    def container(self, task, name="main"):
        return next(c for c in self.engine.task(task).containers if c.spec.name == name)

    def calls(self, *verbs):
        """(verb, container) of the runtime's calls, in order."""
        return [call for call in self.runtime.calls if call[0] in verbs]

    async def want(self, task, desired=RUN, **environment):
        container = ContainerSpec(
            name="main", image="i", essential=True, cpu=1024, memory_mib=7372, environment=environment
        )
        spec = TaskSpec(arn=task, containers=(container,)) if desired is RUN else None
        await self.engine.submit(Desired(task=task, cause=f"m-{task}", desired=desired, spec=spec))


def host_test(story):
    """Run an async test body on virtual time."""

    def test(tmp_path):
        run_virtual(story(tmp_path))

    test.__name__ = story.__name__
    test.__doc__ = story.__doc__
    return test
