"""Decide, commit, and decide anew where the world has moved in between: what every writer of the shell does."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import TypeVar

from controlplane.core.plan import Conflict, Plan
from controlplane.core.view import Draft
from controlplane.store.port import Store
from wire.errors import ServerException

T = TypeVar("T")

ATTEMPTS_MAX = 8
"""Plans for one matter at most. Assumed: more than this in a row is no accident."""


class Committer:
    """Commits decisions. Those that met another queue up, so that a crowd at one record gets through one by one."""

    def __init__(
        self, store: Store, *, clock: Callable[[], float], on_conflict: Callable[[str], None] = lambda _: None
    ) -> None:
        self._store = store
        self._clock = clock
        self._on_conflict = on_conflict
        self._contested = asyncio.Lock()

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
        async with contextlib.AsyncExitStack() as queue:
            for attempt in range(ATTEMPTS_MAX):
                draft = Draft(self._store.view(), now=self._clock(), cause=cause)
                result = decide(draft)
                plan = draft.plan()
                try:
                    if plan:
                        await self._store.commit(finish(plan, result))
                except Conflict as conflict:
                    self._on_conflict(conflict.why)
                    if not attempt:
                        await queue.enter_async_context(self._contested)
                else:
                    return result
        raise ServerException(f"Other changes came first {ATTEMPTS_MAX} times in a row. Try again.")
