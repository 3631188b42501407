from __future__ import annotations

import asyncio
import datetime
import ipaddress
from contextvars import ContextVar
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sdk.python.tests.fake import Fake, running

from recmesh.auth.v1.user_pb2 import User as WireUser
from recmesh.catalog.v1.catalog_pb2 import Catalog as WireCatalog
from recmesh_client import AsyncClient, Client, Retry, Targets, Tls, Unavailable


async def test_each_service_may_have_an_address_of_its_own(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running() as other:
        monkeypatch.setenv("RECMESH_AUTH_TARGET", other.target)
        monkeypatch.setenv("RECMESH_CATALOG_TARGET", fake.target)
        other.script("GetUser", WireUser())
        fake.script("GetCatalog", WireCatalog())
        async with AsyncClient.connect() as client:
            await client.get_user()
            await client.get_catalog("films")


def test_what_the_environment_does_not_say_is_a_mesh_on_this_machine() -> None:
    targets = Targets.from_environment({"RECMESH_CATALOG_TARGET": "a:1", "RECMESH_AUTH_TARGET": ""})
    assert targets == Targets("localhost:50051", "a:1", "localhost:50053")


place: ContextVar[str] = ContextVar("place")


def traced() -> dict[str, str]:
    return {"traceparent": place.get()}


async def test_headers_are_those_of_the_caller_at_the_moment(fake: Fake) -> None:
    async with AsyncClient.connect(fake.target, headers=traced) as client:

        async def ask(where: str) -> None:
            place.set(where)
            await client.get_catalog("films")

        fake.script("GetCatalog", WireCatalog())
        fake.script("GetCatalog", WireCatalog())
        await asyncio.gather(ask("a"), ask("b"))
    assert {call.metadata["traceparent"] for call in fake.calls} == {"a", "b"}


async def test_headers_are_those_of_the_calling_thread(fake: Fake) -> None:
    def ask() -> None:
        place.set("here")
        with Client.connect(fake.target, headers=traced) as client:
            client.get_catalog("films")

    fake.script("GetCatalog", WireCatalog())
    await asyncio.to_thread(ask)
    assert fake.calls[0].metadata["traceparent"] == "here"


def test_a_certificate_needs_its_key() -> None:
    with pytest.raises(ValueError, match="go together"):
        Tls(certificate=b"x")


Certificate = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def certificate(subject: str, issuer: Certificate | None = None) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("mesh.test"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer[0].subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .sign(issuer[1] if issuer else key, hashes.SHA256())
    )
    return built, key


def pem(made: Certificate) -> tuple[bytes, bytes]:
    key = made[1].private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return made[0].public_bytes(serialization.Encoding.PEM), key


async def test_tls_with_an_authority_and_a_certificate_of_ones_own(tmp_path: Path) -> None:
    authority = certificate("ca")
    ca, _ = pem(authority)
    chain, key = pem(certificate("server", authority))
    mine, my_key = pem(certificate("client", authority))
    (tmp_path / "ca.pem").write_bytes(ca)
    credentials = grpc.ssl_server_credentials(
        [(key, chain)], root_certificates=ca, require_client_auth=True
    )
    trusted = Tls(ca=tmp_path / "ca.pem", certificate=mine, key=my_key)
    named = Tls(ca=ca, certificate=mine, key=my_key, server_name="mesh.test")
    async with running(credentials) as fake:
        fake.script("GetCatalog", WireCatalog(name="catalogs/films"), WireCatalog())
        for tls in (trusted, named):
            async with AsyncClient.connect(fake.target, tls=tls) as client:
                await client.get_catalog("films")
        # Neither without a certificate, nor by the system's authorities.
        for tls in (Tls(ca=ca), Tls(certificate=mine, key=my_key)):
            retry = Retry(attempts=1)
            async with AsyncClient.connect(fake.target, tls=tls, retry=retry) as client:
                with pytest.raises(Unavailable):
                    await client.get_catalog("films", timeout=120)


async def test_tls_with_a_self_signed_certificate() -> None:
    chain, key = pem(certificate("server"))
    other, _ = pem(certificate("server"))
    async with running(grpc.ssl_server_credentials([(key, chain)])) as fake:
        fake.script("GetCatalog", WireCatalog(name="catalogs/films"))
        async with AsyncClient.connect(fake.target, tls=Tls(ca=chain)) as client:
            assert (await client.get_catalog("films")).id == "films"
        retry = Retry(attempts=1)
        async with AsyncClient.connect(fake.target, tls=Tls(ca=other), retry=retry) as client:
            with pytest.raises(Unavailable):
                await client.get_catalog("films", timeout=120)
