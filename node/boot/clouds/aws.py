"""AWS calls from the machine: IMDSv2, the role's credentials, Secrets Manager with Signature Version 4.

The instance is launched to terminate when it shuts down, so that ending it needs no permission.
Source: docs.aws.amazon.com, "Create a signed AWS API request" and "Use IMDSv2".
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import sys
import time
import urllib.parse

from spotwave.node.boot.clouds.common import METADATA, ask, main


def _metadata(path: str) -> str:
    token = ask(f"{METADATA}/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "300"}, "PUT", timeout_s=5)
    shown = {"X-aws-ec2-metadata-token": token}
    return ask(f"{METADATA}/latest/meta-data/{path}", shown, timeout_s=5)


def node() -> int:
    """Among the instances of one request (EC2 User Guide, "Instance metadata categories": ami-launch-index)."""
    return int(_metadata("ami-launch-index"))


def secret() -> str:
    roles = "iam/security-credentials/"
    role = _metadata(roles).split()[0]
    credentials = json.loads(_metadata(roles + role))
    url = os.environ["SPOTWAVE_SECRET_AT"] + "/"
    body = json.dumps({"SecretId": os.environ["SPOTWAVE_SECRET"]}).encode()
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    headers = signed(url, body, os.environ["SPOTWAVE_SECRET_REGION"], credentials, now)
    return str(json.loads(ask(url, headers, "POST", body))["SecretString"])


def signed(url: str, body: bytes, region: str, credentials: dict[str, str], now: str) -> dict[str, str]:
    """Return the headers of a GetSecretValue request. `now` has the format 20260131T235959Z."""
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "Host": urllib.parse.urlsplit(url).netloc,
        "X-Amz-Date": now,
        "X-Amz-Security-Token": credentials["Token"],
        "X-Amz-Target": "secretsmanager.GetSecretValue",
    }
    names = ";".join(sorted(name.lower() for name in headers))
    lines = sorted(f"{name.lower()}:{value}\n" for name, value in headers.items())
    request = "\n".join(["POST", "/", "", "".join(lines), names, hashlib.sha256(body).hexdigest()])
    scope = f"{now[:8]}/{region}/secretsmanager/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{credentials['SecretAccessKey']}".encode()
    for part in (*scope.split("/"), to_sign):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    who = f"AWS4-HMAC-SHA256 Credential={credentials['AccessKeyId']}/{scope}"
    return {**headers, "Authorization": f"{who}, SignedHeaders={names}, Signature={key.hex()}"}


def end() -> bool:
    return False


if __name__ == "__main__":
    sys.exit(main(secret, end, node))
