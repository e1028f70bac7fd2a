"""Sees to images: the pull behaviour, its retries and limits, and a book of what was pulled. Shell of `core/pulling`.

The waits between tries belong to the task that waits; a pull of one image serves whoever asks for it meanwhile.
Source of the limits: amazon-ecs-agent `docker_client.go`, `config.go`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar
from weakref import WeakValueDictionary

import msgspec

from agent.core.images import CleanUp, PulledImage, removable
from agent.core.pulling import (
    MANIFEST_WAITS_SECONDS,
    PULL_WAITS_SECONDS,
    PullBehavior,
    falls_back,
    has_digest,
    local_will_do,
)
from agent.core.spec import RegistryAuthentication
from agent.runtime.port import Image, Login, RefusedError, Runtime, RuntimeCallError

log = logging.getLogger(__name__)

T = TypeVar("T")

LoginOf = Callable[[str, RegistryAuthentication | None], Awaitable[Login | None]]
"""The credentials for an image; None is to ask without. Raises RuntimeCallError (CannotPullContainerAuthError)."""


class PullSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How images come here."""

    behavior: PullBehavior = PullBehavior.DEFAULT
    inactivity_seconds: float = 60
    """`ECS_IMAGE_PULL_INACTIVITY_TIMEOUT`."""
    limit_seconds: float = 2 * 3600
    """`ECS_IMAGE_PULL_TIMEOUT`: all tries together."""
    manifest_limit_seconds: float = 60
    """`ECS_MANIFEST_PULL_TIMEOUT`: all tries together."""
    clean_up: CleanUp | None = CleanUp()
    """None is off: `ECS_DISABLE_IMAGE_CLEANUP`, and always with `prefer-cached`."""


class ImageBook(Protocol):
    """What was pulled; it survives a restart."""

    def images(self) -> list[PulledImage]:
        """All of them."""

    def note_image(self, image: PulledImage) -> None:
        """Keep one, in the place of what was known of that name."""

    def drop_image(self, name: str) -> None:
        """It is gone."""


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """An image that is here. Times are epoch seconds, None where nothing was pulled."""

    digest: str
    pull_started_at: float | None = None
    pull_stopped_at: float | None = None
    error: str = ""
    """Why the local image stands in for the registry's."""


async def _no_login(_image: str, _registry: RegistryAuthentication | None) -> Login | None:
    return None


class Puller:
    """Images of one host."""

    def __init__(
        self,
        runtime: Runtime,
        book: ImageBook,
        *,
        clock: Callable[[], float],
        settings: PullSettings | None = None,
        login_of: LoginOf = _no_login,
    ) -> None:
        self._runtime = runtime
        self._book = book
        self._clock = clock
        self._settings = settings or PullSettings()
        self._login_of = login_of
        self._known = {image.name: image for image in book.images()}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def see_to(self, image: str, registry: RegistryAuthentication | None) -> Ready:
        """Have the image here, pulled or not as the pull behaviour has it.

        Raises:
            RuntimeCallError: it cannot be had; the name is Amazon's.
        """
        lock = self._locks.setdefault(image, asyncio.Lock())
        async with lock:
            local = await self._runtime.image(image)
            behavior = self._settings.behavior
            if local is not None and local_will_do(behavior, is_local=True, was_pulled=image in self._known):
                self._note_used(image)
                return Ready(digest=local.digest)
            started_at = self._clock()
            try:
                await self._pull(image, registry)
            except RuntimeCallError as error:
                if local is None or not falls_back(behavior):
                    raise
                return Ready(digest=local.digest, error=str(error))
            pulled = await self._runtime.image(image)
            stopped_at = self._clock()
            self._note_superseded(image, local, pulled, stopped_at)
            self._note_pulled(image, local, stopped_at)
            digest = pulled.digest if pulled else ""
            return Ready(digest=digest, pull_started_at=started_at, pull_stopped_at=stopped_at)

    async def clean_up_for_ever(self, in_use: Callable[[], set[str]]) -> None:
        """Remove images that nobody needs, cycle after cycle. `in_use` tells the names that tasks need."""
        rule = self._settings.clean_up
        if rule is None or self._settings.behavior is PullBehavior.PREFER_CACHED:
            return
        while True:
            await asyncio.sleep(rule.interval_seconds)
            left = rule.images_per_cycle
            for name in removable(self._known.values(), in_use(), rule, self._clock()):
                left -= await self._remove(name, in_use)
                if not left:
                    break

    async def _remove(self, name: str, in_use: Callable[[], set[str]]) -> bool:
        async with self._locks.setdefault(name, asyncio.Lock()):
            if name in in_use():  # a task has come for it in the meantime
                return False
            try:
                await self._runtime.remove_image(name)
            except RuntimeCallError as error:
                log.info("Image %s stays: %s", name, error)
                return False
            del self._known[name]
            self._book.drop_image(name)
            log.info("Image %s is removed: no task has needed it for a while.", name)
            return True

    async def _pull(self, image: str, registry: RegistryAuthentication | None) -> None:
        settings, runtime = self._settings, self._runtime
        login = await self._login_of(image, registry)
        if not has_digest(image):
            await _within(
                settings.manifest_limit_seconds,
                _tries(lambda: runtime.manifest(image, login), MANIFEST_WAITS_SECONDS),
                "manifest_pulled",
            )
        pull = _tries(lambda: runtime.pull(image, login, settings.inactivity_seconds), PULL_WAITS_SECONDS)
        await _within(settings.limit_seconds, pull, "pulled")

    def _note_superseded(self, name: str, before: Image | None, after: Image | None, now: float) -> None:
        """The name means another image now: the one that it meant has none any more, and goes by its id in time."""
        known = self._known.get(name)
        if known is not None and known.is_ours and before and after and before.image_id != after.image_id:
            self._note(PulledImage(name=before.image_id, pulled_at=known.pulled_at, used_at=now, is_ours=True))

    def _note_pulled(self, name: str, before: Image | None, now: float) -> None:
        known = self._known.get(name)
        is_ours = known.is_ours if known and before else before is None
        self._note(PulledImage(name=name, pulled_at=now, used_at=now, is_ours=is_ours))

    def _note_used(self, name: str) -> None:
        if name in self._known:
            self._note(msgspec.structs.replace(self._known[name], used_at=self._clock()))

    def _note(self, image: PulledImage) -> None:
        self._known[image.name] = image
        self._book.note_image(image)


async def _tries(call: Callable[[], Awaitable[T]], waits: tuple[float, ...]) -> T:
    """Call until it works, is refused for good, or the waits are used up."""
    for wait in waits:
        try:
            return await call()
        except RefusedError:
            raise
        except RuntimeCallError:
            await asyncio.sleep(wait)
    return await call()


async def _within(seconds: float, work: Awaitable[T], transition: str) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError as error:
        raise RuntimeCallError(
            "DockerTimeoutError", f"Could not transition to {transition}; timed out after waiting {seconds:.0f}s"
        ) from error
