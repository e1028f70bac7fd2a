"""What a store asks for the events of a plan that it is about to keep, so that both are durable in one write."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import structlog

from controlplane.core.batch import Batch
from controlplane.core.model import Task, TaskDefinition
from controlplane.core.plan import Key, Plan
from controlplane.core.roster import Roster
from controlplane.core.state import State
from controlplane.core.view import R, View
from controlplane.events.eventbridge import Kept, Moment, events_of, rendered
from wire.arn import ArnMaker
from wire.resources import Room

_IS_KEPT = b'{"of":'
"""How what is to be rendered begins; an event that was rendered at once begins with its `version`."""

_log = structlog.get_logger(__name__)


class Emitter:
    """What is to be kept of the events of plans, and the events of what was kept. `clock` tells epoch seconds."""

    def __init__(self, arns: ArnMaker, clock: Callable[[], float]) -> None:
        self._arns = arns
        self._clock = clock

    def __call__(self, plan: Plan, state: State, batch: Batch) -> list[Any]:
        """Of a plan that `batch` has just accepted on `state`; each is one JSON object."""
        moment = Moment(self._clock(), self._arns)
        try:
            return events_of(plan, state, _After(state, batch), moment)
        except Exception:  # noqa: BLE001 - an event that cannot be told must not keep what happened from being kept
            _log.exception("events of a commit are lost", cause=plan.cause)
            return []


_kept_decoder = msgspec.json.Decoder(Kept)


def render(kept: bytes) -> bytes:
    """The event that this was kept of, as JSON without a newline."""
    if not kept.startswith(_IS_KEPT):
        return kept
    try:
        return msgspec.json.encode(rendered(_kept_decoder.decode(kept)))
    except Exception:  # noqa: BLE001 - those behind it are told all the same, and of it whatever there is
        _log.exception("an event cannot be rendered", kept=kept[:200])
        return kept


class _After(View):
    """The world once a batch is true. No event lists tasks or definitions, so nobody counts them for one."""

    def __init__(self, state: State, batch: Batch) -> None:
        self._state = state
        self._batch = batch

    def record(self, kind: type[R], key: str) -> R | None:
        return self._batch.record(kind, key)

    def free(self, instance: str) -> Room:
        return self._batch.free(instance)

    def moves(self, instance: str) -> int:
        return self._batch.moves(instance)

    def records(self, kind: type[R]) -> Iterator[R]:
        return self._batch.records(kind)

    def tasks_of(self, service: str) -> list[Task]:
        del service
        return []

    def tasks_on(self, instance: str) -> list[Task]:
        del instance
        return []

    def tasks_in(self, cluster: str, group: str) -> list[Task]:
        del cluster, group
        return []

    def task_definitions_of(self, family: str) -> list[TaskDefinition]:
        del family
        return []

    def revision_of(self, key: Key) -> int:
        return self._state.revision_of(key)

    def roster(self, cluster: str) -> Roster:
        return self._state.roster(cluster)
