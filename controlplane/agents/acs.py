"""The ACS sessions: one websocket for each connected instance, and who is connected.

What a session says is `acs_session.py`'s matter.
"""

import contextlib
from collections.abc import Callable, Iterable

import msgspec
import structlog
from aiohttp import WSCloseCode, web

from controlplane.agents.acs_session import CLOSE_SECONDS_MAX, FRAME_BYTES_MAX, Known, Session, Shared
from controlplane.agents.refusal import refusal
from controlplane.agents.roles import Roles
from controlplane.agents.telling import Teller
from controlplane.api.call import Account
from controlplane.api.role_keys import Mint
from controlplane.committing import Committer
from controlplane.core.instances import set_status
from controlplane.core.model import Instance
from controlplane.core.view import Draft
from controlplane.metrics import Metrics
from controlplane.store.port import Store, StoreClosed
from wire.status import InstanceStatus

BUFFERED_BYTES_MAX = 1024 * 1024
"""What an agent has not taken yet; with more, its session waits for it. Far above the payload of one task."""

_log = structlog.get_logger(__name__)


class Sessions:
    """All sessions, by the ARN of their instance. Serves `GET /acs/ws`."""

    def __init__(
        self,
        *,
        store: Store,
        committer: Committer,
        account: Account,
        clock: Callable[[], float],
        metrics: Metrics,
        mint: Mint,
    ) -> None:
        self._shared = Shared(store, committer, account, clock, metrics, self._next_timeline, Teller(store))
        self._open: dict[str, Session] = {}
        self._stirred: dict[str, list[str]] = {}
        """Tasks (ARNs) by instance (ARN)."""
        self._mint = mint
        self._known: dict[str, Known] = {}
        self._timeline = 0
        self._closing = False

    def _next_timeline(self) -> int:
        """Of a manifest: above every one before, above any sequence number, and above those before a restart of ours.

        Epoch milliseconds are all that; payloads count in revisions of the store, which are far below.
        """
        self._timeline = max(self._timeline + 1, int(self._shared.clock() * 1000))
        return self._timeline

    def wake(self, instance: str) -> None:
        """Something about `instance` (ARN) may have changed."""
        session = self._open.get(instance)
        if session is not None:
            session.wake()
        else:
            self._forget_gone([instance])

    def stir(self, instance: str, task: str) -> None:
        """One task (ARN) of `instance` (ARN) may have changed, and nothing else; `tell` follows."""
        self._stirred.setdefault(instance, []).append(task)

    async def tell(self) -> None:
        """Let the agents know of the tasks that have been stirred. It waits for none of them."""
        stirred, self._stirred = self._stirred, {}
        for instance, tasks in stirred.items():
            session = self._open.get(instance)
            if session is not None:
                await session.tell(tasks)

    async def send(self, instance: str, message: msgspec.Struct) -> bool:
        """Send a message beside all that is level-driven; whether `instance` (ARN) is connected."""
        if instance in self._open:
            await self._open[instance].send(message)
        return instance in self._open

    def wake_all(self) -> None:
        """Anything may have changed."""
        for session in self._open.values():
            session.wake()
        self._forget_gone(self._known.keys() - self._open.keys())

    def _forget_gone(self, instances: Iterable[str]) -> None:
        """What is known of an instance goes with it."""
        view = self._shared.store.view()
        for arn in instances:
            if refusal(view.instance(arn), arn) is not None:
                self._known.pop(arn, None)

    def close(self) -> None:
        """End every session; the agents come back at once, to us or to who follows us."""
        self._closing = True
        for session in self._open.values():
            session.leave(code=WSCloseCode.GOING_AWAY)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One session, from the upgrade to its end."""
        arn = request.query.get("containerInstanceArn", "")
        refused = refusal(self._shared.store.view().instance(arn), arn)
        if refused is not None:
            return refused
        socket = web.WebSocketResponse(max_msg_size=FRAME_BYTES_MAX, compress=False, timeout=CLOSE_SECONDS_MAX)
        await socket.prepare(request)
        known = self._known.setdefault(arn, Known(set(), Roles(self._mint)))
        if request.query.get("sendCredentials") == "true":
            known.roles.forget()
        transport = request.transport
        if transport is None:  # it has gone already
            return socket
        transport.set_write_buffer_limits(high=BUFFERED_BYTES_MAX)
        session = Session(self._shared, arn, socket, known, transport.get_write_buffer_size)
        former = self._open.get(arn)
        self._open[arn] = session
        self._shared.metrics.agents_connected.set(len(self._open))
        try:
            if former is not None:
                former.leave(code=WSCloseCode.OK)
            await self._note_connected(arn, request)
            await session.run()
        except StoreClosed:
            _log.debug("session ends with the store", instance=arn)
        finally:
            await self._left(arn, session)
        return socket

    async def forget_absent(self) -> None:
        """Mark instances as disconnected that say they are connected and have no session (after a restart of ours)."""
        for instance in list(self._shared.store.view().records(Instance)):
            if instance.agent_connected and instance.arn not in self._open:
                await self._set_connected(instance.arn, connected=False)

    async def _note_connected(self, arn: str, request: web.Request) -> None:
        versions = {
            "agent_version": request.query.get("agentVersion", ""),
            "docker_version": request.query.get("dockerVersion", ""),
        }
        await self._set_connected(arn, connected=True, **versions)

    async def _left(self, arn: str, session: Session) -> None:
        if self._open.get(arn) is not session:
            return
        del self._open[arn]
        self._forget_gone([arn])
        self._shared.metrics.agents_connected.set(len(self._open))
        if not self._closing:
            with contextlib.suppress(StoreClosed):
                await self._set_connected(arn, connected=False)

    async def _set_connected(self, arn: str, *, connected: bool, **versions: str) -> None:
        def decide(draft: Draft) -> None:
            instance = draft.instance(arn)
            if instance is None or instance.status is InstanceStatus.INACTIVE:
                return
            named = msgspec.structs.replace(instance, **{name: text for name, text in versions.items() if text})
            if named != instance:
                draft.put(named)
            set_status(draft, named, named.status, connected=connected)

        await self._shared.committer.commit(decide, cause="")
