"""Decide, commit, and decide anew where the world has moved in between: what every writer of the shell does.

Who asks in one turn of the loop is decided one after the other in the next, and their plans go to the store together.
Each keeps a plan of its own: one that is refused, or meets another, takes nothing from the rest.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from controlplane.core.plan import Conflict, Plan
from controlplane.core.view import Draft
from controlplane.store.port import Store, Waiter
from wire.errors import ServerException

T = TypeVar("T")

ATTEMPTS_MAX = 8
"""Plans for one matter at most. Assumed: more than this in a row is no accident."""
MATTERS_MAX = 10_000
"""Matters at once; who comes then waits for a place."""


def as_it_is(plan: Plan, _: Any) -> Plan:
    """The plan that was decided, and nothing besides."""
    return plan


class _Matter(msgspec.Struct):
    """Something to decide. It is what the store tells the outcome of its plan."""

    committer: "Committer"
    decide: Callable[[Draft], Any]
    finish: Callable[[Plan, Any], Plan]
    cause: str
    waiter: Waiter[Any]
    result: Any = None
    attempts: int = 0
    is_over: bool = False

    def done(self) -> bool:
        """Not because whoever asked has gone: its place is to be given back all the same."""
        return self.is_over

    def set_result(self, _: int) -> None:
        self.committer.end(self)
        if not self.waiter.done():
            self.waiter.set_result(self.result)

    def set_exception(self, error: BaseException) -> None:
        if isinstance(error, Conflict):
            if self.committer.tries_again(self, error):
                return
            error = ServerException(f"Other changes came first {ATTEMPTS_MAX} times in a row. Try again.")
        self.committer.end(self)
        if not self.waiter.done():
            self.waiter.set_exception(error)


class Committer:
    """Commits decisions. Those that met another queue up, so that a crowd at one record gets through one by one."""

    def __init__(
        self, store: Store, *, clock: Callable[[], float], on_conflict: Callable[[str], None] = lambda _: None
    ) -> None:
        self._store = store
        self._clock = clock
        self._on_conflict = on_conflict
        self._asked: list[_Matter] = []
        self._contested: deque[_Matter] = deque()
        """Those that met another; the first one is being decided anew."""
        self._matters = 0
        self._outside: deque[_Matter] = deque()

    async def commit(
        self,
        decide: Callable[[Draft], T],
        *,
        cause: str,
        finish: Callable[[Plan, T], Plan] = as_it_is,
    ) -> T:
        """The result of `decide`, once its plan is durable. `finish` has the last word on a plan that changes anything.

        Raises:
            ServerException: other changes came first, ATTEMPTS_MAX times in a row; nothing has changed.
            AwsError: `decide` refused; nothing has changed.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.ask(decide, done, cause=cause, finish=finish)
        return await done

    def ask(
        self, decide: Callable[[Draft], T], waiter: Waiter[T], *, cause: str, finish: Callable[[Plan, T], Plan]
    ) -> None:
        """`commit` for who waits elsewhere: `waiter` gets the result or the exception."""
        matter = _Matter(self, decide, finish, cause, waiter)
        self._matters += 1
        if self._matters > MATTERS_MAX:
            self._outside.append(matter)
        else:
            self._take(matter)

    def _take(self, matter: _Matter) -> None:
        if not self._asked:
            asyncio.get_running_loop().call_soon(self._decide_all)
        self._asked.append(matter)

    def _decide_all(self) -> None:
        asked, self._asked = self._asked, []
        for matter in asked:
            if matter.waiter.done():  # who asked has gone
                self.end(matter)
            else:
                self._decide(matter)

    def _decide(self, matter: _Matter) -> None:
        view = self._store.view()
        draft = Draft(view, now=self._clock(), cause=matter.cause)
        try:
            matter.result = matter.decide(draft)
            plan = draft.plan()
            if plan:
                self._store.offer(matter.finish(plan, matter.result), matter)
                return
        except StopIteration as mistake:  # which no future takes
            matter.set_exception(RuntimeError(f"a decision stopped: {mistake!r}"))
        except BaseException as refusal:  # noqa: BLE001 - also a mistake of ours: its caller gets it, and nobody else
            matter.set_exception(refusal)
        else:
            matter.set_result(view.revision)

    def tries_again(self, matter: _Matter, conflict: Conflict) -> bool:
        """Whether a matter whose plan met another is decided anew: behind all that met another before."""
        self._on_conflict(conflict.why)
        matter.attempts += 1
        if matter.attempts == ATTEMPTS_MAX:
            return False
        if matter.attempts == 1:
            self._contested.append(matter)
        if self._contested[0] is matter:
            self._take(matter)
        return True

    def end(self, matter: _Matter) -> None:
        """It is over; its place is another's."""
        matter.is_over = True
        self._matters -= 1
        if self._outside:
            self._take(self._outside.popleft())
        if matter.attempts:
            self._contested.popleft()  # only the first one is ever decided
            if self._contested:
                self._take(self._contested[0])
