"""An S3 of the test's own: moto's server in a process of its own, on a real socket."""

import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from urllib.parse import urlsplit

import boto3
import pytest

_SERVER = """
import sys, threading
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""
_CREDENTIALS = {"aws_access_key_id": "someone", "aws_secret_access_key": "a-secret-of-the-test"}
_REGION = "eu-central-1"
_NUMBERS = count(1)


class ObjectStore:
    """A server; `options` are the storage options that it takes."""

    def __init__(self, endpoint: str) -> None:
        self.options = {
            **_CREDENTIALS,
            "aws_region": _REGION,
            "aws_endpoint_url": endpoint,
            "aws_allow_http": "true",
        }
        self._client = boto3.client("s3", endpoint_url=endpoint, region_name=_REGION, **_CREDENTIALS)

    def bucket(self) -> str:
        """A new bucket, as a URL."""
        name = f"bucket-{next(_NUMBERS)}"
        self._client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": _REGION})
        return f"s3://{name}"

    def objects(self, url: str) -> list[str]:
        """URLs of the objects below one."""
        parts = urlsplit(url)
        found = self._client.list_objects_v2(Bucket=parts.netloc, Prefix=parts.path[1:]).get("Contents", [])
        return [f"s3://{parts.netloc}/{one['Key']}" for one in found]

    def damage(self, url: str) -> None:
        """Flip a bit in the middle of an object."""
        parts = urlsplit(url)
        place = {"Bucket": parts.netloc, "Key": parts.path[1:]}
        content = bytearray(self._client.get_object(**place)["Body"].read())
        content[len(content) // 2] ^= 16
        self._client.put_object(**place, Body=bytes(content))

    def remove(self, url: str) -> None:
        """Delete an object."""
        parts = urlsplit(url)
        self._client.delete_object(Bucket=parts.netloc, Key=parts.path[1:])


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStore]:
    """Runs while the session does, and holds nothing beyond it."""
    command = [sys.executable, "-c", _SERVER]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield ObjectStore(f"http://127.0.0.1:{int(server.stdout.readline())}")
    finally:
        server.stdin.close()
        server.wait(20)
        server.stdout.close()
