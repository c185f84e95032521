"""Stores from URLs: which are accepted, and that each error has a remedy. No server is contacted."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tscm_migrate.errors import UsageError
from tscm_migrate.offsite.stores.factory import aws_keys, open_store

if TYPE_CHECKING:
    from pathlib import Path

AZURE = {"AZURE_STORAGE_ACCOUNT_NAME": "acme", "AZURE_STORAGE_ACCOUNT_KEY": "a2V5"}
AWS = {"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "not to be shown", "AWS_SHARED_CREDENTIALS_FILE": os.devnull}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the variables that the cloud libraries read from the environment."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "AZURE_", "GOOGLE_"))]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("url", "env", "shown"),
    [
        ("s3://bucket/a/b?region=eu-west-1", AWS, "s3://bucket/a/b"),
        ("s3://bucket?endpoint=https://s3.example.net", AWS, "s3://bucket"),
        ("s3://bucket/x?endpoint=http://127.0.0.1:9", AWS, "s3://bucket/x"),
        ("s3://bucket/mit Blank/Tösser 50%", AWS, "s3://bucket/mit Blank/Tösser 50%"),
        ("az://container/a/b", AZURE, "az://container/a/b"),
        ("gs://bucket/a/b", {}, "gs://bucket/a/b"),
    ],
)
def test_cloud_url_is_parsed(url: str, env: dict[str, str], shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    store = open_store(url, env=env)
    assert store.url == shown
    assert "not to be shown" not in repr(store)
    store.close()


def test_folder_is_accepted_in_each_spelling(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    assert open_store(str(tmp_path / "s")).url == open_store((tmp_path / "s").as_uri()).url


@pytest.mark.parametrize(
    ("url", "env", "words"),
    [
        ("ftp://host/x", {}, "no store is called ftp://"),
        ("s3://key:secret@bucket/x", {}, "must not hold credentials"),
        ("s3:///x", {}, "needs a bucket"),
        ("s3://bucket/../x", {}, "not a prefix"),
        ("s3://bucket/a//x", {}, "not a prefix"),
        ("s3://bucket/a#x", {}, "not a prefix"),
        (
            "s3://bucket/x",
            {"AWS_ACCESS_KEY_ID": "AK", "AWS_EC2_METADATA_DISABLED": "true"},
            "AWS_SECRET_ACCESS_KEY (not set)",
        ),
        ("s3://bucket?regoin=x", {}, "has no option 'regoin'"),
        ("s3://bucket?endpoint=http://s3.example.net", AWS, "is not encrypted"),
        ("az://container?region=x", AZURE, "has no option 'region'"),
        ("az://container/x", {}, "Account must be specified"),
        ("az://container/x", {**AZURE, "AZURE_STORAGE_ACCOUNT_KEY": "not base 64!"}, "Invalid Access Key"),
        ("gs://bucket/x", {"GOOGLE_APPLICATION_CREDENTIALS": "/there/is/none.json"}, "Unable to open service account"),
        ("sftp://host/x", {}, "needs a connection"),
    ],
)
def test_usage_error_has_a_remedy(url: str, env: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as refused:
        open_store(url, env=env)
    assert words in refused.value.message()
    assert "secret" not in refused.value.message()
    assert "not base 64!" not in refused.value.message() + refused.value.remedy()
    assert refused.value.remedy() or url.startswith("sftp")


def test_profile_of_the_shared_credentials_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("[default]\n[ops]\naws_access_key_id = AK\naws_secret_access_key = 50% more\n")
    env = {"AWS_SHARED_CREDENTIALS_FILE": str(file)}
    assert aws_keys(env) is None
    found = aws_keys({**env, "AWS_PROFILE": "ops"})
    assert found
    assert found.secret_key.reveal() == "50% more"
    assert "50%" not in repr(found)
