import grpc
import pytest

from recmesh.auth.v1.api_key_service_pb2 import ListApiKeysRequest
from recmesh.auth.v1.auth_service_pb2 import ExchangeApiKeyRequest
from recmesh.common.v1 import authorization_pb2 as roles
from recmesh_kit.principal import Principal
from recmesh_kit.testing import reason_of
from recmesh_kit.tokens import TokenVerifier
from services.auth.tests.conftest import WORKER_KEY, Auth


async def test_key_signs_its_service_in(service: Auth) -> None:
    pair = await service.auth.ExchangeApiKey(ExchangeApiKeyRequest(api_key=WORKER_KEY))
    principal = await TokenVerifier(service.keys).verify(pair.access_token)
    assert principal == Principal("worker", frozenset({roles.ROLE_SERVICE}))
    assert (pair.refresh_token, pair.token_type, pair.expires_in) == ("", "Bearer", 600)


@pytest.mark.parametrize("key", [f"{WORKER_KEY}x", WORKER_KEY[:-1], "rmk_worker_", "ключ"])
async def test_other_keys_are_refused(service: Auth, key: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.auth.ExchangeApiKey(ExchangeApiKeyRequest(api_key=key))
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert reason_of(caught.value) == "API_KEY_INVALID"


async def test_keys_in_the_database_are_not_served_yet(service: Auth) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.api_keys.ListApiKeys(ListApiKeysRequest(), metadata=await service.admin())
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert reason_of(caught.value) == "NOT_IMPLEMENTED"
