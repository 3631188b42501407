"""Accounts, what they are granted, sign-ins and refresh tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

SCHEMA = "auth"
_id = sa.Text(collation="C")
_time = sa.DateTime(timezone=True)


def upgrade() -> None:
    _accounts()
    _sign_ins()


def _accounts() -> None:
    op.create_table(
        "users",
        sa.Column("id", _id, nullable=False),
        sa.Column("email", sa.Text),
        sa.Column("email_key", sa.Text),
        sa.Column("password_hash", sa.Text),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("create_time", _time, nullable=False),
        sa.Column("update_time", _time, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("email_key", name="uq_users_email_key"),
        schema=SCHEMA,
    )
    op.create_table(
        "role_grants",
        sa.Column("user_id", _id, nullable=False),
        sa.Column("catalog", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "catalog", "role", name="pk_role_grants"),
        _belongs_to("users", "user_id", "fk_role_grants_user_id_users"),
        schema=SCHEMA,
    )


def _sign_ins() -> None:
    op.create_table(
        "sign_ins",
        sa.Column("id", _id, nullable=False),
        sa.Column("user_id", _id, nullable=False),
        sa.Column("create_time", _time, nullable=False),
        sa.Column("expire_time", _time, nullable=False),
        sa.Column("revoke_time", _time),
        sa.PrimaryKeyConstraint("id", name="pk_sign_ins"),
        _belongs_to("users", "user_id", "fk_sign_ins_user_id_users"),
        schema=SCHEMA,
    )
    op.create_table(
        "refresh_tokens",
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("sign_in_id", _id, nullable=False),
        sa.Column("expire_time", _time, nullable=False),
        sa.Column("use_time", _time),
        sa.PrimaryKeyConstraint("hash", name="pk_refresh_tokens"),
        _belongs_to("sign_ins", "sign_in_id", "fk_refresh_tokens_sign_in_id_sign_ins"),
        schema=SCHEMA,
    )
    for table, column in (
        ("sign_ins", "user_id"),
        ("sign_ins", "expire_time"),
        ("refresh_tokens", "sign_in_id"),
        ("refresh_tokens", "expire_time"),
    ):
        op.create_index(f"ix_{table}_{column}", table, [column], schema=SCHEMA)


def _belongs_to(parent: str, column: str, name: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column], [f"{SCHEMA}.{parent}.id"], name=name, ondelete="CASCADE"
    )
