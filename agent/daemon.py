"""The agent's life: open the journal, find Docker, register, resume, listen. Wiring only; it holds no policy.

SIGTERM leaves every container running, as Amazon's agent does: what was asked is on disk.
"""

import asyncio
import logging
import time
from functools import partial
from typing import Any

import aiohttp
import msgspec

from agent.backend.backoff import Backoff
from agent.backend.credentials import CredentialStore
from agent.backend.ecsclient import BackendUnreachableError, EcsClient, is_transient
from agent.backend.executing import Executions
from agent.backend.logs import LogSubmitter
from agent.backend.reporter import Reporter
from agent.backend.sessions import sessions
from agent.backend.sigv4 import Signer
from agent.backend.storyteller import Storyteller
from agent.backend.tls import trust
from agent.config import Config, ConfigError
from agent.core.queueing import Host
from agent.core.spec import cost
from agent.departure import Departure, Leaving, first
from agent.engine import Engine
from agent.forgetting import clean_up_ended
from agent.journal import Journal
from agent.local.interruption import set_draining
from agent.local.recent import Recent
from agent.local.serving import About, Local
from agent.machine import attributes, gpus, identity, size
from agent.machine.doctor import Doctor
from agent.policy import remembered, setter
from agent.pulling import Puller
from agent.runtime.cgroups import NoCgroupsError
from agent.runtime.credentials import Logins
from agent.runtime.kinds import RuntimeKind, open_looks, open_runtime, probe, start_execution
from agent.runtime.port import ForbiddenError, Runtime, UnreachableError
from agent.runtime.secrets import Secrets
from agent.runtime.spec import INSTANCE_LABEL, RUN_LABEL
from wire.errors import AwsError
from wire.execution import EXECUTION_ATTRIBUTE
from wire.extensions import INSTANCE_TYPE_ATTRIBUTE, INTROSPECTION_ATTRIBUTE
from wire.resources import Amounts, to_devices, to_registration
from wire.story import Kind

log = logging.getLogger(__name__)

VERSION = "1.105.1"
"""The version of Amazon's agent whose behaviour this one has."""
DOCKER_WAIT_SECONDS = 120.0
"""A start waits so long for the Docker Engine (assumed; ecs-init tries a few times, then starts Amazon's agent)."""
_INSTANCE_FACT = "container-instance-arn"
_CLUSTER_FACT = "cluster-name"


class Outlet:
    """Stories and reports, on their way out of the engine."""

    def __init__(self, storyteller: Storyteller, reporter: Reporter, recent: Recent) -> None:
        self._storyteller = storyteller
        self._recent = recent
        self._reporter = reporter

    def tell(self, at: float, subject: str, kind: Kind, cause: str, data: dict[str, Any]) -> None:
        """A line of the story."""
        self._storyteller.tell(at, subject, kind, cause, data)
        self._recent.tell(at, subject, kind, cause, data)

    def reports_wait(self, task: str) -> None:
        """The outbox of `task` has something to send."""
        self._reporter.reports_wait(task)


async def run(config: Config, leaving: Leaving) -> None:
    """Be the agent of this host until a signal says otherwise.

    Raises:
        ConfigError: this cannot work, and trying again will not help.
        JournalInUseError: see there.
        UnreachableError: there was no Docker Engine for DOCKER_WAIT_SECONDS, or it is not for this user.
    """
    departure = Departure(leaving)
    departure.listen()
    journal = Journal(config.data_dir)
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust())) as session:
            life = asyncio.create_task(_live(config, journal, session, departure))
            ending = asyncio.create_task(departure.at_once())
            await asyncio.wait({life, ending}, return_when=asyncio.FIRST_COMPLETED)
            ending.cancel()
            if life.done():
                life.result()
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)
    finally:
        journal.close()


async def _live(config: Config, journal: Journal, session: aiohttp.ClientSession, departure: Departure) -> None:
    _check_cluster(config, journal)
    config = remembered(config, journal)
    await _find_engine(config.runtime)
    client = EcsClient(session, config.backend, Signer(config.credentials, config.region))
    local = await Local.open(config.local, journal, open_looks(config.runtime))
    try:
        devices = _gpus(config, journal)
        config = msgspec.structs.replace(
            config, features=msgspec.structs.replace(config.features, gpu_driver=devices.driver_version)
        )
        registered = _registered(config, local.ports.taken, devices.ids)
        instance = await _register(config, journal, client, registered, local.ports.introspection_address)
        about = About(
            cluster=config.cluster, instance=instance, region=config.region, zone=config.zone, version=VERSION
        )
        owner = {INSTANCE_LABEL: instance} | ({RUN_LABEL: config.run} if config.run else {})
        try:
            runtime = open_runtime(
                config.runtime,
                owner,
                config.options,
                script=config.script,
                logs=LogSubmitter(client),
                furnisher=local.furnisher(about, config.data_dir),
            )
        except NoCgroupsError as error:
            raise ConfigError(str(error)) from error
        await runtime.remove_orphans(frozenset(state.spec.arn for state in journal.tasks()))
        try:
            await _serve(
                config,
                journal,
                client,
                runtime=runtime,
                registered=registered,
                about=about,
                local=local,
                departure=departure,
            )
            if local.interruption.has_ended(time.time()):
                await local.interruption.take_away(runtime, client, config.cluster, instance)
        finally:
            await runtime.close()
    finally:
        await local.close()


async def _serve(
    config: Config,
    journal: Journal,
    client: EcsClient,
    *,
    runtime: Runtime,
    registered: Amounts,
    about: About,
    local: Local,
    departure: Departure,
) -> None:
    """Work until the host is emptied or taken away; cancelled where the agent leaves at once."""
    host, instance = Host(registered, config.queue), about.instance
    engine = _engine(config, journal, runtime, host, instance)
    storyteller = Storyteller(client, config.cluster, instance)
    reporter = _reporter(client, config, instance, engine)
    doctor = Doctor(runtime.version, time.time)
    credentials = CredentialStore()

    async def renew() -> None:
        await clean_up_ended(engine, runtime)
        try:
            await _register(config, journal, client, registered, local.ports.introspection_address)
        except ConfigError as error:
            raise BackendUnreachableError(str(error)) from error

    executions = Executions(client, engine.tasks, partial(start_execution, config.runtime))
    acs, tcs = sessions(
        client,
        engine,
        cluster=config.cluster,
        instance=instance,
        agent_version=VERSION,
        docker_version=await runtime.version(),
        facts=journal,
        credentials=credentials,
        doctor=doctor,
        sends_metrics=config.sends_metrics,
        cpu_units=registered.cpu,
        execute=executions.begin,
        set_policy=setter(journal, config.settings, engine.go_by),
        renew=renew,
    )
    engine.attach(Outlet(storyteller, reporter, local.recent))
    await engine.resume()
    await local.serve(about, client, host, engine.tasks, credentials)
    jobs = (
        engine.run(),
        storyteller.run(),
        acs.run(),
        tcs.run(),
        local.interruption.run(client, config.cluster, instance),
    )
    try:
        async with asyncio.TaskGroup() as group:
            working = [group.create_task(job) for job in jobs]
            emptied = departure.emptied(lambda: set_draining(client, config.cluster, instance), engine.tasks)
            await first(emptied, local.interruption.over(time.time))
            await storyteller.flush()
            for work in working:
                work.cancel()
    finally:
        await executions.close()
        await reporter.close()
        await doctor.close()


def _engine(config: Config, journal: Journal, runtime: Runtime, host: Host, instance: str) -> Engine:
    return Engine(
        host=host,
        runtime=runtime,
        journal=journal,
        settings=config.settings,
        clock=time.time,
        instance=instance,
        puller=Puller(
            runtime,
            journal,
            clock=time.time,
            settings=config.pull,
            login_of=Logins(config.engine_auth, Secrets(config.options.secrets).registry).login_of,
        ),
    )


def _reporter(client: EcsClient, config: Config, instance: str, engine: Engine) -> Reporter:
    def amounts_of(task: str) -> Amounts:
        state = engine.task(task)
        return cost(state.spec) if state else Amounts()

    return Reporter(
        client,
        cluster=config.cluster,
        instance=instance,
        next_report=engine.next_report,
        amounts_of=amounts_of,
        submit=engine.submit,
    )


def _check_cluster(config: Config, journal: Journal) -> None:
    known = journal.fact(_CLUSTER_FACT)
    if known is not None and known != config.cluster:
        raise ConfigError(
            f"{config.data_dir} belongs to the cluster {known!r}: set ECS_CLUSTER={known} or use another ECS_DATADIR."
        )


def _gpus(config: Config, journal: Journal) -> gpus.Gpus:
    """The host's own GPUs where they are asked for and known; else those of its declared type, which are played."""
    try:
        found = gpus.found(config.gpu_file) if config.gpu_file is not None else None
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if found is not None:
        return found
    if config.gpu_file is not None:
        log.error("ECS_ENABLE_GPU_SUPPORT is true and there is no %s: the host's GPUs are not known.", config.gpu_file)
    count = config.declared.gpus if config.declared else 0
    if count:
        log.info("This host plays %d GPUs: containers are told their ids and get no device.", count)
    return gpus.played(count, identity.instance_id(journal, config.instance_id))


def _registered(config: Config, own_ports: frozenset[int], gpu_ids: frozenset[str]) -> Amounts:
    """What the host offers; besides the reserved ports, the agent's own are taken."""
    try:
        return size.registered(
            config.declared,
            reserved_memory_mib=config.reserved_memory_mib,
            ports=config.reserved_ports | own_ports,
            ports_udp=config.reserved_ports_udp,
            gpu_ids=gpu_ids,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error


async def _find_engine(kind: RuntimeKind) -> None:
    """Wait for the engine: at boot it may come later than the agent. Whoever starts us may try again later."""
    backoff, began, is_said = Backoff(0.25, 5, 1.5), time.monotonic(), False
    while True:
        try:
            await asyncio.to_thread(probe, kind)
            break
        except UnreachableError as error:
            if isinstance(error, ForbiddenError) or time.monotonic() - began > DOCKER_WAIT_SECONDS:
                raise
            if not is_said:
                log.warning("%s The agent waits for it, %g s at most.", error, DOCKER_WAIT_SECONDS)
            is_said = True
        await asyncio.sleep(backoff.wait_seconds())
    if is_said:
        log.info("The Docker Engine answers, after %.1f s.", time.monotonic() - began)


async def _register(
    config: Config, journal: Journal, client: EcsClient, registered: Amounts, introspection: str
) -> str:
    """Register, as long as it takes; the same data directory is the same container instance again."""
    request = _registration(config, journal, registered, introspection)
    backoff = Backoff(0.25, 30, 1.5)
    while True:
        try:
            answer = await client.call("RegisterContainerInstance", request)
            break
        except AwsError as error:
            if not is_transient(error):
                raise ConfigError(f"The control plane refused to register this host: {error}") from error
            log.warning("Not registered yet: %s", error)
        except BackendUnreachableError as error:
            log.warning("Not registered yet: %s", error)
        await asyncio.sleep(backoff.wait_seconds())
    instance = str(answer["containerInstance"]["containerInstanceArn"])
    journal.note(_INSTANCE_FACT, instance)
    journal.note(_CLUSTER_FACT, config.cluster)
    log.info("Registered as %s.", instance)
    return instance


def _registration(config: Config, journal: Journal, registered: Amounts, introspection: str) -> dict[str, Any]:
    instance_type = config.declared.name if config.declared else ""
    custom = {**config.instance_attributes, INTROSPECTION_ATTRIBUTE: introspection}
    if config.runtime is RuntimeKind.DOCKER:
        custom[EXECUTION_ATTRIBUTE] = "true"
    if instance_type:
        custom[INSTANCE_TYPE_ATTRIBUTE] = instance_type
    known = journal.fact(_INSTANCE_FACT)
    tags = [{"key": key, "value": value} for key, value in config.instance_tags.items()]
    return {
        "cluster": config.cluster,
        "clientToken": identity.instance_id(journal, config.instance_id),
        "attributes": attributes.attributes(custom, config.settings.release, config.features),
        "totalResources": to_registration(registered),
        "instanceIdentityDocument": identity.document(
            journal, instance_type=instance_type, zone=config.zone, region=config.region
        ),
        "instanceIdentityDocumentSignature": "",
        **({"platformDevices": to_devices(registered.gpu_ids)} if registered.gpu_ids else {}),
        **({"tags": tags} if tags else {}),
        **({"containerInstanceArn": known} if known else {}),
    }
