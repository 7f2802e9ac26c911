"""Shares data, embeddings and models over an S3 remote: a checkout pushes, a fresh clone pulls and reruns no stage.

DVC assumes that a folder is complete on the remote if its list of files is there. Only a fresh clone shows the truth.
"""

import json
import secrets
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
import tiny_pipeline
import yaml
from tiny_pipeline import ran, run

from benchmarks.parts import s3_server

pytestmark = pytest.mark.slow

BUCKET, PREFIX = "photographs", "realwaste"
SECRET = secrets.token_hex()  # the local server accepts any key
OUTPUTS = [out for stage in tiny_pipeline.ORDER.values() for out in stage.get("outs", []) if isinstance(out, str)]


@pytest.fixture(scope="module")
def remote():
    """An S3 server on this machine. Environment variables give DVC its credentials; its remote has the address."""
    with s3_server.started(BUCKET, SECRET) as server, pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.delenv("AWS_ENDPOINT_URL")
        yield server


@pytest.fixture(scope="module")
def origin(remote, tmp_path_factory):
    """A checkout after `dvc repro` and `dvc push`."""
    root = tmp_path_factory.mktemp("origin")
    tiny_pipeline.make(root)
    with _separate_index(root):
        run(root, "dvc", "repro")
        run(root, "dvc", "remote", "add", "-d", "share", f"s3://{BUCKET}/{PREFIX}")
        run(root, "dvc", "remote", "modify", "share", "endpointurl", remote.endpoint)
        tiny_pipeline.commit(root)
        run(root, "dvc", "push")
    return root


@pytest.fixture
def fresh_clone(origin, tmp_path):
    """A git clone as on another machine: without DVC's cache, and without its index of the remote."""
    root = tmp_path / "fresh"
    run(tmp_path, "git", "clone", "-q", str(origin), str(root))
    assert not (root / ".dvc/cache").exists()
    assert not any((root / out).exists() for out in OUTPUTS)
    with _separate_index(root):
        yield root


@contextmanager
def _separate_index(root: Path):
    """DVC stores its index of remotes in one folder per machine; clones would read the entries of each other."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(root.with_name(f"{root.name}-index")))
        yield


def _read_outputs(root: Path) -> dict[str, bytes]:
    files = [file for out in OUTPUTS for file in (root / out, *(root / out).rglob("*")) if file.is_file()]
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in files}


def _read_folder_hashes(root: Path, out: str) -> tuple[str, list[str]]:
    """The md5 of an output folder, and the md5 of each of its files."""
    stages = yaml.safe_load((root / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    md5 = next(entry["md5"] for stage in stages.values() for entry in stage["outs"] if entry["path"] == out)
    files = json.loads((root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).read_text(encoding="utf-8"))
    return md5, [file["md5"] for file in files]


def _delete_from_remote(remote, md5: str) -> None:
    key = f"{PREFIX}/files/md5/{md5[:2]}/{md5[2:]}"
    remote.client.head_object(Bucket=BUCKET, Key=key)  # raises if the object does not exist
    remote.client.delete_object(Bucket=BUCKET, Key=key)


def test_a_fresh_clone_pulls_every_output_and_reruns_no_stage(origin, fresh_clone):
    run(fresh_clone, "dvc", "pull")
    assert _read_outputs(fresh_clone) == _read_outputs(origin)
    assert len(_read_outputs(fresh_clone)) > 54 + len(OUTPUTS) - 3  # 54 images; three of the outputs are folders
    assert json.loads(run(fresh_clone, "dvc", "status", "--json")) == {}
    assert ran(run(fresh_clone, "dvc", "repro")) == []
    assert run(fresh_clone, "git", "status", "--porcelain") == ""


def test_artifacts_get_downloads_a_tagged_model_by_its_name(origin, tmp_path):
    run(origin, "git", "-c", "user.name=t", "-c", "user.email=t@t", "tag", "-a", "cnn@v1.0.0", "-m", "t")
    run(tmp_path, "dvc", "artifacts", "get", str(origin), "cnn", "-o", "downloaded.keras")
    assert (tmp_path / "downloaded.keras").read_bytes() == (origin / "models/cnn.keras").read_bytes()


def test_the_secret_access_key_is_not_stored_in_git(fresh_clone):
    run(fresh_clone, "dvc", "remote", "modify", "--local", "share", "secret_access_key", SECRET)
    assert SECRET in (fresh_clone / ".dvc/config.local").read_text(encoding="utf-8")
    assert run(fresh_clone, "git", "status", "--porcelain") == ""
    assert subprocess.run(["git", "grep", "-q", SECRET], cwd=fresh_clone, check=False).returncode == 1


def test_pull_reports_a_file_missing_on_the_remote_although_push_does_not(origin, fresh_clone, remote):
    folder_hash, file_hashes = _read_folder_hashes(origin, "data/raw")
    _delete_from_remote(remote, file_hashes[0])
    with _separate_index(origin):
        assert "up to date" in run(origin, "dvc", "push")
        assert "in sync" in run(origin, "dvc", "status", "--cloud")
    output = run(fresh_clone, "dvc", "pull", ok=False)
    assert f"failed to transfer '{file_hashes[0]}'" in output
    assert "key does not exist" in output
    assert "Traceback" not in output
    # The repair in docs/sharing.md: without the list of the folder, push checks each file again.
    _delete_from_remote(remote, folder_hash)
    with _separate_index(origin):
        run(origin, "dvc", "push")
    run(fresh_clone, "dvc", "pull")
    assert _read_outputs(fresh_clone) == _read_outputs(origin)
