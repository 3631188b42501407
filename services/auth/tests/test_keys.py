import base64
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from recmesh.auth.v1.auth_service_pb2 import GetJwksRequest, Jwk
from recmesh.common.v1 import authorization_pb2 as roles
from recmesh_auth.errors import SigningKeysUnusable
from recmesh_auth.sign_ins.keys import SIGNS_AFTER_SECONDS, PublicJwk, SigningKeys
from recmesh_kit.principal import Principal
from recmesh_kit.tokens import RemoteKeys, TokenVerifier
from services.auth.tests.conftest import Auth, age, write_key

OLD = SIGNS_AFTER_SECONDS + 1
SOMEBODY = Principal("somebody", frozenset({roles.ROLE_USER}))


async def loaded(folder: Path) -> SigningKeys:
    keys = SigningKeys(folder)
    await keys.reload()
    return keys


def signing_kid(keys: SigningKeys) -> str:
    kid: str = jwt.get_unverified_header(keys.signer.sign(SOMEBODY, 60))["kid"]
    return kid


def test_key_id_is_the_thumbprint_of_rfc_8037() -> None:
    x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    key = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(f"{x}="))
    assert PublicJwk.of(key).x == x
    assert PublicJwk.of(key).kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


async def test_only_key_signs_at_once(tmp_path: Path) -> None:
    write_key(tmp_path, "1")
    keys = await loaded(tmp_path)
    assert [key.kid for key in keys.published] == [signing_kid(keys)]


async def test_last_by_name_signs_and_all_are_published(tmp_path: Path) -> None:
    for name in ("2", "3", "1"):
        write_key(tmp_path, name, OLD)
    keys = await loaded(tmp_path)
    published = [key.kid for key in keys.published]
    assert len(published) == 3
    assert signing_kid(keys) == published[-1]


async def test_new_key_is_published_before_it_signs(tmp_path: Path) -> None:
    write_key(tmp_path, "1", OLD)
    keys = await loaded(tmp_path)
    old = signing_kid(keys)
    new_file = write_key(tmp_path, "2")
    await keys.reload()
    assert signing_kid(keys) == old
    published = [key.kid for key in keys.published]
    assert published[0] == old
    assert len(published) == 2
    age(new_file, OLD)
    await keys.reload()
    assert signing_kid(keys) == published[1]


async def test_while_all_files_are_young_the_first_signs(tmp_path: Path) -> None:
    write_key(tmp_path, "1")
    write_key(tmp_path, "2")
    keys = await loaded(tmp_path)
    assert signing_kid(keys) == keys.published[0].kid


async def test_tokens_of_the_key_before_are_good_until_it_is_removed(tmp_path: Path) -> None:
    old_file = write_key(tmp_path, "1", OLD)
    keys = await loaded(tmp_path)
    token = keys.signer.sign(SOMEBODY, 60)
    kid = signing_kid(keys)
    write_key(tmp_path, "2", OLD)
    await keys.reload()
    assert signing_kid(keys) != kid
    assert await TokenVerifier(keys).verify(token) == SOMEBODY
    old_file.unlink()
    await keys.reload()
    assert await keys.key(kid) is None


async def test_folder_that_became_unusable_changes_nothing(tmp_path: Path) -> None:
    write_key(tmp_path, "1", OLD)
    keys = await loaded(tmp_path)
    kid = signing_kid(keys)
    (tmp_path / "2.pem").write_text("half a fi")
    with pytest.raises(SigningKeysUnusable):
        await keys.reload()
    assert signing_kid(keys) == kid
    assert [key.kid for key in keys.published] == [kid]


async def test_folder_without_keys_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SigningKeysUnusable, match=r"no \*.pem file"):
        await loaded(tmp_path)
    with pytest.raises(SigningKeysUnusable, match=r"no \*.pem file"):
        await loaded(tmp_path / "missing")


async def test_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    (tmp_path / "1.pem").write_bytes(pem)
    with pytest.raises(SigningKeysUnusable, match="not an Ed25519"):
        await loaded(tmp_path)


async def test_other_services_verify_tokens_by_the_published_keys(service: Auth) -> None:
    async def fetch() -> list[Jwk]:
        return list((await service.auth.GetJwks(GetJwksRequest())).keys)

    user = await service.register("ada@example.com")
    pair = await service.login("ada@example.com")
    principal = await TokenVerifier(RemoteKeys(fetch)).verify(pair.access_token)
    assert f"users/{principal.id}" == user.name


async def test_published_keys_are_a_json_web_key_set(service: Auth) -> None:
    [key] = (await service.auth.GetJwks(GetJwksRequest())).keys
    assert (key.kty, key.crv, key.alg, key.use) == ("OKP", "Ed25519", "EdDSA", "sig")
    assert key.kid == service.keys.published[0].kid
    assert len(key.x) == 43
