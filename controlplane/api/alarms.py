"""Alarms that people and tests ring: `POST /_berth/alarms` with `{"name": ..., "state": "ALARM" | "OK"}`.

There is no CloudWatch here; deployments that name an alarm look at what was set last. `GET` lists them.
"""

from collections.abc import Callable
from http import HTTPStatus

import msgspec
from aiohttp import web

from controlplane.committing import Committer
from controlplane.core.rollouts import Alarm
from controlplane.core.view import Draft
from controlplane.store.port import Store
from wire.story import Kind

NAME_CHARACTERS_MAX = 255
ALARMS_MAX = 1000
STATES = {"ALARM": True, "OK": False}


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    state: str


class Alarms:
    """Serves `/_berth/alarms`."""

    def __init__(self, *, store: Store, committer: Committer, new_id: Callable[[], str]) -> None:
        self._store = store
        self._committer = committer
        self._new_id = new_id

    async def set(self, request: web.Request) -> web.Response:
        """Set one alarm; 400 and one sentence where the body is not right."""
        try:
            asked = msgspec.json.decode(await request.read(), type=_Request)
        except msgspec.MsgspecError:
            return _refused('The body is {"name": NAME, "state": "ALARM" or "OK"}.')
        if asked.state not in STATES or not 0 < len(asked.name) <= NAME_CHARACTERS_MAX:
            return _refused(f"An alarm has a name of 1 to {NAME_CHARACTERS_MAX} characters and the state ALARM or OK.")
        names = {alarm.name for alarm in self._store.view().records(Alarm)}
        if asked.name not in names and len(names) >= ALARMS_MAX:
            return _refused(f"There are {ALARMS_MAX} alarms already.")
        cause = self._new_id()

        def decide(draft: Draft) -> None:
            ringing = STATES[asked.state]
            draft.put(Alarm(name=asked.name, is_ringing=ringing, updated_at=draft.now))
            draft.tell(Kind.ALARM, asked.name, id=cause, ringing=ringing)

        await self._committer.commit(decide, cause=cause)
        return _json({"name": asked.name, "state": asked.state})

    async def list(self, _: web.Request) -> web.Response:
        """All alarms that were ever set."""
        alarms = sorted(self._store.view().records(Alarm), key=lambda alarm: alarm.name)
        words = {ringing: state for state, ringing in STATES.items()}
        return _json({"alarms": [{"name": alarm.name, "state": words[alarm.is_ringing]} for alarm in alarms]})


def _refused(sentence: str) -> web.Response:
    return _json({"message": sentence}, HTTPStatus.BAD_REQUEST)


def _json(body: object, status: int = HTTPStatus.OK) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")
