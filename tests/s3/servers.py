"""S3 servers for tests: started when a test asks, missed loudly where they must not be missing."""

import os
import uuid
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]

from tests.s3.fault_proxy import Headers, Resign
from tools.s3_server import INSTALLATION, STARTERS, Server, available

SERVERS = tuple(STARTERS)  # their names
REQUIRED = "DPROMPT_REQUIRE_S3"  # set to 1 where the servers are known to be installed, as in CI


def start(name: str, folder: Path) -> Server:
    """The server of that name, or a skipped test."""
    skip_without(name)
    return STARTERS[name](folder)


def skip_without(name: str) -> None:
    """Skip the test if the server is not installed, or fail it where the environment requires the servers."""
    if name in available():
        return
    reason = f"the S3 server {name} is not installed: {INSTALLATION[name]}"
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{reason} ({REQUIRED}=1)", pytrace=False)
    pytest.skip(reason)


def make_bucket(client: Any) -> str:
    """A new bucket under a name that no other has."""
    name = f"test-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=name)
    return name


def remove_objects(client: Any, bucket: str) -> None:
    """Free the memory that a bucket's objects take in the server."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for item in page.get("Contents", []):
            client.delete_object(Bucket=bucket, Key=item["Key"])


def resigner(server: Server) -> Resign:
    """What signs a request anew after the proxy has changed its headers."""
    credentials = Credentials(server.access_key, server.secret_key)

    def resign(method: str, target: str, headers: Headers) -> Headers:
        request = AWSRequest(method, f"{server.endpoint_url}{target}", dict(headers))
        digest = request.headers["x-amz-content-sha256"]
        signer = S3SigV4Auth(credentials, "s3", server.region)
        signer.payload = lambda _: digest  # the body is not here, and has not changed
        signer.add_auth(request)
        return list(request.headers.items())

    return resign
