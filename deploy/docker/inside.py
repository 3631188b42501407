"""Runs within an image, as `try.sh` starts it: `python - NAME`. Ends with 0 when the image is as it is to be."""

import importlib
import importlib.util
import os
import shutil
import sys
from pathlib import Path

COMPILERS = ("cc", "gcc", "clang", "ld", "make")
PLACES = ("/", "/etc", "/opt", "/opt/packages", "/opt/recmesh", "/usr/local", "/var")
OURS = Path("/opt/packages")


def faults(name: str) -> list[str]:
    """What is not as it is to be."""
    found = [f"{program} is in it" for program in COMPILERS if shutil.which(program)]
    found += [f"it may write to {place}" for place in PLACES if os.access(place, os.W_OK)]
    status = dict(line.split(":\t") for line in Path("/proc/self/status").read_text().splitlines())
    if os.getuid() == 0 or any(int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")):
        found.append("it is root, or has capabilities")
    if (importlib.util.find_spec("torch") is not None) is not (name == "worker"):
        found.append("torch is in the worker's image, and in no other")
    module = importlib.import_module(f"recmesh_{name}.__main__")
    if not Path(str(module.__file__)).is_relative_to(OURS):
        found.append(f"{name} is not from a wheel")
    return found


def encode() -> None:
    """Texts to vectors with what is in the image, in both ways that there are. Raises what they raise."""
    from recmesh_worker.encoder import DEFAULT_SOURCE, Encoder, source
    from recmesh_worker.encoder.torch import TorchModel

    encoder = Encoder()
    encoder.load()
    texts = ["A heist inside a dream", "Alien"]
    other = TorchModel(source.folder(DEFAULT_SOURCE), threads=1)
    apart = abs(encoder.encode(texts) - other.encode(texts)).max()
    if apart > 1e-4:
        sys.exit(f"the encoders are {apart} apart")


def main(name: str) -> None:
    """Says what is wrong, and exits with 1 if anything is."""
    if found := faults(name):
        sys.exit("\n".join(found))
    if name == "worker":
        encode()


if __name__ == "__main__":
    main(sys.argv[1])
