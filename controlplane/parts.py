"""What a control plane is made of, and which part is told of which. Nothing runs here, and nothing is decided."""

import asyncio
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from secrets import token_hex

import msgspec
import structlog

from controlplane.agents.acs import Sessions
from controlplane.agents.executing import Executing
from controlplane.agents.tcs import Telemetry
from controlplane.api.alarms import Alarms
from controlplane.api.call import Account
from controlplane.api.dispatch import Dispatcher
from controlplane.api.rates import Rates
from controlplane.api.role_keys import Mint
from controlplane.api.target_groups import TargetGroups
from controlplane.balancing.balancer import Balancer
from controlplane.balancing.haproxy import HaProxy
from controlplane.committing import Committer
from controlplane.config import Config
from controlplane.core.capacity.pace import Pace
from controlplane.core.model import Cluster
from controlplane.core.names import Names
from controlplane.core.policy import PRESETS
from controlplane.core.scaling.metrics import Book
from controlplane.dice import Dice
from controlplane.events.feed import Feed
from controlplane.events.pump import Cursor, Pump, Sink
from controlplane.events.sinks import EventFile, Webhook
from controlplane.events.stream import EventStream
from controlplane.logs.api import LogsApi
from controlplane.logs.store import LogStore
from controlplane.metrics import Metrics
from controlplane.reset import Reset
from controlplane.rules.api import RulesApi
from controlplane.rules.firing import EventRules, Firing, Ticker
from controlplane.scaling.api import AutoScalingApi
from controlplane.scaling.minutes import Minutes
from controlplane.scaling.monitoring import Monitoring
from controlplane.scaling.watching import Scaling
from controlplane.scheduling.capacity import Capacity
from controlplane.scheduling.hooks import Hooks
from controlplane.scheduling.sweeper import Sweeper
from controlplane.scheduling.worker import Worker
from controlplane.store.port import Store
from wire.arn import ArnMaker
from wire.events import TARGET_PREFIX as EVENTS_PREFIX
from wire.logs import TARGET_PREFIX as LOGS_PREFIX
from wire.scaling import METRICS_PREFIX, SCALING_PREFIX

LOGS_FILE = "logs.sqlite"
METRICS_FILE = "metrics.sqlite"

_log = structlog.get_logger(__name__)


class Parts:
    """The parts of one control plane. What comes later leans on what comes before."""

    def __init__(self, config: Config, store: Store) -> None:
        self.config = config
        self.store = store
        self.names = Names(ArnMaker(config.region, config.account), Dice())
        self.pace = Pace(config.time_scale)
        policy = msgspec.structs.replace(
            PRESETS[config.policy].policy, healthy_after_seconds=config.healthy_after_seconds
        )
        self.account = Account(self.names, policy, self.pace)
        self.metrics = Metrics()
        self.committer = Committer(store, clock=time.time, on_conflict=self._met)
        self.feed = Feed(store, self.metrics)
        self.events = EventStream(store, self.metrics)
        self.logs = LogStore(config.data_dir / LOGS_FILE if config.data_dir is not None else None)
        self._for_agents()
        self._for_traffic()
        self._for_metrics()
        self._for_callers()
        self._for_time()
        self._for_events()

    def new_cluster(self, name: str) -> Cluster:
        """A cluster with the policy of this control plane."""
        return Cluster(name=name, arn=self.names.arns.cluster(name), policy=self.account.policy)

    def _for_agents(self) -> None:
        keys = self.config.keys
        self.sessions = Sessions(
            store=self.store,
            committer=self.committer,
            account=self.account,
            clock=time.time,
            metrics=self.metrics,
            mint=Mint(keys.first.secret_access_key if keys else token_hex()),
        )
        self.executing = Executing(self.sessions.send, time.time)
        self.telemetry = Telemetry(store=self.store, committer=self.committer)

    def _for_traffic(self) -> None:
        proxy = HaProxy(self.config.haproxy, self.config.host)
        self.balancer = Balancer(self.store, self.committer, proxy, self.names, time.time)
        self.target_groups = TargetGroups(
            self.store, self.committer, self.names, self.config, lambda: self.balancer.trouble
        )

    def _for_metrics(self) -> None:
        data_dir, scale = self.config.data_dir, self.pace.scale
        self.minutes = Minutes(data_dir / METRICS_FILE if data_dir is not None else None, Book(), scale=scale)
        self.monitoring = Monitoring(self.store, self.committer, self.names, self.minutes, clock=time.time, scale=scale)
        self.scaling = Scaling(
            self.store,
            self.committer,
            names=self.names,
            minutes=self.minutes,
            newest=self.telemetry.fresh,
            requests=lambda: self.balancer.requests,
            clock=time.time,
            sleep=asyncio.sleep,
            pace=self.pace,
        )
        self.alarms = Alarms(store=self.store, committer=self.committer, new_id=self.names.uuid)

    def _for_callers(self) -> None:
        self.dispatcher = Dispatcher(
            store=self.store,
            committer=self.committer,
            account=self.account,
            keys=self.config.keys,
            clock=time.time,
            metrics=self.metrics,
            by_prefix={
                LOGS_PREFIX: LogsApi(self.logs, self.names.arns),
                EVENTS_PREFIX: RulesApi(self.store, self.committer, self.names),
                SCALING_PREFIX: AutoScalingApi(self.store, self.committer, self.names),
                METRICS_PREFIX: self.monitoring,
            },
            rates=Rates(self.config.throttle, time.monotonic),
            execute=self.executing.open,
            check_answers=self.config.check_answers,
        )
        self.reset = Reset(
            self.store,
            self.committer,
            self.logs,
            self.new_cluster,
            forget=self.minutes.clear,
            is_allowed=self.config.allow_reset,
        )

    def _for_time(self) -> None:
        names = self.names
        self.worker = Worker(self.store, clock=time.time, names=names, dice=names.dice)
        self.sweeper = Sweeper(self.store, self.worker, clock=time.time, sleep=asyncio.sleep)
        self.capacity = Capacity(self.store, clock=time.time, names=names, dice=names.dice, pace=self.pace)
        self.hooks = Hooks(self.store, self.committer, clock=time.time)

    def _for_events(self) -> None:
        firing = Firing(self.store, self.committer, self.account, time.time)
        self.ticker = Ticker(self.store, self.committer, firing, clock=time.time, sleep=asyncio.sleep)
        self.sinks: list[Sink] = [EventRules(self.store, firing, sleep=asyncio.sleep), *_sinks(self.config)]
        self.pumps = [Pump(self.store, sink, Cursor(_cursor_file(self.config, sink))) for sink in self.sinks]

    def _met(self, why: str) -> None:
        self.metrics.conflicts.inc()
        _log.debug("conflict", why=why)


def _sinks(config: Config) -> Iterator[Sink]:
    if config.events_webhook:
        yield Webhook(config.events_webhook)
    if config.events_file is not None:
        yield EventFile(config.events_file)


def _cursor_file(config: Config, sink: Sink) -> Path | None:
    """Each sink its own: another URL or file begins anew."""
    if config.data_dir is None:
        return None
    return config.data_dir / f"events-{sha256(sink.name.encode()).hexdigest()[:12]}.cursor"
