"""Names of new things: ARNs and ids, drawn from dice that come in as an argument.

One seed gives one run of names, so two runs from one seed print the same plans. Nothing here knows a clock or uuid.
"""

from operator import itemgetter
from typing import NamedTuple, Protocol

from wire.arn import ArnMaker, short_id

_BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_NEITHER_VERSION_NOR_VARIANT = ~(0xF << 76 | 0x3 << 62)
_VERSION_4 = 0x4 << 76 | 0x2 << 62
"""RFC 9562, section 5.4: four bits say the version, two the variant."""
_groups_of = itemgetter(slice(8), slice(8, 12), slice(12, 16), slice(16, 20), slice(20, None))
"""The five groups of a UUID's digits."""


class Dice(Protocol):
    """What the cores ask of chance; `random.Random` and `random.SystemRandom` both are such dice."""

    def randrange(self, stop: int, /) -> int:
        """An integer from 0 to below `stop`."""
        ...

    def getrandbits(self, bits: int, /) -> int:
        """An integer of that many random bits."""
        ...


class Names(NamedTuple):
    """Makes the names of one account in one region."""

    arns: ArnMaker
    dice: Dice

    def task(self, cluster: str) -> str:
        """ARN of a new task."""
        return self.arns.task(cluster, self._hex(32))

    def container(self, cluster: str, task: str) -> str:
        """ARN of a new container of `task` (ARN)."""
        return self.arns.container(cluster, short_id(task), self.uuid())

    def deployment(self) -> str:
        """Id of a new deployment: `ecs-svc/` and 19 digits."""
        return f"ecs-svc/{self._digits()}"

    def service_deployment(self, cluster: str, service: str) -> str:
        """ARN of a new service deployment of `service` (name)."""
        return self.arns.service_deployment(cluster, service, self._letters(21))

    def pause(self) -> str:
        """Id of a pause of a deployment, as the ECS Developer Guide ("Pause hooks") shows one."""
        return f"ecs-pause-{self._letters(43)}"

    def service_revision(self, cluster: str, service: str) -> str:
        """ARN of a new revision of `service` (name)."""
        return self.arns.service_revision(cluster, service, str(self._digits()))

    def target_group(self, name: str) -> str:
        """ARN of a new target group."""
        return self.arns.target_group(name, self._hex(16))

    def listener(self) -> str:
        """ARN of a new listener."""
        return self.arns.listener(self._hex(16), self._hex(16))

    def ec2_instance(self) -> str:
        """An EC2 instance id: `i-` and 17 hex digits."""
        return f"i-{self._hex(20)[:17]}"

    def uuid(self) -> str:
        """A version 4 UUID: ids of service events, evaluations, requests."""
        number = self.dice.getrandbits(128) & _NEITHER_VERSION_NOR_VARIANT | _VERSION_4
        return "-".join(_groups_of(number.to_bytes(16).hex()))

    def _letters(self, count: int) -> str:
        return "".join(_BASE64URL[self.dice.randrange(64)] for _ in range(count))

    def _digits(self) -> int:
        """19 of them."""
        return 10**18 + self.dice.randrange(9 * 10**18)

    def _hex(self, digits: int) -> str:
        return self.dice.getrandbits(4 * digits).to_bytes(digits // 2).hex()
