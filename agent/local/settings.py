"""What the environment says about the endpoints. Read by `agent/config.py`."""

import msgspec

RATE_PER_SECOND = 40
BURST = 60


class LocalSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Defaults are Amazon's."""

    rate_per_second: int = RATE_PER_SECOND
    burst: int = BURST
    """`ECS_TASK_METADATA_RPS_LIMIT`: both."""
    has_metadata_file: bool = False
    """`ECS_ENABLE_CONTAINER_METADATA`."""
    host_data_dir: str = ""
    """`ECS_HOST_DATA_DIR`: the data directory as Docker finds it; empty: as the agent does."""
    hides_zone: bool = False
    """`ECS_DISABLE_TASK_METADATA_AZ`."""
    serves_roles: bool = True
    """`ECS_ENABLE_TASK_IAM_ROLE`; Amazon's default is false, and ecs-init sets it."""
    serves_roles_on_host: bool = True
    """`ECS_ENABLE_TASK_IAM_ROLE_NETWORK_HOST`: and in the network mode `host`."""
    drains_when_interrupted: bool = False
    """`ECS_ENABLE_SPOT_INSTANCE_DRAINING`."""


def rate(text: str) -> tuple[int, int]:
    """Steady rate and burst of `40,60`.

    Raises:
        ValueError: it is no pair of whole numbers above zero, or the burst is below the rate.
    """
    steady, _, burst = (part.strip() for part in text.partition(","))
    if not (steady.isdigit() and burst.isdigit() and 0 < int(steady) <= int(burst)):
        raise ValueError(f"{text!r} is no pair such as 40,60 (requests per second, and at once)")
    return int(steady), int(burst)
