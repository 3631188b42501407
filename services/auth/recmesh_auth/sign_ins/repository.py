"""The SQL of sign-ins."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from recmesh_auth.models import RefreshToken, SignIn


@dataclass(frozen=True, slots=True)
class KnownToken:
    """A refresh token and its sign-in.

    Attributes:
        used: It was traded for the next one already.
        revoked: Its sign-in was ended.
    """

    sign_in_id: str
    account_id: str
    expire_time: datetime
    used: bool
    revoked: bool


class SignInRepository:
    """Sign-ins and their refresh tokens, within one transaction. Who changes either holds the sign-in's row."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def begin(self, sign_in_id: str, account_id: str, now: datetime) -> None:
        """Keeps a new sign-in, without a token yet."""
        await self._session.execute(
            insert(SignIn).values(
                id=sign_in_id, user_id=account_id, create_time=now, expire_time=now
            )
        )

    async def add_token(self, sign_in_id: str, digest: bytes, expire_time: datetime) -> None:
        """Keeps a sign-in's next token."""
        await self._session.execute(
            insert(RefreshToken).values(hash=digest, sign_in_id=sign_in_id, expire_time=expire_time)
        )
        await self._session.execute(
            update(SignIn).where(SignIn.id == sign_in_id).values(expire_time=expire_time)
        )

    async def lock_by_token(self, digest: bytes) -> KnownToken | None:
        """The token with this hash. Its sign-in is locked until the end of the transaction."""
        owner = select(RefreshToken.sign_in_id).where(RefreshToken.hash == digest)
        sign_in = await self._session.scalar(
            select(SignIn).where(SignIn.id == owner.scalar_subquery()).with_for_update()
        )
        # Read only now: another use of the token may have held the lock.
        token = await self._session.get(RefreshToken, digest)
        if sign_in is None or token is None:
            return None
        return KnownToken(
            sign_in_id=sign_in.id,
            account_id=sign_in.user_id,
            expire_time=token.expire_time,
            used=token.use_time is not None,
            revoked=sign_in.revoke_time is not None,
        )

    async def mark_used(self, digest: bytes, now: datetime) -> None:
        """Notes that a token was traded for the next."""
        await self._session.execute(
            update(RefreshToken).where(RefreshToken.hash == digest).values(use_time=now)
        )

    async def revoke(self, sign_in_id: str, now: datetime) -> None:
        """Ends a sign-in, unless it has ended."""
        await self._session.execute(
            update(SignIn)
            .where(SignIn.id == sign_in_id, SignIn.revoke_time.is_(None))
            .values(revoke_time=now)
        )

    async def delete_expired_tokens(self, now: datetime, limit: int) -> int:
        """Forgets up to `limit` tokens that have run out. Returns how many."""
        expired = (
            select(RefreshToken.hash)
            .where(RefreshToken.expire_time < now)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        statement = (
            delete(RefreshToken).where(RefreshToken.hash.in_(expired)).returning(RefreshToken.hash)
        )
        return len((await self._session.scalars(statement)).all())

    async def delete_expired(self, now: datetime, limit: int) -> int:
        """Forgets up to `limit` sign-ins whose tokens have all run out. Returns how many."""
        expired = (
            select(SignIn.id)
            .where(SignIn.expire_time < now)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        statement = delete(SignIn).where(SignIn.id.in_(expired)).returning(SignIn.id)
        return len((await self._session.scalars(statement)).all())
