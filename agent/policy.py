"""The agent's half of a cluster's policy, as the control plane tells it: it goes before the environment, and is kept.

What is told is on disk before it goes, so a restart goes on with it; who is told again changes nothing.
"""

from collections.abc import Callable

import msgspec

from agent.config import Config, ConfigError, queue_policy
from agent.core.queueing import QueuePolicy
from agent.core.state import Release, Settings
from agent.core.stopping import GiveUp
from agent.journal import Journal

_FACT = "policy"


class Told(msgspec.Struct, frozen=True):
    """What goes for `ECS_RESOURCE_RELEASE`, `ECS_TASK_QUEUE` and `ECS_STOP_GIVE_UP`, as texts."""

    release: str
    queue: str
    give_up: str

    def over(self, settings: Settings) -> tuple[Settings, QueuePolicy]:
        """These settings under what was told.

        Raises:
            ValueError: something in it is unknown here.
        """
        try:
            queue, limit_seconds = queue_policy(self.queue)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        told = msgspec.structs.replace(
            settings,
            release=Release(self.release),
            give_up=GiveUp(self.give_up),
            queue_limit_seconds=limit_seconds,
        )
        return told, queue


def remembered(config: Config, journal: Journal) -> Config:
    """The configuration under what was told before this start."""
    kept = journal.fact(_FACT)
    if kept is None:
        return config
    settings, queue = msgspec.json.decode(kept, type=Told).over(config.settings)
    return msgspec.structs.replace(config, settings=settings, queue=queue)


def setter(
    journal: Journal, settings: Settings, go_by: Callable[[Settings, QueuePolicy], None]
) -> Callable[[str, str, str], None]:
    """What takes a policy in: on disk first, then `go_by` makes it go. It raises ValueError for one that is unknown."""

    def set_policy(release: str, queue: str, give_up: str) -> None:
        told = Told(release, queue, give_up)
        settings_told, queue_told = told.over(settings)
        journal.note(_FACT, msgspec.json.encode(told).decode())
        go_by(settings_told, queue_told)

    return set_policy
