"""A real S3 server on this machine, for people and for tests: Ceph's RADOS gateway, or ministack.

`python -m tools.s3_server` starts one with an empty bucket and says how to reach it.

Both keep everything in memory, listen on 127.0.0.1 only, and end with the process that started them however that one
ends: a shell waits at the other end of a pipe, and when the pipe closes it kills the servers and removes their folder.

Ceph is the stricter of the two (it checks every signature, and refuses parts below 5 MiB); it needs three packages of
Debian: radosgw, ceph-mon and ceph-osd. ministack is on PyPI, and does what Ceph leaves out: conditions on completing an
upload and on copying parts.
"""

import atexit
import contextlib
import http.client
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]

LOCALHOST = "127.0.0.1"
REGION = "us-east-1"
ACCESS_KEY = "dprompt"
BUCKET = "prompts"
CEPH_PROGRAMS = ("ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
INSTALLATION = {
    "ceph": "apt-get install --no-install-recommends radosgw ceph-mon ceph-osd",
    "ministack": "pip install ministack",
}
START_SECONDS = 30.0

# SIGKILL, since Ceph's memstore answers SIGTERM by writing all it holds to disk. Whoever stops a server writes a line;
# without one its owner has died, perhaps in the middle of starting a daemon whose pid file is still to come.
WATCHDOG = """
read _ || sleep 2
kill -9 $(cat "$1"/run/*.pid) 2>/dev/null
rm -rf "$1"
"""

# Not to be left out. `ms mon client mode`: without authentication radosgw waits for ever otherwise.
# `paxos ...`: a monitor batches changes for a second, and a start is a dozen of them. `tcp_nodelay`: short answers
# wait 40 ms for an acknowledgement otherwise. An admin socket's path must be short, and a test's folder is not.
CEPH_SETTINGS = """\
[global]
fsid = {fsid}
mon host = v2:{host}:{mon_port}
public addr = {host}
cluster addr = {host}
ms bind msgr1 = false
ms mon client mode = crc
auth cluster required = none
auth service required = none
auth client required = none
keyring = {folder}/keyring
admin socket =
pid file = {folder}/run/$name.pid
log file = {folder}/log/$name.log
run dir = {folder}/run
mon data = {folder}/mon
mon data avail warn = 1
mon data avail crit = 1
mon max pg per osd = 4096
paxos propose interval = 0.01
paxos min wait = 0.01
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 8589934592
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd class load list = *
osd class default list = *
rgw data = {folder}/rgw
rgw frontends = beast endpoint={host}:{port} tcp_nodelay=1
rgw dns name = {host}
rgw dynamic resharding = false
rgw override bucket index max shards = 1
rgw run sync thread = false
rgw enable lc threads = false
rgw enable quota threads = false
rgw gc obj min wait = 1
rgw gc processor period = 5
"""


class S3ServerError(RuntimeError):
    """A server did not start."""


class Server:
    """An S3 server that runs until it is stopped, or until the process that started it ends."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.region = REGION
        self.access_key = ACCESS_KEY
        self.secret_key = secrets.token_hex(20)
        self.port, self.second_port = free_ports(2)
        self.endpoint_url = f"http://{LOCALHOST}:{self.port}"
        self.folder = empty_folder(folder)
        self.child: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", WATCHDOG, "sh", str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.defpath},
            start_new_session=True,  # a terminal's Ctrl-C is for the owner, who stops the server in its own time
        )
        atexit.register(self.stop)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def pids(self) -> list[int]:
        """The server's processes, while it runs."""
        return [int(file.read_text()) for file in sorted(self.folder.glob("run/*.pid"))]

    def environment(self) -> dict[str, str]:
        """The variables by which boto3, and all else that speaks S3, finds this server."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ENDPOINT_URL": self.endpoint_url,
        }

    def client(self, endpoint_url: str | None = None, *, attempts: int = 3) -> Any:
        """A boto3 client of this server, or of what stands before it at another URL. Close it."""
        return boto3.client(
            "s3",
            endpoint_url=endpoint_url or self.endpoint_url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                retries={"total_max_attempts": attempts, "mode": "standard"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def stop(self) -> None:
        """End the server's processes and remove its folder; does nothing the second time, or in a forked child."""
        if os.getpid() != self._owner or self._watchdog.poll() is not None:
            return
        atexit.unregister(self.stop)
        self._watchdog.communicate(b"\n")
        if self.child:
            self.child.kill()
            self.child.wait()

    def wait_until_answering(self) -> None:
        """Return as soon as the server answers HTTP at all."""
        end = time.monotonic() + START_SECONDS
        while not answers(self.port):
            if time.monotonic() > end or (self.child and self.child.poll() is not None):
                message = f"{self.name} does not answer at {self.endpoint_url}\n{self.logs()}"
                raise S3ServerError(message)
            time.sleep(0.02)

    def logs(self) -> str:
        """The last lines of what the server's processes have written."""
        logs = (file.read_text(errors="replace").splitlines() for file in sorted(self.folder.glob("log/*")))
        return "\n".join(line for log in logs for line in log[-20:])


def free_ports(count: int) -> list[int]:
    """Ports on which nothing listens at the moment, all different."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((LOCALHOST, 0))
        return [probe.getsockname()[1] for probe in probes]


def empty_folder(folder: Path) -> Path:
    """The folder, made if need be: since it will be removed, nothing of anybody's may be in it."""
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        message = f"{folder} is not empty; an S3 server removes its folder when it stops"
        raise S3ServerError(message)
    for name in ("log", "run"):
        (folder / name).mkdir()
    return folder


def answers(port: int) -> bool:
    """Whether something at this port speaks HTTP."""
    connection = http.client.HTTPConnection(LOCALHOST, port, timeout=5)
    try:
        connection.request("GET", "/")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    else:
        return True
    finally:
        connection.close()


def start_ceph(folder: Path) -> Server:
    """Start a monitor, an object store and the RADOS gateway, which takes about a second."""
    server = Server("ceph", folder)
    try:
        configure_ceph(server)
        start_daemons(server)
        server.wait_until_answering()
    except BaseException:
        server.stop()
        raise
    return server


def configure_ceph(server: Server) -> None:
    """Write what the daemons read when they start."""
    folder = server.folder
    for name in ("mon", "osd", "rgw"):
        (folder / name).mkdir()
    fsid = str(uuid.uuid4())
    settings = CEPH_SETTINGS.format(
        fsid=fsid, host=LOCALHOST, folder=folder, port=server.port, mon_port=server.second_port
    )
    (folder / "ceph.conf").write_text(settings)
    caps = ["--cap", "mon", "allow *", "--cap", "osd", "allow *"]
    run(server, "ceph-authtool", "--create-keyring", f"{folder}/keyring", "--gen-key", "-n", "mon.", *caps)
    run(server, "ceph-authtool", f"{folder}/keyring", "--gen-key", "-n", "client.admin", *caps)
    address = f"v2:{LOCALHOST}:{server.second_port}"
    run(server, "monmaptool", "--create", "--addv", "a", address, "--fsid", fsid, f"{folder}/monmap")


def start_daemons(server: Server) -> None:
    """Start the three daemons, each of which returns when it runs in the background, and make the only user."""
    folder = server.folder
    osd = str(uuid.uuid4())
    settings = ("-c", f"{folder}/ceph.conf")
    run(server, "ceph-mon", *settings, "-i", "a", "--mkfs", "--monmap", f"{folder}/monmap")
    run(server, "ceph-mon", *settings, "-i", "a")
    run(server, "ceph", *settings, "osd", "new", osd)
    run(server, "ceph-osd", *settings, "-i", "0", "--mkfs", "--osd-uuid", osd)
    run(server, "ceph-osd", *settings, "-i", "0")
    run(server, "radosgw", *settings, "-n", "client.admin")
    keys = ("--access-key", server.access_key, "--secret-key", server.secret_key)
    run(server, "radosgw-admin", *settings, "user", "create", "--uid", "dprompt", "--display-name", "dprompt", *keys)


def run(server: Server, *command: str) -> None:
    """Run a command to its end; what it printed is in the error, if it fails, and nowhere else."""
    log = server.folder / "log" / "commands"
    with log.open("wb") as output:  # daemons hold what they inherit, so a pipe would have no end
        try:
            subprocess.run(
                command, check=True, stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=START_SECONDS
            )
        except (OSError, subprocess.SubprocessError) as error:
            message = f"Ceph did not start: {error}\n{server.logs()}"
            raise S3ServerError(message) from error


def ministack_program() -> str | None:
    """The script, in the running Python's environment or in the path."""
    return shutil.which("ministack", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")


def start_ministack(folder: Path) -> Server:
    """Start the emulator, which takes about half a second."""
    program = ministack_program()
    if program is None:
        message = f"ministack is not installed: {INSTALLATION['ministack']}"
        raise S3ServerError(message)
    server = Server("ministack", folder)
    settings = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(server.folder),
        "TMPDIR": str(server.folder),
        "BIND_HOST": LOCALHOST,  # all interfaces otherwise
        "GATEWAY_PORT": str(server.port),
        "SERVICES": "s3",
        "IOT_MTLS_ENABLED": "0",  # on all interfaces, where cryptography is installed
        "LOG_LEVEL": "WARNING",
        "S3_DATA_DIR": str(server.folder / "data"),
        "AWS_ACCESS_KEY_ID": server.access_key,  # it checks signatures in URLs, if none in headers
        "AWS_SECRET_ACCESS_KEY": server.secret_key,
    }
    try:
        with (server.folder / "log" / "ministack").open("wb") as output:
            server.child = subprocess.Popen(
                [program],
                env=settings,
                cwd=server.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        (server.folder / "run" / "ministack.pid").write_text(f"{server.child.pid}\n")
        server.wait_until_answering()
    except BaseException:
        server.stop()
        raise
    return server


STARTERS: dict[str, Callable[[Path], Server]] = {"ceph": start_ceph, "ministack": start_ministack}


def available() -> list[str]:
    """The servers that can be started on this machine, the stricter one first."""
    found = {"ceph": all(map(shutil.which, CEPH_PROGRAMS)), "ministack": ministack_program() is not None}
    return [name for name in STARTERS if found[name]]


def main() -> None:
    """Run a server with an empty bucket until Ctrl-C."""
    names = available()
    if not names:
        sys.exit("no S3 server is installed; either of these brings one:\n" + "\n".join(INSTALLATION.values()))
    with STARTERS[names[0]](Path(tempfile.mkdtemp(prefix="dprompt-s3-"))) as server:
        with contextlib.closing(server.client()) as client:
            client.create_bucket(Bucket=BUCKET)
        print(f"{server.name} at {server.endpoint_url}, bucket s3://{BUCKET}, until Ctrl-C. In another terminal:\n")
        for name, value in server.environment().items():
            print(f"export {name}={value}")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
