"""Decide, commit, and decide anew where the world has moved in between: what every writer of the shell does.

Who asks in one turn of the loop is decided one after the other in the next, and their plans go to the store together.
Each keeps a plan of its own: one that is refused, or meets another, takes nothing from the rest.
"""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from controlplane.core.plan import Conflict, Plan
from controlplane.core.view import Draft
from controlplane.store.port import Store
from wire.errors import ServerException

T = TypeVar("T")

ATTEMPTS_MAX = 8
"""Plans for one matter at most. Assumed: more than this in a row is no accident."""
MATTERS_MAX = 10_000
"""Matters at once; who comes then waits for a place."""


class _Matter(msgspec.Struct):
    decide: Callable[[Draft], Any]
    finish: Callable[[Plan, Any], Plan]
    cause: str
    done: "asyncio.Future[int]"
    """The revision once its plan is durable, or why it is not."""
    result: Any = None
    refusal: BaseException | None = None


class Committer:
    """Commits decisions. Those that met another queue up, so that a crowd at one record gets through one by one."""

    def __init__(
        self, store: Store, *, clock: Callable[[], float], on_conflict: Callable[[str], None] = lambda _: None
    ) -> None:
        self._store = store
        self._clock = clock
        self._on_conflict = on_conflict
        self._contested = asyncio.Lock()
        self._places = asyncio.Semaphore(MATTERS_MAX)
        self._asked: list[_Matter] = []

    async def commit(
        self,
        decide: Callable[[Draft], T],
        *,
        cause: str,
        finish: Callable[[Plan, T], Plan] = lambda plan, _: plan,
    ) -> T:
        """The result of `decide`, once its plan is durable. `finish` has the last word on a plan that changes anything.

        Raises:
            ServerException: other changes came first, ATTEMPTS_MAX times in a row; nothing has changed.
            AwsError: `decide` refused; nothing has changed.
        """
        async with self._places:
            try:
                return await self._try(decide, finish, cause)
            except Conflict as conflict:
                self._on_conflict(conflict.why)
            async with self._contested:
                for _ in range(ATTEMPTS_MAX - 1):
                    try:
                        return await self._try(decide, finish, cause)
                    except Conflict as conflict:
                        self._on_conflict(conflict.why)
        raise ServerException(f"Other changes came first {ATTEMPTS_MAX} times in a row. Try again.")

    async def _try(self, decide: Callable[[Draft], T], finish: Callable[[Plan, T], Plan], cause: str) -> T:
        loop = asyncio.get_running_loop()
        matter = _Matter(decide, finish, cause, loop.create_future())
        if not self._asked:
            loop.call_soon(self._decide_all)
        self._asked.append(matter)
        await matter.done
        if matter.refusal is not None:
            raise matter.refusal
        result: T = matter.result
        return result

    def _decide_all(self) -> None:
        asked, self._asked = self._asked, []
        for matter in asked:
            if not matter.done.done():  # else the caller has gone
                self._decide(matter)

    def _decide(self, matter: _Matter) -> None:
        view = self._store.view()
        draft = Draft(view, now=self._clock(), cause=matter.cause)
        try:
            matter.result = matter.decide(draft)
            plan = draft.plan()
            if plan:
                self._store.offer(matter.finish(plan, matter.result), matter.done)
                return
        except BaseException as refusal:  # noqa: BLE001 - also a mistake of ours: its caller gets it, and nobody else
            matter.refusal = refusal
        matter.done.set_result(view.revision)
