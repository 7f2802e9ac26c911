"""Predictions for large sets: equal rows for every kind of source, complete files, and jobs that can be continued."""

import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path

import boto3
import colours
import cv2
import keras
import lively
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import s3fs
from conftest import picture, write_tar
from pyarrow import parquet

from benchmarks.parts import s3_server
from realwaste.images import image_parts
from realwaste.models import image_predictions, model_file, novelty, part_predictions, session

CLASSES = ("Glass", "Metal", "Ünrat")
NAMES = [f"{number:02d}.jpg" for number in range(11)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny CNN with random weights, a temperature and a novelty score."""
    rng = np.random.default_rng(0)
    keras.utils.set_random_seed(1)
    classifier = lively.cnn_classifier(32, CLASSES, temperature=0.1, batch_size=4)
    detector = novelty.fit(rng.random((20, 64), np.float32), rng.random((10, 64), np.float32))
    file = tmp_path_factory.mktemp("model") / "cnn.keras"
    model_file.save(file, replace(classifier, novelty=detector))
    return file


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Eleven picture files; the fourth is not an image."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, name in enumerate(NAMES):
        cv2.imwrite(str(folder / name), picture(number))
    (folder / NAMES[3]).write_bytes(b"no image")
    return folder


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(image_parts, "IMAGES_PER_PART", 3)


def predict(source, output, model, *options, status=0):
    """Run the command, which must end with this status. Returns what it shows."""
    result = colours.run("predict", source, "--output", output, "--model", model, *options, status=status)
    assert "Traceback" not in result.output
    return colours.words(result.output)


def read_rows(output):
    return pd.read_parquet(output).set_index("path")


@pytest.mark.usefixtures("small_parts")
def test_output_rows_equal_the_predictions_of_the_files(model, pictures, tmp_path):
    shown = predict(pictures, tmp_path / "out", model, "--min-confidence", 0.5)
    assert sorted(file.name for file in (tmp_path / "out").glob("part-*")) == [
        f"part-{n:06d}.parquet" for n in range(4)
    ]
    table = read_rows(tmp_path / "out")
    assert table.index.tolist() == NAMES
    opened = session.open_session(model)
    predictions = image_predictions.predict_images(opened, [pictures / name for name in NAMES])
    for prediction in image_predictions.apply_min_confidence(predictions, 0.5):
        row = table.loc[prediction.path.name]
        if prediction.error:
            assert row["error"] == prediction.error == "not an image"
            assert row.drop("error").isna().all()
            continue
        assert {ranked.name: np.float32(ranked.probability) for ranked in prediction.predictions} == {
            name: row[f"p_{name}"] for name in CLASSES
        }
        assert (row["class"], row["probability"]) == (prediction.predictions[0].name, row[f"p_{row['class']}"])
        assert (row["not_sure"], row["unlike"]) == (prediction.not_sure, prediction.is_novel)
        assert row["novelty"] == np.float32(prediction.novelty_score)
    counts = table["class"].value_counts()
    assert all(f"{counts[name]} {name}" in shown for name in counts.index)
    assert "11 photos: " in shown
    assert f"{table['not_sure'].sum() / 10:.1%} not sure" in shown
    assert "1 without a prediction; " in shown
    assert "4 parts; written: " in shown


def test_folders_tar_and_parquet_files_have_the_same_predictions(model, pictures, tmp_path):
    contents = {name: (pictures / name).read_bytes() for name in NAMES}
    write_tar(tmp_path / "shards.tar", contents)
    parquet.write_table(pa.table({"path": NAMES, "image": list(contents.values())}), tmp_path / "table.parquet")
    tables = []
    for source in (pictures, tmp_path / "shards.tar", tmp_path / "table.parquet"):
        predict(source, tmp_path / f"out {source.name}", model)
        tables.append(read_rows(tmp_path / f"out {source.name}"))
    assert tables[1].index.tolist() == [f"shards.tar/{name}" for name in NAMES]
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table.set_index(tables[0].index), tables[0], check_exact=True)


@pytest.fixture(scope="module")
def uninterrupted(model, pictures, tmp_path_factory):
    """The files of a run without a stop, by name."""
    folder = tmp_path_factory.mktemp("uninterrupted") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_parts, "IMAGES_PER_PART", 3)
        predict(pictures, folder, model)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("finished", range(5))
def test_an_interrupted_run_continues_with_the_missing_parts(model, pictures, uninterrupted, tmp_path, finished):
    """Ctrl-C before each of the four parts is written, and after the last one."""
    written: list[int] = []
    write = part_predictions.Destination.write

    def stop_after(self, number, *arguments):
        if len(written) == finished:
            raise KeyboardInterrupt
        write(self, number, *arguments)
        written.append(number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(part_predictions.Destination, "write", stop_after)
        predict(pictures, tmp_path / "out", model, status=0 if finished == 4 else 130)
    parts_before = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "out").glob("part-*")}
    assert len(parts_before) == finished
    shown = predict(pictures, tmp_path / "out", model)
    assert ("of 4 parts are there already" in shown) == (finished > 0)
    assert "11 photos: " in shown
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == uninterrupted
    assert all((tmp_path / "out" / name).stat().st_mtime_ns == time for name, time in parts_before.items())


def test_an_output_folder_with_other_content_is_refused(model, pictures, tmp_path):
    predict(pictures, tmp_path / "out", model)
    refused = predict(pictures, tmp_path / "out", model, "--min-confidence", 0.9, status=1)
    assert "holds the predictions of another job: min_confidence differ" in refused
    larger_source = tmp_path / "more"
    shutil.copytree(pictures, larger_source)
    (larger_source / "new.jpg").write_bytes(b"")
    assert "another job: source differ" in predict(larger_source, tmp_path / "out", model, status=1)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/letter.txt").write_text("dear")
    refused = predict(pictures, tmp_path / "other", model, status=1)
    assert "must be a new folder, or that of this job. Received: 'letter.txt'" in refused
    assert "outside of SOURCE" in predict(pictures, pictures / "out", model, status=1)
    assert list(pictures.glob("out*")) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--csv", "a.csv"], "--output without the other outputs"),
        (["--json"], "--output without the other outputs"),
        (["b"], "--output must be used with one SOURCE"),
    ],
)
def test_incompatible_options_are_refused(model, pictures, tmp_path, options, expected):
    assert expected in predict(pictures, tmp_path / "out", model, *options, status=1)
    assert not (tmp_path / "out").exists()


def test_ray_needs_the_option_output(pictures):
    result = colours.run("predict", pictures, "--engine", "ray", status=1)
    assert "--engine ray must be used with --output" in colours.words(result.output)


def test_a_full_disk_leaves_no_partial_file(model, pictures, tmp_path, monkeypatch):
    write_bytes = Path.write_bytes

    def fail_to_write(self, content):
        if self.name.startswith(".tmp-") and "part-" in self.name:
            write_bytes(self, content[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_bytes(self, content)

    monkeypatch.setattr(Path, "write_bytes", fail_to_write)
    shown = predict(pictures, tmp_path / "out", model, status=1)
    assert "must be a folder that can be written. Received: 'No space left on device'" in shown
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["_job.json"]


@pytest.fixture
def bucket():
    """A local S3 server with the empty bucket `waste`."""
    s3fs.S3FileSystem.clear_instance_cache()
    with s3_server.started("waste") as server:
        yield server
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.usefixtures("small_parts")
def test_predict_reads_from_and_writes_to_an_object_store(model, pictures, tmp_path, bucket):
    for name in NAMES:
        bucket.client.upload_file(str(pictures / name), "waste", f"in/{name}")
    predict(pictures, tmp_path / "out", model)
    predict("s3://waste/in", "s3://waste/out", model)
    listed = {entry["Key"] for entry in bucket.client.list_objects_v2(Bucket="waste", Prefix="out/")["Contents"]}
    assert listed == {f"out/{file.name}" for file in (tmp_path / "out").iterdir()}
    for file in (tmp_path / "out").iterdir():
        content = bucket.client.get_object(Bucket="waste", Key=f"out/{file.name}")["Body"].read()
        assert content == file.read_bytes() or json.loads(content) == json.loads(file.read_bytes())
    bucket.client.delete_object(Bucket="waste", Key="out/part-000002.parquet")
    continued = predict("s3://waste/in", "s3://waste/out", model)
    assert "3 of 4 parts are there already" in continued
    assert "11 photos: " in continued
    assert len(bucket.client.list_objects_v2(Bucket="waste", Prefix="out/")["Contents"]) == 5


def test_object_store_errors_are_reported_without_a_traceback(model, bucket, monkeypatch, pictures):
    empty = predict("s3://waste/nothing", "s3://waste/out", model, status=1)
    assert "s3://waste/nothing must hold images" in empty
    unwritable = predict(pictures, "s3://no-such-bucket/out", model, status=1)
    assert "s3://no-such-bucket/out must be a folder that can be written" in unwritable
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3fs.S3FileSystem.clear_instance_cache()
    unreadable = predict("s3://waste/in", "s3://waste/out", model, status=1)
    assert "must be a folder or prefix that can be listed" in unreadable


def test_missing_access_rights_are_reported(model, pictures, bucket, monkeypatch):
    for name in NAMES:
        bucket.client.upload_file(str(pictures / name), "waste", f"in/{name}")
    inputs, outputs = "arn:aws:s3:::waste/in*", "arn:aws:s3:::waste/out*"
    cases = {
        (): "s3://waste/in must be a folder or prefix that can be listed",
        (("ListBucket", "*"), ("GetObject", inputs)): "s3://waste/out must be a folder that can be written",
        (("ListBucket", "*"), ("GetObject", outputs), ("PutObject", outputs)): "11 without a prediction",
    }
    keys = [_create_user(bucket.endpoint, f"user{number}", rights) for number, rights in enumerate(cases)]
    monkeypatch.setattr("moto.settings.INITIAL_NO_AUTH_ACTION_COUNT", 0.0)  # the server checks rights from here on
    for key, (rights, expected) in zip(keys, cases.items(), strict=True):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        s3fs.S3FileSystem.clear_instance_cache()
        assert expected in predict("s3://waste/in", "s3://waste/out", model, status=0 if len(rights) == 3 else 1)


def _create_user(endpoint, name, rights):
    iam = boto3.client("iam", endpoint_url=endpoint, region_name="us-east-1")
    iam.create_user(UserName=name)
    if rights:
        statements = [
            {"Effect": "Allow", "Action": f"s3:{action}", "Resource": resource} for action, resource in rights
        ]
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        iam.put_user_policy(UserName=name, PolicyName="rights", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    iam.close()
    return key
