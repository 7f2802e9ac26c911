"""An S3 server (moto) in this process. Its address and keys are in the environment, where fsspec looks for them."""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch


class Server(NamedTuple):
    """The server's address, and a boto3 client of it."""

    endpoint: str
    client: Any


@contextmanager
def started(bucket: str, secret: str = "secret") -> Iterator[Server]:  # noqa: S107 - the server accepts any key
    """Start a server that has one empty bucket. Processes started meanwhile find it too."""
    import boto3  # noqa: PLC0415 - of moto
    import requests  # noqa: PLC0415 - of moto
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - for developers only

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line per request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    variables = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": secret, "AWS_ENDPOINT_URL": endpoint}
    variables |= dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
    # An empty file in place of the user's settings; boto3 accepts no device.
    with tempfile.NamedTemporaryFile() as empty, patch.dict(os.environ, variables):
        os.environ |= dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), empty.name)
        client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
        # The servers of a process share their buckets.
        requests.post(f"{endpoint}/moto-api/reset", timeout=60).raise_for_status()
        client.create_bucket(Bucket=bucket)
        try:
            yield Server(endpoint, client)
        finally:
            client.close()
            server.stop()
