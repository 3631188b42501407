from pathlib import Path

import pytest
from pydantic import ValidationError

from recmesh_auth.settings import AuthSettings

GIVEN = {
    "DATABASE_URL": "postgresql://recmesh_auth:db-secret@localhost/recmesh",
    "RECMESH_SIGNING_KEYS_DIR": "/run/keys",
    "RECMESH_SERVICE_KEY_HASHES": f'{{"worker": "{"Ab" * 32}"}}',
    "RECMESH_ADMIN_EMAIL": "root@example.com",
    "RECMESH_ADMIN_PASSWORD": "admin-secret",
}


def settings(monkeypatch: pytest.MonkeyPatch, **more: str) -> AuthSettings:
    for name, value in (GIVEN | more).items():
        monkeypatch.setenv(name, value)
    return AuthSettings()


def test_all_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    read = settings(monkeypatch)
    assert read.signing_keys_dir == Path("/run/keys")
    assert read.service_key_hashes == {"worker": "ab" * 32}
    assert (read.access_token_seconds, read.refresh_token_seconds) == (600, 2_592_000)


def test_redacted_settings_hold_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = str(settings(monkeypatch).redacted())
    assert "/run/keys" in shown
    for secret in ("db-secret", "admin-secret", "root@example.com"):
        assert secret not in shown


@pytest.mark.parametrize("missing", ["RECMESH_ADMIN_EMAIL", "RECMESH_ADMIN_PASSWORD"])
def test_half_an_admin_is_refused(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    settings(monkeypatch)
    monkeypatch.delenv(missing)
    with pytest.raises(ValidationError, match="go together"):
        AuthSettings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RECMESH_ADMIN_PASSWORD", "short"),
        ("RECMESH_ADMIN_EMAIL", "nobody"),
        ("RECMESH_SERVICE_KEY_HASHES", '{"worker": "rmk_worker_the-key-itself"}'),
        ("RECMESH_SERVICE_KEY_HASHES", f'{{"two_words": "{"ab" * 32}"}}'),
    ],
)
def test_senseless_values_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        settings(monkeypatch, **{name: value})
    assert "the-key-itself" not in str(caught.value)
