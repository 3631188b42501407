"""The rules about accounts and what they are granted."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import structlog

from recmesh.common.v1 import authorization_pb2 as roles
from recmesh_auth.accounts.account import ADMIN, IMPLIED, ME, Account, Grant
from recmesh_auth.accounts.repository import AccountRepository
from recmesh_auth.errors import AddressTaken, LastAdmin
from recmesh_auth.sign_ins.passwords import Passwords
from recmesh_kit.database import Database
from recmesh_kit.errors import NotFound
from recmesh_kit.ids import uuid7
from recmesh_kit.principal import Principal

log = structlog.get_logger()

MAX_DISPLAY_NAME = 128
_SEES_ALL = frozenset({roles.ROLE_SERVICE, roles.ROLE_ADMIN})
"""The roles, held for the deployment, that read any account: an admin's, and the mesh's own programs'."""


class AccountService:
    """Opens, shows and changes accounts.

    Args:
        database: Where they are kept.
        passwords: Hashes passwords.
    """

    def __init__(self, database: Database, passwords: Passwords) -> None:
        self._database = database
        self._passwords = passwords

    async def register(self, email: str, password: str, display_name: str = "") -> Account:
        """Opens an account with role `user`.

        Args:
            email: The address, of at most 254 characters.
            password: 8 to 128 characters.
            display_name: At most 128 characters; empty for the part of the address before the @.

        Raises:
            AddressTaken: The address has an account.
        """
        account = _new_account(email, display_name)
        if not await self._open(account, password):
            raise AddressTaken
        log.info("registered", account=account.id)
        return account

    async def ensure_admin(self, email: str, password: str) -> None:
        """Opens the first admin's account, unless the address has one. What is there is left as it is: whoever
        registered the address before is not made an admin by it.
        """
        async with self._database.transaction() as session:
            known = await AccountRepository(session).credentials(email)
        if known is not None:
            return
        account = _new_account(email, grants=(ADMIN,))
        # Another replica may be doing the same.
        if await self._open(account, password):
            log.info("first admin", account=account.id)

    async def get(self, caller: Principal, account_id: str) -> Account:
        """Reads an account; `ME` is the caller's.

        Raises:
            NotFound: No such account, or not one for the caller to see.
        """
        wanted = caller.id if account_id == ME else account_id
        if wanted == caller.id or not _SEES_ALL.isdisjoint(caller.roles):
            async with self._database.transaction() as session:
                account = await AccountRepository(session).get(wanted)
            if account is not None:
                return account
        raise _not_found(account_id)

    async def page(self, after: str | None, size: int) -> tuple[list[Account], str | None]:
        """A page of the accounts, the oldest first, and where the next one starts (None: at the end).

        Args:
            after: The id that the page before ended with; None for the first page.
            size: The most to answer.
        """
        async with self._database.transaction() as session:
            found = await AccountRepository(session).page(after, size + 1)
        page = found[:size]
        return page, page[-1].id if len(found) > size else None

    async def set_grants(
        self, caller: Principal, account_id: str, grants: Iterable[Grant]
    ) -> Account:
        """Replaces what an account is granted. What is said twice, and the role that every account has, count once
        and not at all.

        Raises:
            NotFound: No such account.
            LastAdmin: It would leave the deployment without an admin.
        """
        wanted = caller.id if account_id == ME else account_id
        granted = set(grants) - {IMPLIED}
        async with self._database.transaction() as session:
            repository = AccountRepository(session)
            if await repository.get_for_update(wanted) is None:
                raise _not_found(account_id)
            if ADMIN not in granted and await repository.lock_admins() == {wanted}:
                raise LastAdmin
            await repository.replace_grants(wanted, granted, datetime.now(UTC))
            account = await repository.get(wanted)
        assert account is not None
        log.info("grants replaced", account=wanted, by=caller.id, grants=len(granted))
        return account

    async def _open(self, account: Account, password: str) -> bool:
        """Keeps a new account; False when its address has one."""
        password_hash = await self._passwords.hash(password)
        async with self._database.transaction() as session:
            return await AccountRepository(session).add(account, password_hash)


def _new_account(email: str, display_name: str = "", grants: tuple[Grant, ...] = ()) -> Account:
    now = datetime.now(UTC)
    email = email.strip()
    return Account(
        id=str(uuid7()),
        email=email,
        display_name=display_name.strip() or email.partition("@")[0][:MAX_DISPLAY_NAME],
        grants=grants,
        create_time=now,
        update_time=now,
    )


def _not_found(account_id: str) -> NotFound:
    return NotFound(f"users/{account_id}")
