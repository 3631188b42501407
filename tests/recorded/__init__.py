"""Bytes as released versions wrote them: they lie in queues and tables, and with callers, while versions change."""

from __future__ import annotations

import json
from pathlib import Path

VERSION_1 = "version_1"


def recorded(version: str) -> dict[str, bytes]:
    """What a version wrote, by name: `record.py` has noted it and says what it means."""
    path = Path(__file__).with_name(f"{version}.json")
    noted: dict[str, str] = json.loads(path.read_text())
    return {name: bytes.fromhex(hexadecimal) for name, hexadecimal in noted.items()}
