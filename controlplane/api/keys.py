"""The key pairs that are let in: the configured one, and those of a file.

The file has the form in which AWS tools keep theirs (`~/.aws/credentials`), so one file can serve both sides.
Source: AWS SDKs and Tools Reference Guide, "Shared config and credentials files".
"""

import configparser
import stat
from pathlib import Path
from typing import NamedTuple

PAIRS_MAX = 1000


class Keys(NamedTuple):
    """A key pair: one that is let in, or one that was made from it."""

    access_key_id: str
    secret_access_key: str


class KeyRing:
    """All pairs that are let in, by their id. The first one is what temporary keys are made from."""

    def __init__(self, pairs: tuple[Keys, ...]) -> None:
        assert pairs
        self.first = pairs[0]
        self._secrets = dict(pairs)

    def secret_of(self, key_id: str) -> str | None:
        """The secret that belongs to a key id; None where it is not ours."""
        return self._secrets.get(key_id)


def read_keys_file(path: Path) -> tuple[Keys, ...]:
    """The pairs of every profile of a credentials file, in their order.

    Raises:
        ValueError: one sentence: it cannot be read, others may read it, or it has no keys.
    """
    try:
        if path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
            raise ValueError(f"The keys in {path} can be read by others: chmod 600 {path}.")
        profiles = configparser.RawConfigParser(strict=False)
        profiles.read_string(path.read_text())
    except OSError as error:
        raise ValueError(f"The keys in {path} cannot be read: {error.strerror}.") from None
    except (configparser.Error, UnicodeDecodeError):
        raise ValueError(f"{path} is no credentials file: it has [profile] lines and `name = value` below.") from None
    pairs = tuple(_pair(path, profiles[name]) for name in profiles.sections())
    if not 0 < len(pairs) <= PAIRS_MAX:
        raise ValueError(f"{path} has {len(pairs)} profiles, but must have from 1 to {PAIRS_MAX}.")
    return pairs


def _pair(path: Path, profile: configparser.SectionProxy) -> Keys:
    key_id, secret = profile.get("aws_access_key_id", ""), profile.get("aws_secret_access_key", "")
    if not key_id or not secret:
        raise ValueError(f"Profile {profile.name} of {path} lacks aws_access_key_id or aws_secret_access_key.")
    return Keys(key_id, secret)
