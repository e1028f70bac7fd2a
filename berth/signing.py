"""Signs what the command line asks of a control plane, with the keys that AWS tools would take.

Where there are none it signs with any: on loopback a control plane without keys takes them all.
"""

import aiohttp
import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError

from berth.errors import UserError

REGION = "us-east-1"
ANY = Credentials("berth", "berth")


class Signer:
    """Signs requests for the service `ecs`; given to an `EcsClient`."""

    def __init__(self, credentials: Credentials | None = None) -> None:
        """Without `credentials`, look for keys and region in environment and profile.

        Raises:
            UserError: the profile cannot be used.
        """
        if credentials is not None:
            self.credentials, self._region = credentials, REGION
            return
        session = botocore.session.get_session()
        try:
            self.credentials = session.get_credentials() or ANY
            self._region = session.get_config_variable("region") or REGION
        except BotoCoreError as error:
            raise UserError(f"Your AWS profile cannot be used: {error}") from error

    async def __call__(self, request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """Sign a request on its way out: a middleware of aiohttp's client."""
        body = request.body if isinstance(request.body, bytes) else await request.body.as_bytes()
        signed = AWSRequest(request.method, str(request.url), {"Host": request.headers["Host"]}, body)
        for name, value in request.headers.items():
            if name.lower().startswith("x-amz-"):
                signed.headers[name] = value
        SigV4Auth(self.credentials, "ecs", self._region).add_auth(signed)
        request.headers.update(signed.headers.items())
        return await send(request)
