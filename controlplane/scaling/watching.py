"""The loop of service auto scaling: each minute what was measured is noted, alarms and policies are looked at.

Measured is what services use and what target groups carry. It decides nothing. Its minutes are the scaler's
(`core.capacity.pace`); scheduled actions go by the wall clock. What it remembers is which minute was looked at last:
after a restart it looks anew, and cooldowns, which are kept, still hold.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from itertools import chain

import msgspec
import structlog

from controlplane.committing import Committer
from controlplane.core.capacity.pace import Pace
from controlplane.core.names import Names
from controlplane.core.scaling import scaler
from controlplane.core.scaling.metrics import PERIOD_SECONDS, one
from controlplane.core.scaling.model import MetricAlarm, ScalableTarget, ScalingActivity, ScheduledAction, Status
from controlplane.core.scaling.scaler import Minute
from controlplane.core.view import Draft
from controlplane.scaling import timing, traffic, utilisation
from controlplane.scaling.minutes import Minutes
from controlplane.store.port import Store, StoreClosed
from wire.errors import AwsError

LOOK_SECONDS = 1.0
"""Between two looks for what is due, at most."""
FILLED_MAX = 30
"""Minutes that one sample stands for at most: at a compressed clock they are shorter than the agents' reports."""
CATCH_UP_SECONDS = 60.0
"""A scheduled action that is later than this, because the control plane was away, is missed."""

_log = structlog.get_logger(__name__)


class Scaling:
    """Looks at what may be scaled. `run` until cancelled."""

    def __init__(
        self,
        store: Store,
        committer: Committer,
        *,
        names: Names,
        minutes: Minutes,
        newest: utilisation.Newest,
        requests: Callable[[], Mapping[str, int]],
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        pace: Pace,
    ) -> None:
        self._store = store
        self._committer = committer
        self._names = names
        self._minutes = minutes
        self._newest = newest
        self._requests = requests
        self._requests_seen: Mapping[str, int] = {}
        """Of each target group (name), until the last minute that was looked at."""
        self._clock = clock
        self._sleep = sleep
        self._pace = pace
        self._ended = self._minute() - 1
        """The last minute that was looked at."""

    async def run(self) -> None:
        """Look until cancelled or the store is closed."""
        while True:
            try:
                await self.look()
            except StoreClosed:
                return
            except Exception:  # noqa: BLE001 - one look that breaks does not end the clock
                _log.exception("a look at auto scaling broke")
            await self._sleep(min(LOOK_SECONDS, self._pace.wall(PERIOD_SECONDS) / 4))

    async def look(self) -> None:
        """Whatever is due now."""
        view = self._store.view()
        is_waiting = any(activity.status is Status.IN_PROGRESS for activity in view.records(ScalingActivity))
        if is_waiting or any(scaler.has_gone(view, target) for target in view.records(ScalableTarget)):
            await self._commit(scaler.settle)
        for action in [
            a for a in view.records(ScheduledAction) if a.next_at is not None and a.next_at <= self._clock()
        ]:
            await self._commit(partial(self._act, action=action))
        ended = self._minute() - 1
        if ended > self._ended:
            await self._sample(ended)
            self._ended = ended
            await self._look_at_minute(Minute(ended, self._pace.scale))

    def _minute(self) -> int:
        return int(self._pace.scaler(self._clock()) // PERIOD_SECONDS)

    async def _sample(self, ended: int) -> None:
        view = self._store.view()
        services = (view.service(target.service) for target in view.records(ScalableTarget))
        used = (utilisation.of_service(view, service, self._newest) for service in services if service is not None)
        carried = traffic.of_groups(view, self._request_rates(ended - self._ended))
        await self._minutes.put(
            (measured, one(value), minute)
            for measured, value in chain(*used, carried)
            for minute in range(max(self._ended, ended - FILLED_MAX) + 1, ended + 1)
        )

    def _request_rates(self, minutes: int) -> dict[str, float]:
        """Requests of each target group (name) per minute of the wall's clock, over so many of the scaler's."""
        before, self._requests_seen = self._requests_seen, dict(self._requests())
        seconds = self._pace.wall(PERIOD_SECONDS) * minutes
        return {
            name: (total - before.get(name, 0)) * PERIOD_SECONDS / seconds
            for name, total in self._requests_seen.items()
        }

    async def _look_at_minute(self, minute: Minute) -> None:
        for alarm in list(self._store.view().records(MetricAlarm)):
            await self._commit(partial(self._ring, name=alarm.name, minute=minute))
        for target in list(self._store.view().records(ScalableTarget)):
            await self._commit(partial(self._look_at, resource=target.resource, minute=minute))

    def _ring(self, draft: Draft, *, name: str, minute: Minute) -> None:
        alarm = draft.record(MetricAlarm, name)
        if alarm is not None:
            scaler.ring(draft, alarm, self._minutes.book, minute)

    def _look_at(self, draft: Draft, *, resource: str, minute: Minute) -> None:
        target = draft.record(ScalableTarget, resource)
        if target is not None:
            scaler.look(draft, target, self._minutes.book, minute, self._names)

    def _act(self, draft: Draft, *, action: ScheduledAction) -> None:
        """A scheduled action's time has come."""
        current, target = draft.record(ScheduledAction, action.key), draft.record(ScalableTarget, action.resource)
        if current is None or current.next_at != action.next_at or current.next_at is None:
            return  # changed meanwhile: it has a time of its own
        due = current.next_at
        again = timing.next_after(
            current.schedule, max(due, draft.now - CATCH_UP_SECONDS), zone=current.zone, end_at=current.end_at
        )
        draft.put(msgspec.structs.replace(current, next_at=again))
        is_late = draft.now - due > CATCH_UP_SECONDS
        if target is None or target.is_schedule_suspended or is_late:
            return
        changed = _bounded(target, current)
        draft.put(changed)
        reason = f"scheduled action name {current.name} was triggered"
        scaler.keep_within(draft, changed, reason=reason, names=self._names)

    async def _commit(self, decide: Callable[[Draft], object]) -> None:
        try:
            await self._committer.commit(decide, cause=self._names.uuid())
        except AwsError as error:
            _log.warning("auto scaling was not written down", error=str(error))


def _bounded(target: ScalableTarget, action: ScheduledAction) -> ScalableTarget:
    """The target with an action's bounds; a bound that the action does not name gives way."""
    minimum = min(target.minimum, action.maximum or 0) if action.minimum is None else action.minimum
    maximum = max(target.maximum, minimum) if action.maximum is None else action.maximum
    return msgspec.structs.replace(target, minimum=minimum, maximum=maximum)
