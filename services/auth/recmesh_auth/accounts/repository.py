"""The SQL of accounts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import delete, insert, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or
from sqlalchemy.ext.asyncio import AsyncSession

from recmesh_auth.accounts.account import ADMIN, Account, Grant, normalised_email
from recmesh_auth.models import RoleGrant, User
from recmesh_kit.principal import role_name, role_set


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a password is held against. `password_hash` is None for an account without a password."""

    account_id: str
    password_hash: str | None = field(repr=False)


class AccountRepository:
    """Accounts and what they are granted, within one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, account: Account, password_hash: str) -> bool:
        """Keeps a new account and its grants; False, and nothing kept, when its address has one."""
        statement = (
            insert_or(User)
            .values(
                id=account.id,
                email=account.email,
                email_key=normalised_email(account.email),
                password_hash=password_hash,
                display_name=account.display_name,
                create_time=account.create_time,
                update_time=account.update_time,
            )
            .on_conflict_do_nothing(index_elements=[User.email_key])
            .returning(User.id)
        )
        if await self._session.scalar(statement) is None:
            return False
        await self._add_grants(account.id, account.grants)
        return True

    async def get(self, account_id: str) -> Account | None:
        """The account with this id."""
        user = await self._session.get(User, account_id)
        return (await self._accounts([user]))[0] if user else None

    async def get_for_update(self, account_id: str) -> Account | None:
        """The account with this id, which nobody else changes until the end of the transaction."""
        user = await self._session.get(User, account_id, with_for_update=True)
        return (await self._accounts([user]))[0] if user else None

    async def page(self, after: str | None, limit: int) -> list[Account]:
        """Up to `limit` accounts by id, behind the id `after`."""
        statement = select(User).order_by(User.id).limit(limit)
        if after is not None:
            statement = statement.where(User.id > after)
        return await self._accounts((await self._session.scalars(statement)).all())

    async def replace_grants(self, account_id: str, grants: Iterable[Grant], now: datetime) -> None:
        """Grants an account these roles and no others. The account has to be locked."""
        await self._session.execute(delete(RoleGrant).where(RoleGrant.user_id == account_id))
        await self._add_grants(account_id, grants)
        await self._session.execute(
            update(User).where(User.id == account_id).values(update_time=now)
        )

    async def lock_admins(self) -> set[str]:
        """The ids of the deployment's admins. Nobody else takes the role from one until the end of the transaction."""
        statement = (
            select(RoleGrant.user_id)
            .where(RoleGrant.role == role_name(ADMIN.role), RoleGrant.catalog == ADMIN.catalog)
            .order_by(RoleGrant.user_id)
            .with_for_update()
        )
        return set(await self._session.scalars(statement))

    async def credentials(self, email: str) -> Credentials | None:
        """What to hold a password against, by address."""
        statement = select(User.id, User.password_hash).where(
            User.email_key == normalised_email(email)
        )
        row = (await self._session.execute(statement)).one_or_none()
        return Credentials(row.id, row.password_hash) if row else None

    async def get_if_unchanged(self, credentials: Credentials) -> Account | None:
        """The account, if its password is still the one that was checked. It stays until the end of the
        transaction.
        """
        statement = (
            select(User)
            .where(
                User.id == credentials.account_id, User.password_hash == credentials.password_hash
            )
            .with_for_update(key_share=True)
        )
        user = await self._session.scalar(statement)
        return (await self._accounts([user]))[0] if user else None

    async def set_password_hash(self, account_id: str, password_hash: str) -> None:
        """Keeps another hash of the same password."""
        await self._session.execute(
            update(User).where(User.id == account_id).values(password_hash=password_hash)
        )

    async def _add_grants(self, account_id: str, grants: Iterable[Grant]) -> None:
        rows = [
            {"user_id": account_id, "catalog": grant.catalog, "role": role_name(grant.role)}
            for grant in grants
        ]
        if rows:
            await self._session.execute(insert(RoleGrant), rows)

    async def _accounts(self, users: Sequence[User]) -> list[Account]:
        granted: dict[str, list[Grant]] = {user.id: [] for user in users}
        statement = select(RoleGrant.user_id, RoleGrant.catalog, RoleGrant.role).where(
            RoleGrant.user_id.in_(granted)
        )
        for user_id, catalog, word in await self._session.execute(statement):
            granted[user_id] += [Grant(catalog, role) for role in role_set([word])]
        return [
            Account(
                id=user.id,
                email=user.email or "",
                display_name=user.display_name,
                grants=tuple(sorted(granted[user.id])),
                create_time=user.create_time,
                update_time=user.update_time,
            )
            for user in users
        ]
