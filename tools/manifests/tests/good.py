"""A small mesh in which nothing is wrong, and ways to break it in one place."""

import json
from pathlib import Path
from typing import Any

from manifests.documents import Rendered, parse, title

GONE = object()
_GOOD = json.dumps(parse(Path(__file__).with_name("good.yaml").read_text()))


def good() -> Rendered:
    """All is well."""
    return Rendered(json.loads(_GOOD))


def broken(whose: str, path: str, value: Any = GONE) -> Rendered:
    """`broken("Deployment catalog", "spec replicas", 2)`: one document has another value at a path; without a value
    nothing is there.
    """
    documents = json.loads(_GOOD)
    [here] = [document for document in documents if title(document) == whose]
    *steps, last = [int(step) if step.isdigit() else step for step in path.split()]
    for step in steps:
        here = here[step]
    if value is GONE:
        del here[last]
    else:
        here[last] = value
    return Rendered(documents)
