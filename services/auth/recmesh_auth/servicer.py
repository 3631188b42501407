"""What the server answers for. `AuthService` is made of the methods about accounts and those about signing in."""

from __future__ import annotations

from recmesh.auth.v1 import api_key_service_pb2, auth_service_pb2, user_service_pb2
from recmesh.auth.v1.api_key_service_pb2_grpc import ApiKeyServiceServicer
from recmesh.auth.v1.auth_service_pb2_grpc import AuthServiceServicer
from recmesh_auth.accounts.service import AccountService
from recmesh_auth.accounts.servicer import RegisterMethod, UserServicer
from recmesh_auth.sign_ins.keys import SigningKeys
from recmesh_auth.sign_ins.service import SignInService
from recmesh_auth.sign_ins.servicer import SignInMethods
from recmesh_kit.server import Service


class AuthServicer(RegisterMethod, SignInMethods, AuthServiceServicer):
    """Everything that `AuthService` does."""

    def __init__(
        self, accounts: AccountService, sign_ins: SignInService, keys: SigningKeys
    ) -> None:
        RegisterMethod.__init__(self, accounts)
        SignInMethods.__init__(self, sign_ins, keys)


def services(accounts: AccountService, sign_ins: SignInService, keys: SigningKeys) -> list[Service]:
    """The services of the contract that live here."""
    return [
        Service(
            auth_service_pb2.DESCRIPTOR.services_by_name["AuthService"],
            AuthServicer(accounts, sign_ins, keys),
        ),
        Service(
            user_service_pb2.DESCRIPTOR.services_by_name["UserService"], UserServicer(accounts)
        ),
        # No method of it is served yet.
        Service(
            api_key_service_pb2.DESCRIPTOR.services_by_name["ApiKeyService"],
            ApiKeyServiceServicer(),
        ),
    ]
