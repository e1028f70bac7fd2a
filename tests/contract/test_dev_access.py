"""`berth dev` with keys, TLS and rates: its own hosts get in, a person with a key does, nobody else."""

import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from dev_program import definition, run, scripted, wait

from berth.access import access_of
from berth.errors import UserError

KEYS = """\
[ours]
aws_access_key_id = AKIDOURS
aws_secret_access_key = secret
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Keys, certificate, its key."""
    keys, cert, key = tmp_path / "keys", tmp_path / "cert.pem", tmp_path / "key.pem"
    keys.write_text(KEYS)
    keys.chmod(0o600)
    kind = ("-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    name = ("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1")
    subprocess.run(["openssl", "req", *kind, *name, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return keys, cert, key


def test_only_who_has_a_key_gets_in(
    tmp_path: Path, files: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, cert, key = files
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    options = ("--hosts", "1", "--keys", keys, "--tls-cert", cert, "--tls-key", key, "--throttle", "aws")
    with scripted(tmp_path, *map(str, options)) as dev:
        said = "".join(dev.said)
        assert f"export AWS_SHARED_CREDENTIALS_FILE={keys} AWS_PROFILE=ours" in said
        assert f"export AWS_CA_BUNDLE={cert} SSL_CERT_FILE={cert}" in said

        def client(secret: str) -> Any:
            return boto3.client(
                "ecs",
                endpoint_url=dev.endpoint.replace("http:", "https:"),
                verify=str(cert),
                region_name="us-east-1",
                aws_access_key_id="AKIDOURS",
                aws_secret_access_key=secret,
                config=Config(retries={"max_attempts": 0}),
            )

        with pytest.raises(ClientError, match="InvalidSignatureException"):
            client("guess").list_clusters()
        ecs = client("secret")
        definition(ecs, "job")
        wait(ecs, "tasks_running", tasks=[run(ecs, "job")])
        with pytest.raises(ClientError, match="Rate exceeded"):
            [ecs.create_cluster(clusterName="again") for _ in range(500)]


def test_half_an_access_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--tls-cert and --tls-key go together"):
        access_of(None, tmp_path, None, "off")
    with pytest.raises(UserError, match="cannot be read: No such file"):
        access_of(tmp_path / "none", None, None, "off")
    file = tmp_path / "keys"
    file.write_text("[a]\naws_access_key_id = x\n")
    with pytest.raises(UserError, match="has no pair of keys"):
        access_of(file, None, None, "off")
