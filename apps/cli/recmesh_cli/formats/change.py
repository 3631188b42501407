"""What is done to rows on their way: repeats are kept out, items get the ids of the catalog."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

from recmesh_cli.formats import values
from recmesh_cli.formats.files import csv_header, read_csv
from recmesh_cli.formats.rows import Meter, Record, Refusal, Row, UnfitSource
from recmesh_client import Interaction, Item

Rows = Iterable[Row | Refusal | None]


def without_repeats(rows: Rows) -> Iterator[Row | Refusal | None]:
    """Refuses items whose id came before: written in turn, the two would change each other in every run. About 70
    bytes are held for each item; interactions pass, because a known one is left as it is.
    """
    seen: set[int] = set()
    for row in rows:
        if row is not None and isinstance(row, Row) and isinstance(row.value, Item):
            name = row.value.id
            key = int.from_bytes(blake2b(name.encode(), digest_size=8).digest())
            if key in seen:
                yield Refusal(row.file, row.line, "id: an earlier row has the same", "id", name)
                continue
            seen.add(key)
        yield row


def with_item_ids(rows: Rows, ids: Mapping[str, str]) -> Iterator[Row | Refusal | None]:
    """Interactions with the ids that items have in the catalog; those with items that have none are left out."""
    for row in rows:
        if row is None or isinstance(row, Refusal) or not isinstance(row.value, Interaction):
            yield row
        elif row.value.item in ids:
            yield replace(row, value=replace(row.value, item=ids[row.value.item]))
        else:
            yield None


def read_item_ids(path: Path) -> dict[str, str]:
    """Ids in the catalog by ids in the source: the first two columns of a CSV file. Raises UnfitSource."""
    try:
        header = csv_header(path)
    except OSError as error:
        raise UnfitSource(f"{path}: {error.strerror}") from None
    if len(header) < 2:
        raise UnfitSource(f"{path} has not two columns: the id in the source, and in the catalog")
    here, there = header[:2]
    return {
        values.item_id(record.values[here]): values.item_id(record.values[there])
        for record in read_csv(path, Meter())
        if isinstance(record, Record)
    }
