"""Fetches a model as people do and loads it into tensors, or sends one: `python peers.py SPEC.json`. Each way in a process of its own."""

import json
import subprocess
import sys
import time


def boto3_client(s3):
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=s3["endpoint"],
        region_name=s3["region"],
        aws_access_key_id=s3["accessKey"],
        aws_secret_access_key=s3["secretKey"],
        config=Config(
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def touch(tensors):
    """Every page: a file that is only mapped would not have been read yet."""
    import torch

    seen = 0
    for tensor in tensors.values():
        seen += int(tensor.reshape(-1).view(torch.uint8)[::4096].sum(dtype=torch.int64))
    print(len(tensors), seen)


def main(spec):
    way, s3, file = spec["way"], spec["s3"], spec.get("file")
    if way == "torch alone":
        import torch

        print(torch.empty(1).numel())
        return
    if way == "ours":
        sys.path.insert(0, spec["loader"])
        from modelwright_load import Part, load_parts

        started = time.monotonic()
        touch(load_parts(spec["tensors"], [Part(**part) for part in spec["parts"]]))
        print(time.monotonic() - started)
        return
    if way.startswith("boto3"):
        client = boto3_client(s3)
        if spec.get("send"):
            client.upload_file(file, s3["bucket"], spec["key"])
        else:
            client.download_file(s3["bucket"], spec["key"], file)
    elif way == "rclone":
        address = f"bench:{s3['bucket']}/{spec['key']}"
        subprocess.run([spec["rclone"], "copyto", *([file, address] if spec.get("send") else [address, file])], check=True)
    else:
        address = f"s3://{s3['bucket']}/{spec['key']}"
        ends = [file, address] if spec.get("send") else [address, file]
        subprocess.run(
            [sys.executable, "-m", "awscli", "s3", "cp", "--quiet", "--endpoint-url", s3["endpoint"], *ends],
            check=True,
        )
    if spec.get("send"):
        return
    if way == "boto3-torch":
        import torch

        touch(torch.load(file, weights_only=True))
    else:
        from safetensors.torch import load_file

        touch(load_file(file))


main(json.load(open(sys.argv[1])))
