import errno
import json
from pathlib import Path

import pytest
from pydantic import Field, SecretStr

from recmesh_kit.settings import BrokerSettings, DatabaseSettings, ServiceSettings, load


class Example(ServiceSettings, DatabaseSettings, BrokerSettings):
    target: str = Field("postgresql://reader:hunter2@db/x", description="A place.")
    keys: dict[str, SecretStr] = Field(default_factory=dict, description="Keys.")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:secret-1@db/recmesh")
    monkeypatch.setenv("AMQP_URL", "amqp://me:secret-2@mq/recmesh")
    return monkeypatch


def test_every_field_is_documented() -> None:
    assert not [name for name, field in Example.model_fields.items() if not field.description]


def test_no_secret_has_a_default() -> None:
    secrets = [field for field in Example.model_fields.values() if field.annotation is SecretStr]
    assert len(secrets) == 2
    assert all(field.is_required() for field in secrets)


def test_reads_the_environment(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("RECMESH_LISTEN", "127.0.0.1:50051")
    environment.setenv("RECMESH_LOG_LEVEL", "DEBUG")
    environment.setenv("RECMESH_KEYS", '{"a": "secret-3"}')
    environment.setenv("RECMESH_SOMETHING_ELSE", "x")
    settings = load(Example)
    assert settings.listen == "127.0.0.1:50051"
    assert settings.log_level == "debug"
    assert settings.database_url.get_secret_value() == "postgresql://me:secret-1@db/recmesh"
    assert settings.keys["a"].get_secret_value() == "secret-3"
    assert settings.max_message_bytes == 4 * 1024 * 1024


def test_redacted_shows_no_secret(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("RECMESH_KEYS", '{"a": "secret-3"}')
    shown = load(Example).redacted()
    assert shown["database_url"] == "***"
    assert shown["keys"] == {"a": "***"}
    assert shown["target"] == "postgresql://reader:***@db/x"
    assert shown["drain_seconds"] == 20
    assert shown.keys() == Example.model_fields.keys()
    assert "secret" not in json.dumps(shown)


def test_what_is_missing_or_wrong_is_said_in_a_line_each(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("AMQP_URL", raising=False)
    monkeypatch.setenv("RECMESH_LISTEN", "nowhere")
    monkeypatch.setenv("RECMESH_DATABASE_POOL_SIZE", "secret-4")
    with pytest.raises(SystemExit) as stopped:
        load(Example)
    assert stopped.value.code == 2
    said = capsys.readouterr().err.splitlines()
    assert sorted(line.split(": ")[1] for line in said) == [
        "AMQP_URL",
        "DATABASE_URL",
        "RECMESH_DATABASE_POOL_SIZE",
        "RECMESH_LISTEN",
    ]
    assert any("Field required" in line and "postgresql://role" in line for line in said)
    assert "secret-4" not in "".join(said)


def test_malformed_json_is_said_in_a_line(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.setenv("RECMESH_KEYS", "{secret")
    with pytest.raises(SystemExit):
        load(Example)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert '"keys"' in said
    assert "secret" not in said


@pytest.mark.parametrize("listen", ["[::]:50051", "0.0.0.0:1", "auth.local:50051"])
def test_addresses(environment: pytest.MonkeyPatch, listen: str) -> None:
    environment.setenv("RECMESH_LISTEN", listen)
    assert load(Example).listen == listen


@pytest.fixture
def secrets(tmp_path: Path, environment: pytest.MonkeyPatch) -> Path:
    environment.delenv("DATABASE_URL")
    environment.setenv("RECMESH_SECRETS_DIR", str(tmp_path))
    (tmp_path / "DATABASE_URL").write_text("postgresql://me:secret-4@db/recmesh\n")
    (tmp_path / "AMQP_URL").write_text("amqp://me:not-this-one@mq/recmesh")
    (tmp_path / "RECMESH_KEYS").write_text('{"a": "secret-3"}')
    return tmp_path


def test_reads_files_of_secrets_where_no_variable_is_set(secrets: Path) -> None:
    settings = load(Example)
    assert settings.database_url.get_secret_value() == "postgresql://me:secret-4@db/recmesh"
    assert settings.amqp_url.get_secret_value() == "amqp://me:secret-2@mq/recmesh"
    assert settings.keys["a"].get_secret_value() == "secret-3"
    assert settings.redacted()["database_url"] == "***"


def test_a_folder_of_secrets_that_is_not_there(
    secrets: Path, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.setenv("RECMESH_SECRETS_DIR", str(secrets / "other"))
    with pytest.raises(SystemExit) as left:
        load(Example)
    assert left.value.code == 2
    assert "RECMESH_SECRETS_DIR: there is no folder" in capsys.readouterr().err


def test_a_file_of_secrets_that_may_not_be_read(
    secrets: Path, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(file: Path, *_: object, **__: object) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", str(file))

    with environment.context() as patch:
        patch.setattr(Path, "read_text", refuse)
        with pytest.raises(SystemExit) as left:
            load(Example)
    assert left.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert f"Permission denied: '{secrets}/" in line
