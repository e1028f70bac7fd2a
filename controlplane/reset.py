"""`POST /_berth/reset`: the state as after a first start, in one call. For test suites; off unless it was switched on.

Tasks are stopped by force, the ordinary way: what an agent then reports, releases and removes is true. It answers when
every host that was connected has registered anew and is connected again. The story and the events go on in their count.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from controlplane.api.clusters import DEFAULT_CLUSTER
from controlplane.committing import Committer
from controlplane.core import lifecycle
from controlplane.core.capacity.model import CapacityProvider, Group, Machine
from controlplane.core.model import Cluster, Instance, Release, Service, Task
from controlplane.core.state import State
from controlplane.core.tables import RECORDS
from controlplane.core.view import Draft, View
from controlplane.logs.store import LogStore
from controlplane.store.port import Store, Watch
from wire.errors import AwsError
from wire.status import InstanceStatus, StopCode, TaskStatus

STOP_SECONDS_MAX = 30.0
"""For the forced stops; whatever has not ended by then is forgotten, and its host stops it when it comes back."""
RETURN_SECONDS_MAX = 30.0
"""For the hosts to come back."""
LOOK_AGAIN_SECONDS = 0.05
REASON = "Reset"

_OF_HOSTS = (Group, Machine, CapacityProvider)
_SUPPLY = ("capacityProviders", "defaultCapacityProviderStrategy")

Homes = dict[str, str]
"""Name of the cluster by the ARN of a connected instance."""


class Reset:
    """Resets one control plane, one call at a time."""

    def __init__(
        self,
        store: Store,
        committer: Committer,
        logs: LogStore,
        new_cluster: Callable[[str], Cluster],
        *,
        forget: Callable[[], Awaitable[None]],
        is_allowed: bool,
    ) -> None:
        """`forget` drops what stands in neither store."""
        self._store = store
        self._committer = committer
        self._logs = logs
        self._new_cluster = new_cluster
        self._forget = forget
        self._is_allowed = is_allowed
        self._one = asyncio.Lock()

    async def run(self, *, is_web_page: bool) -> dict[str, Any]:
        """Reset. Returns how many tasks were stopped, the instances (ARN) that are back, and the store's revision.

        Raises:
            AwsError: 403, nothing has changed: it is not allowed at all, or not to a web page that a browser shows;
                504, a host did not come back in time; the state is empty all the same.
        """
        if not self._is_allowed:
            raise _refused("This control plane may not be reset: start it with --allow-reset.")
        if is_web_page:
            raise _refused("A web page may not reset a control plane.")
        async with self._one:
            stopped = await self._committer.commit(_stop_everything, cause="reset")
            await self._until(_all_stopped, STOP_SECONDS_MAX)
            homes = await self._committer.commit(self._empty, cause="reset")
            await self._forget()
            for group, *_ in await self._logs.groups():
                await self._logs.delete_group(group)
            await self._until(lambda view: not _missing(view, homes), RETURN_SECONDS_MAX)
            if missing := _missing(self._store.view(), homes):
                raise AwsError(
                    f"Everything is empty, but {', '.join(missing)} did not come back within {RETURN_SECONDS_MAX:g} s.",
                    code="ResetIncompleteException",
                    status=504,
                )
            revision = self._store.view().revision
            return {"stoppedTasks": stopped, "containerInstanceArns": list(homes), "revision": revision}

    async def _until(self, holds: Callable[[State], bool], seconds: float) -> None:
        """Wait for a commit after which `holds`, but no longer. A watch that fell behind is taken anew."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not await self._has_come(holds):  # noqa: ASYNC110 - it is commits that are waited for
                    await asyncio.sleep(LOOK_AGAIN_SECONDS)

    async def _has_come(self, holds: Callable[[State], bool]) -> bool:
        """Watch until `holds`; False: the watch has ended before."""
        watch: Watch = self._store.watch()
        try:
            while not holds(self._store.view()):
                await anext(watch)
        except StopAsyncIteration:
            return False
        finally:
            watch.close()
        return True

    def _empty(self, draft: Draft) -> Homes:
        """Delete every record but the hosts' own: groups with their providers, and who registers once in its life."""
        for task in list(draft.records(Task)):
            lifecycle.observe_lost(draft, task, stop_code=StopCode.USER_INITIATED, reason=REASON)
        homes = {i.arn: i.cluster for i in draft.records(Instance) if i.agent_connected and _is_alive(i)}
        supply = {name: _supply(draft, name) for name in sorted({DEFAULT_CLUSTER, *homes.values()})}
        for kind in filter(lambda kind: kind not in _OF_HOSTS, RECORDS):
            for record in list(draft.records(kind)):
                if isinstance(record, Task):
                    lifecycle.forget(draft, record)
                elif not (isinstance(record, Instance) and record.arn in homes and record.release is Release.NONE):
                    draft.delete(record)
        for name, body in supply.items():
            draft.put(msgspec.structs.replace(self._new_cluster(name), body=body))
        return homes


def _supply(view: View, cluster: str) -> dict[str, Any]:
    """What a cluster (name) has its hosts from, as in its body."""
    record = view.cluster(cluster)
    return {member: record.body[member] for member in _SUPPLY if member in record.body} if record is not None else {}


def _refused(sentence: str) -> AwsError:
    return AwsError(sentence, code="AccessDeniedException", status=403)


def _stop_everything(draft: Draft) -> int:
    """No service may start anything any more; every task is to end at once. Returns how many tasks."""
    for service in list(draft.records(Service)):
        draft.delete(service)
    tasks = [task for task in draft.records(Task) if task.last_status is not TaskStatus.STOPPED]
    for task in tasks:
        instance = draft.instance(task.instance) if task.instance else None
        if instance is not None and not instance.agent_connected:
            lifecycle.observe_lost(draft, task, stop_code=StopCode.USER_INITIATED, reason=REASON)
        else:
            lifecycle.force_stop(draft, task, reason=REASON)
    return len(tasks)


def _all_stopped(view: View) -> bool:
    return all(task.last_status is TaskStatus.STOPPED for task in view.records(Task))


def _missing(view: View, homes: Homes) -> list[str]:
    back = {i.arn for i in view.records(Instance) if i.agent_connected}
    return [arn for arn in homes if arn not in back]


def _is_alive(instance: Instance) -> bool:
    return instance.status is not InstanceStatus.INACTIVE
