"""The tables of this service, in its schema `auth`. Ids compare by code point (collation C), so that a listing has one
order everywhere.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import DateTime, ForeignKey, LargeBinary, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from recmesh_kit.database import metadata

SCHEMA = "auth"
Id = Text(collation="C")


class Base(DeclarativeBase):
    """Base of the tables."""

    metadata = metadata(SCHEMA)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it so
        str: Text,
        bytes: LargeBinary,
        datetime: DateTime(timezone=True),
    }


class User(Base):
    """An account. `email_key` is the address in the form in which addresses are compared; a person known by an
    external identity only has no address and no password.
    """

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    email: Mapped[str | None]
    email_key: Mapped[str | None] = mapped_column(unique=True)
    password_hash: Mapped[str | None]
    display_name: Mapped[str]
    create_time: Mapped[datetime]
    update_time: Mapped[datetime]


class RoleGrant(Base):
    """A role of an account: `role` is the word that a token has for it; `catalog` is empty for the deployment."""

    __tablename__ = "role_grants"

    user_id: Mapped[str] = mapped_column(
        Id, ForeignKey(User.id, ondelete="CASCADE"), primary_key=True
    )
    catalog: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str] = mapped_column(primary_key=True)


class SignIn(Base):
    """One sign-in, the family of its refresh tokens. `expire_time` is that of the last of them."""

    __tablename__ = "sign_ins"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    user_id: Mapped[str] = mapped_column(Id, ForeignKey(User.id, ondelete="CASCADE"), index=True)
    create_time: Mapped[datetime]
    expire_time: Mapped[datetime] = mapped_column(index=True)
    revoke_time: Mapped[datetime | None]


class RefreshToken(Base):
    """A refresh token, known by its SHA-256 only. `use_time` is set once it was traded for the next."""

    __tablename__ = "refresh_tokens"

    hash: Mapped[bytes] = mapped_column(primary_key=True)
    sign_in_id: Mapped[str] = mapped_column(
        Id, ForeignKey(SignIn.id, ondelete="CASCADE"), index=True
    )
    expire_time: Mapped[datetime] = mapped_column(index=True)
    use_time: Mapped[datetime | None]
