"""Comparisons of an index with its catalog."""

from __future__ import annotations

from recmesh.recommender.v1 import index_service_pb2 as pb
from recmesh_client.data.index import IndexComparison, IndexFinding


def from_comparison(message: pb.VerifyIndexResponse) -> IndexComparison:
    """How far a comparison is."""
    return IndexComparison(_finding(message.items), _finding(message.interactions), message.done)


def _finding(message: pb.VerifyIndexResponse.Finding) -> IndexFinding:
    return IndexFinding(
        message.checked_count,
        message.missing_count,
        message.stale_count,
        message.surplus_count,
        message.repaired_count,
        tuple(message.samples),
    )
