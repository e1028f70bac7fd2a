"""The endpoints of one agent, put together: what is taken before the registration, and what is served after it.

Wiring only.
"""

import time
from collections.abc import Callable
from pathlib import Path
from socket import socket

import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware

from agent.backend.ecsclient import EcsClient
from agent.backend.sigv4 import Credentials
from agent.core.queueing import Host
from agent.core.state import TaskState
from agent.journal import Journal
from agent.local import associations, credentials, listen
from agent.local.books import Books, Looks
from agent.local.credentials import CredentialsStore, RoleCredentials
from agent.local.furnish import Furnisher, MetadataFile, Roles
from agent.local.identifiers import Identifiers
from agent.local.interruption import Interruption
from agent.local.introspection import Introspection, no_web_pages
from agent.local.limit import Bucket, limited
from agent.local.metadata import Metadata
from agent.local.protection import Protection
from agent.local.recent import Recent
from agent.local.settings import LocalSettings

BODY_BYTES_MAX = 1 << 16
KEEP_ALIVE_SECONDS = 5
"""Source: amazon-ecs-agent `task_server_setup.go` (read and write timeouts)."""


class About(msgspec.Struct, frozen=True, kw_only=True):
    """Whose endpoints these are, as the registration has it."""

    cluster: str
    """Name."""
    instance: str
    """ARN of the container instance."""
    region: str
    zone: str
    version: str


class Local:
    """Everything that one agent serves on its host."""

    def __init__(self, settings: LocalSettings, journal: Journal, looks: Looks, ports: listen.Ports) -> None:
        self.settings = settings
        self.looks = looks
        self.ports = ports
        self.recent = Recent()
        self.interruption = Interruption(journal, is_draining=settings.drains_when_interrupted)
        self._identifiers = Identifiers.of(journal)
        self._tasks: Callable[[], list[TaskState]] = list
        self._runners: list[web.AppRunner] = []

    @classmethod
    async def open(cls, settings: LocalSettings, journal: Journal, looks: Looks) -> "Local":
        """Take the ports; nothing is answered yet. `looks` is closed with the rest.

        Raises:
            OSError: not even the loopback can be listened on.
        """
        return cls(settings, journal, looks, listen.take(journal, await looks.gateway()))

    def furnisher(self, about: About, data_dir: Path) -> Furnisher:
        """What adds endpoints and metadata files to containers."""
        file = None
        if self.settings.has_metadata_file:
            host_dir = Path(self.settings.host_data_dir) if self.settings.host_data_dir else data_dir.resolve()
            file = MetadataFile(
                self._identifiers,
                folder=data_dir / "metadata",
                host_folder=host_dir / "metadata",
                known={
                    "Cluster": about.cluster,
                    "ContainerInstanceARN": about.instance,
                    "AvailabilityZone": about.zone,
                },
                tasks=lambda: [(task.spec.arn, c.spec.name) for task in self._tasks() for c in task.containers],
            )
        on_host = self.settings.serves_roles and self.settings.serves_roles_on_host
        roles = Roles(on_host=on_host, elsewhere=self.settings.serves_roles)
        return Furnisher(self._identifiers, base=self.ports.base, region=about.region, file=file, roles=roles)

    async def serve(
        self,
        about: About,
        client: EcsClient,
        host: Host,
        tasks: Callable[[], list[TaskState]],
        store: CredentialsStore,
    ) -> None:
        """Answer from now on; `tasks` tells the engine's."""
        self._tasks = tasks
        books = Books(tasks, self._identifiers, self.looks, self.ports.addresses)
        zone = "" if self.settings.hides_zone else about.zone
        bucket = Bucket(self.settings.rate_per_second, self.settings.burst, time.monotonic())
        metadata = Metadata(books, client, cluster=about.cluster, instance=about.instance, zone=zone)
        protection = Protection(books, store, lambda role: client.signed_by(_keys(role)), about.cluster)
        for_containers = [
            *metadata.routes(),
            *associations.routes(books),
            *credentials.routes(books, store),
            *protection.routes(),
        ]
        await self._start(for_containers, [limited(bucket, time.monotonic)], self.ports.metadata)
        introspection = Introspection(
            books,
            host,
            self.recent,
            self.interruption,
            cluster=about.cluster,
            instance=about.instance,
            version=about.version,
            clock=time.time,
        )
        await self._start(introspection.routes(), [no_web_pages], self.ports.introspection)

    async def close(self) -> None:
        """Serve no more; ask Docker no more."""
        for runner in self._runners:
            await runner.cleanup()
        self.ports.close()
        await self.looks.close()

    async def _start(self, routes: list[web.RouteDef], middlewares: list[Middleware], sockets: list[socket]) -> None:
        application = web.Application(middlewares=middlewares, client_max_size=BODY_BYTES_MAX)
        application.add_routes(routes)
        runner = web.AppRunner(application, access_log=None, keepalive_timeout=KEEP_ALIVE_SECONDS)
        self._runners.append(runner)
        await runner.setup()
        for each in sockets:
            await web.SockSite(runner, each).start()


def _keys(role: RoleCredentials) -> Credentials:
    return Credentials(role.access_key_id, role.secret_access_key, role.session_token)
