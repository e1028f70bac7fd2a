"""Decide, commit, and decide anew where the world has moved in between: what every writer does."""

from collections.abc import Callable
from typing import TypeVar

from controlplane.core.plan import Conflict, Plan
from controlplane.core.view import Draft
from controlplane.store.port import Store
from wire.errors import ServerException

T = TypeVar("T")

ATTEMPTS_MAX = 32
"""Plans for one matter at most: so many callers may want the same record at once. Each costs one write of the store."""


async def commit_decided(
    store: Store,
    decide: Callable[[Draft], T],
    *,
    clock: Callable[[], float],
    cause: str,
    finish: Callable[[Plan, T], Plan] = lambda plan, _: plan,
    on_conflict: Callable[[str], None] = lambda _: None,
) -> T:
    """The result of `decide`, once its plan is durable. `finish` has the last word on a plan that changes anything.

    Raises:
        ServerException: other changes came first, ATTEMPTS_MAX times in a row; nothing has changed.
        AwsError: `decide` refused; nothing has changed.
    """
    for _ in range(ATTEMPTS_MAX):
        draft = Draft(store.view(), now=clock(), cause=cause)
        result = decide(draft)
        plan = draft.plan()
        try:
            if plan:
                await store.commit(finish(plan, result))
        except Conflict as conflict:
            on_conflict(conflict.why)
        else:
            return result
    raise ServerException(f"Other changes came first {ATTEMPTS_MAX} times in a row. Try again.")
