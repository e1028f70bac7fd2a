"""Who a development control plane lets in, and how its own hosts, clients and a person's tools get in.

It starts nothing and checks no signature. That the files are usable is the control plane's to say; read here is what
its hosts sign with: the first pair of the keys.
"""

import configparser
import os
import ssl
from pathlib import Path

import msgspec
from botocore.credentials import Credentials

from berth.client import EcsClient
from berth.errors import UserError
from berth.signing import REGION, Signer

ANY = ("berth", "berth")
"""On loopback a control plane without keys takes any pair."""


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """How one control plane is entered."""

    keys_file: Path | None = None
    """Pairs that are let in, as `~/.aws/credentials` has them; None: everybody is."""
    profile: str = ""
    """Of the first pair."""
    pair: tuple[str, str] = ANY
    """Key id and secret that its own hosts sign with."""
    token: str = ""
    """The session token of temporary keys."""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    throttle: str = "off"

    @property
    def scheme(self) -> str:
        """Of its URL."""
        return "http" if self.tls_cert is None else "https"

    def settings(self) -> dict[str, str]:
        """Variables of the control plane."""
        files = {"BERTH_KEYS_FILE": self.keys_file, "BERTH_TLS_CERT": self.tls_cert, "BERTH_TLS_KEY": self.tls_key}
        return {
            "BERTH_THROTTLE": self.throttle,
            **{name: str(path.absolute()) for name, path in files.items() if path is not None},
        }

    def credentials(self) -> dict[str, str]:
        """Variables of a program that asks the control plane."""
        trust = {} if self.tls_cert is None else {"SSL_CERT_FILE": str(self._trusted(self.tls_cert))}
        return {
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": self.pair[0],
            "AWS_SECRET_ACCESS_KEY": self.pair[1],
            **({"AWS_SESSION_TOKEN": self.token} if self.token else {}),
            **trust,
        }

    def client(self, endpoint: str) -> EcsClient:
        """A client that signs as the hosts do."""
        trust = None if self.tls_cert is None else ssl.create_default_context(cafile=self._trusted(self.tls_cert))
        return EcsClient(endpoint, Signer(Credentials(*self.pair, self.token or None)), trust=trust)

    def exports(self, endpoint: str) -> list[str]:
        """What a person's tools need in their environment, as shell lines."""
        return [
            f"export AWS_ENDPOINT_URL_ECS={endpoint} AWS_ENDPOINT_URL_CLOUDWATCH_LOGS={endpoint}",
            f"export AWS_ENDPOINT_URL_EVENTBRIDGE={endpoint} AWS_ENDPOINT_URL_STS={endpoint}",
            f"export AWS_ENDPOINT_URL_APPLICATION_AUTO_SCALING={endpoint} AWS_ENDPOINT_URL_CLOUDWATCH={endpoint}",
            f"export AWS_DEFAULT_REGION={REGION}",
            *self._exported_keys(),
        ]

    def _exported_keys(self) -> list[str]:
        if self.keys_file is None:
            lines = [f"export AWS_ACCESS_KEY_ID={self.pair[0]} AWS_SECRET_ACCESS_KEY={self.pair[1]}"]
        else:
            lines = [f"export AWS_SHARED_CREDENTIALS_FILE={self.keys_file.absolute()} AWS_PROFILE={self.profile}"]
        if self.tls_cert is not None:
            trusted = self._trusted(self.tls_cert)
            lines.append(f"export AWS_CA_BUNDLE={trusted} SSL_CERT_FILE={trusted}")
        return lines

    @staticmethod
    def _trusted(certificate: Path) -> Path:
        """Whom to trust: as the user has it, else the certificate itself, which may be its own issuer."""
        return Path(os.environ.get("SSL_CERT_FILE") or certificate.absolute())


def access_of(keys_file: Path | None, tls_cert: Path | None, tls_key: Path | None, throttle: str) -> Access:
    """The access that a person's options ask for.

    Raises:
        UserError: the keys cannot be read, or half of the TLS files is missing.
    """
    if (tls_cert is None) != (tls_key is None):
        raise UserError("--tls-cert and --tls-key go together.")
    for file in filter(None, (tls_cert, tls_key)):
        if not file.is_file():
            raise UserError(f"There is no file {file}.")
    profile, pair = ("", ANY) if keys_file is None else _first(keys_file)
    return Access(
        keys_file=keys_file, profile=profile, pair=pair, tls_cert=tls_cert, tls_key=tls_key, throttle=throttle
    )


def access_of_user() -> Access:
    """The access of a program that a person runs for a control plane that is there: keys where AWS tools have them.

    Raises:
        UserError: the profile cannot be used.
    """
    keys = Signer().credentials.get_frozen_credentials()
    return Access(pair=(str(keys.access_key), str(keys.secret_key)), token=keys.token or "")


def _first(path: Path) -> tuple[str, tuple[str, str]]:
    """The first profile and its pair."""
    profiles = configparser.RawConfigParser(strict=False)
    try:
        profiles.read_string(path.read_text())
        profile = profiles[profiles.sections()[0]]
        return profile.name, (profile["aws_access_key_id"], profile["aws_secret_access_key"])
    except OSError as error:
        raise UserError(f"The keys in {path} cannot be read: {error.strerror}.") from None
    except (configparser.Error, UnicodeDecodeError, IndexError, KeyError):
        raise UserError(f"{path} has no pair of keys: write it like ~/.aws/credentials.") from None
