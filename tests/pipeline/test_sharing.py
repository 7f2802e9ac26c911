"""Data, embeddings and models over an S3 remote: pushed from one checkout, pulled into a fresh clone, nothing reruns.

DVC believes that a folder is on the remote when its list of files is: only a fresh clone shows what is there.
"""

import json
import secrets
import subprocess
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest
import tiny_pipeline
import yaml
from moto.server import ThreadedMotoServer
from tiny_pipeline import ran, run

pytestmark = pytest.mark.slow

BUCKET, PREFIX = "photographs", "realwaste"
SECRET = secrets.token_hex()  # the local server takes any
SHARED = [out for stage in tiny_pipeline.ORDER.values() for out in stage.get("outs", []) if isinstance(out, str)]


@pytest.fixture(scope="module")
def remote(tmp_path_factory):
    """An S3 server on this machine, and credentials where DVC looks for them: the environment."""
    empty = tmp_path_factory.mktemp("aws") / "empty"
    empty.touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        for variable in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):  # not those of the person who runs this
            patch.setenv(variable, str(empty))
        patch.setenv("NO_PROXY", "127.0.0.1")
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        client = boto3.client("s3", endpoint_url=url, region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        yield SimpleNamespace(url=url, client=client)
        client.close()
        server.stop()


@pytest.fixture(scope="module")
def origin(remote, tmp_path_factory):
    """A checkout after a run and a push."""
    root = tmp_path_factory.mktemp("origin")
    tiny_pipeline.make(root)
    with _own_index(root):
        run(root, "dvc", "repro")
        run(root, "dvc", "remote", "add", "-d", "share", f"s3://{BUCKET}/{PREFIX}")
        run(root, "dvc", "remote", "modify", "share", "endpointurl", remote.url)
        tiny_pipeline.commit(root)
        run(root, "dvc", "push")
    return root


@pytest.fixture
def fresh(origin, tmp_path):
    """What another machine has: git's files, no cache and no notes of what the remote holds."""
    root = tmp_path / "fresh"
    run(tmp_path, "git", "clone", "-q", str(origin), str(root))
    assert not (root / ".dvc/cache").exists()
    assert not any((root / out).exists() for out in SHARED)
    with _own_index(root):
        yield root


@contextmanager
def _own_index(root: Path):
    """DVC keeps notes on remotes in a folder for the whole machine, where clones would find each other's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(root.with_name(f"{root.name}-index")))
        yield


def _bytes_of(root: Path) -> dict[str, bytes]:
    files = [file for out in SHARED for file in (root / out, *(root / out).rglob("*")) if file.is_file()]
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in files}


def _listed(root: Path, out: str) -> tuple[str, list[str]]:
    """The md5 of a folder out, and those of its files."""
    lock = yaml.safe_load((root / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    md5 = next(entry["md5"] for stage in lock.values() for entry in stage["outs"] if entry["path"] == out)
    files = json.loads((root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).read_text(encoding="utf-8"))
    return md5, [file["md5"] for file in files]


def _delete(remote, md5: str) -> None:
    key = f"{PREFIX}/files/md5/{md5[:2]}/{md5[2:]}"
    remote.client.head_object(Bucket=BUCKET, Key=key)  # raises unless it is there
    remote.client.delete_object(Bucket=BUCKET, Key=key)


def test_a_fresh_clone_gets_every_byte_and_runs_nothing(origin, fresh):
    run(fresh, "dvc", "pull")
    assert _bytes_of(fresh) == _bytes_of(origin)
    assert len(_bytes_of(fresh)) > 54 + len(SHARED) - 3  # 54 pictures; three of the outs are folders
    assert json.loads(run(fresh, "dvc", "status", "--json")) == {}
    assert ran(run(fresh, "dvc", "repro")) == []
    assert run(fresh, "git", "status", "--porcelain") == ""


def test_a_tagged_model_is_got_by_its_name(origin, tmp_path):
    run(origin, "git", "-c", "user.name=t", "-c", "user.email=t@t", "tag", "-a", "cnn@v1.0.0", "-m", "t")
    run(tmp_path, "dvc", "artifacts", "get", str(origin), "cnn", "-o", "got.keras")
    assert (tmp_path / "got.keras").read_bytes() == (origin / "models/cnn.keras").read_bytes()


def test_no_secret_gets_into_git(fresh):
    run(fresh, "dvc", "remote", "modify", "--local", "share", "secret_access_key", SECRET)
    assert SECRET in (fresh / ".dvc/config.local").read_text(encoding="utf-8")
    assert run(fresh, "git", "status", "--porcelain") == ""
    assert subprocess.run(["git", "grep", "-q", SECRET], cwd=fresh, check=False).returncode == 1


def test_what_the_remote_lacks_fails_the_pull_though_push_says_nothing(origin, fresh, remote):
    folder, files = _listed(origin, "data/raw")
    _delete(remote, files[0])
    with _own_index(origin):
        assert "up to date" in run(origin, "dvc", "push")
        assert "in sync" in run(origin, "dvc", "status", "--cloud")
    output = run(fresh, "dvc", "pull", ok=False)
    assert f"failed to transfer '{files[0]}'" in output
    assert "key does not exist" in output
    assert "Traceback" not in output
    # The way out that docs/sharing.md gives: without the folder's list, push looks at each file again.
    _delete(remote, folder)
    with _own_index(origin):
        run(origin, "dvc", "push")
    run(fresh, "dvc", "pull")
    assert _bytes_of(fresh) == _bytes_of(origin)
