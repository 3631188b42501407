"""`python -m recmesh_auth`: the auth service. With the argument `migrate`: brings its tables up to date."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack

from recmesh_auth.accounts.service import AccountService
from recmesh_auth.errors import SigningKeysUnusable
from recmesh_auth.models import SCHEMA
from recmesh_auth.servicer import services
from recmesh_auth.settings import AuthSettings
from recmesh_auth.sign_ins.keys import RELOAD_SECONDS, SigningKeys
from recmesh_auth.sign_ins.passwords import Passwords
from recmesh_auth.sign_ins.service import Lifetimes, SignInService
from recmesh_kit import bootstrap
from recmesh_kit.database import Database
from recmesh_kit.health import Health
from recmesh_kit.readiness import Tables
from recmesh_kit.server import serve
from recmesh_kit.tasks import Background
from recmesh_kit.telemetry.telemetry import telemetry_of
from recmesh_kit.tokens import TokenVerifier

NAME = "recmesh_auth"
SWEEP_SECONDS = 600.0


async def run(settings: AuthSettings) -> None:
    """Serves until told to stop. Exits with a line on stderr when there is no key to sign with."""
    keys = SigningKeys(settings.signing_keys_dir)
    try:
        await keys.reload()
    except SigningKeysUnusable as error:
        sys.exit(str(error))
    async with AsyncExitStack() as stack:
        telemetry = await stack.enter_async_context(telemetry_of(settings, NAME))
        database = await stack.enter_async_context(Database.of(settings, NAME))
        telemetry.watch(database.engines)
        passwords = await stack.enter_async_context(Passwords())
        background = await stack.enter_async_context(Background())
        health = Health(("database", "keys"))
        await health.set("keys", up=True)
        accounts = AccountService(database, passwords)
        sign_ins = SignInService(
            database,
            passwords,
            keys,
            Lifetimes(settings.access_token_seconds, settings.refresh_token_seconds),
            settings.service_key_hashes,
        )

        async def make_first_admin() -> None:
            email, password = settings.admin_email, settings.admin_password
            if email is not None and password is not None:
                await accounts.ensure_admin(email.get_secret_value(), password.get_secret_value())

        tables = Tables(database, NAME, SCHEMA, make_first_admin)
        health.probe(background, "database", tables.check, settings.probe_interval_seconds)
        background.loop("keys", keys.reload, RELOAD_SECONDS)
        background.loop("sweep", sign_ins.sweep, SWEEP_SECONDS)
        await serve(
            settings,
            services(accounts, sign_ins, keys),
            verifier=TokenVerifier(keys),
            health=health,
            telemetry=telemetry,
        )


if __name__ == "__main__":
    bootstrap.main("auth", AuthSettings, run, migrate=(NAME, SCHEMA))
