"""What to paste when the mesh runs (`make up`)."""

from __future__ import annotations

from recmesh_client import Targets

PLAIN = "grpcurl -plaintext"
ASK = '{"parent": "catalogs/films", "recommendation": {"query": {"title": "Alien", "limit": 5}}}'
ACCOUNT = '{"email": "me@example.org", "password": "correct horse"}'


def commands(targets: Targets) -> tuple[str, ...]:
    """Lines for a shell: list the services, sign up, sign in, ask."""
    auth = f"{targets.auth} recmesh.auth.v1.AuthService"
    recommend = f"{targets.recommender} recmesh.recommender.v1.RecommenderService/Recommend"
    return (
        f"{PLAIN} {targets.recommender} list",
        f"{PLAIN} -d '{ACCOUNT}' {auth}/Register",
        f"TOKEN=$({PLAIN} -d '{ACCOUNT}' {auth}/Login | jq -r .accessToken)",
        f"{PLAIN} -H \"authorization: Bearer $TOKEN\" -d '{ASK}' {recommend}",
    )
