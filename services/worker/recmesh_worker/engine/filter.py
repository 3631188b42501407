"""Filter: what may not be answered goes, and the rest is cut to what was asked for."""

from recmesh_worker.engine.candidates import Candidate
from recmesh_worker.engine.seeds import Plan


def allowed(plan: Plan, candidates: list[Candidate]) -> list[Candidate]:
    """The first `limit` candidates that are not banned, each row once.

    Hidden and deleted items never come so far: the models' mask leaves them out.
    """
    taken = set(plan.banned)
    kept: list[Candidate] = []
    for candidate in candidates:
        if len(kept) == plan.query.limit:
            break
        if candidate.row not in taken:
            taken.add(candidate.row)
            kept.append(candidate)
    return kept
