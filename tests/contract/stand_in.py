"""Stand-ins for the two programs, as far as the supervisor sees them: `stand_in.py controlplane|agent [sweep ...]`.

The control plane counts the hosts that call; an agent calls, and writes down whether it was asked to sweep.
"""

import json
import os
import signal
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HOSTS: list[str] = []


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer({"status": "ok"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        operation = self.headers["X-Amz-Target"].rpartition(".")[2]
        if operation == "RegisterContainerInstance":
            HOSTS.append(body["name"])
        self._answer(
            {
                "containerInstanceArns": [f"arn:aws:ecs:r:a:container-instance/default/{name}" for name in HOSTS],
                "containerInstances": [
                    {
                        "containerInstanceArn": f"arn:aws:ecs:r:a:container-instance/default/{name}",
                        "agentConnected": True,
                        "status": "ACTIVE",
                        "attributes": [{"name": "berth.host", "value": name}],
                    }
                    for name in HOSTS
                ],
            }
        )

    def _answer(self, body: object) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        pass


def controlplane() -> None:
    if os.environ.get("STAND_IN_FAILS") == "controlplane":
        sys.exit("the disk is full")
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    ThreadingHTTPServer((os.environ["BERTH_HOST"], int(os.environ["BERTH_PORT"])), Answers).serve_forever()


def agent() -> None:
    if "sweep" in sys.argv:
        Path(os.environ["STAND_IN_SWEPT"]).write_text(sys.argv[-1])
        return
    if os.environ.get("STAND_IN_FAILS") == "agent":
        sys.exit("no such instance type")
    wanted = {name: value for name, value in os.environ.items() if name.startswith(("ECS_", "BERTH_", "AWS_"))}
    (Path(os.environ["ECS_DATADIR"]) / "environment.json").write_text(json.dumps(wanted))
    name = json.loads(os.environ["ECS_INSTANCE_ATTRIBUTES"])["berth.host"]
    request = urllib.request.Request(
        os.environ["ECS_BACKEND_HOST"],
        data=json.dumps({"name": name}).encode(),
        headers={"X-Amz-Target": "AmazonEC2ContainerServiceV20141113.RegisterContainerInstance"},
    )
    urllib.request.urlopen(request).close()
    sys.stdout.write("registered\n")
    sys.stdout.flush()
    if os.environ.get("STAND_IN_FAILS") == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        signal.pause()


if __name__ == "__main__":
    {"controlplane": controlplane, "agent": agent}[sys.argv[1]]()
