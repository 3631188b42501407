"""What a person reads: the table of programs, and lines to paste."""

from collections.abc import Iterable

from localmesh.environment import ADMIN_EMAIL
from localmesh.plan import Plan
from localmesh.state import MemberState

_GRPCURL = "grpcurl -plaintext"
_LIST_CATALOGS = "recmesh.catalog.v1.CatalogService/ListCatalogs"


def table(members: Iterable[MemberState]) -> str:
    """One line for each program: name, address, that of its metrics, process id, state."""
    rows = [("NAME", "ADDRESS", "METRICS", "PID", "STATE")]
    for member in members:
        restarts = f", {member.restarts} restarts" if member.restarts else ""
        rows.append(
            (
                *(member.name, member.address, member.metrics or "-", str(member.pid or "-")),
                f"{member.state}{restarts}",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]))
        for row in rows
    )


def call_lines(plan: Plan) -> str:
    """Shell lines that call the services."""
    address_of = {
        "auth": f"localhost:{plan.ports.auth}",
        "catalog": f"localhost:{plan.ports.catalog}",
        "recommender": f"localhost:{plan.ports.recommender}",
    }
    password = f"'\"$(cat {plan.vault.password_file('admin')})\"'"
    login = f'{{"email": "{ADMIN_EMAIL}", "password": "{password}"}}'
    header = '-H "authorization: Bearer $TOKEN"'
    lines = [
        *(f"{_GRPCURL} {address} list" for address in address_of.values()),
        f"{_GRPCURL} -d '{login}' {address_of['auth']} recmesh.auth.v1.AuthService/Login",
        "# then, with TOKEN set to the access_token of that answer:",
        f"{_GRPCURL} {header} {address_of['catalog']} {_LIST_CATALOGS}",
    ]
    return "\n".join(lines)
