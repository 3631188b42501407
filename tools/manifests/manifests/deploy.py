"""`python -m manifests.deploy`: puts an overlay, and a version of some services, into the cluster of kubectl's context.

Renders the overlay with kubectl, names the new images in it, applies it, and waits for the new pods. A service that is
not asked for keeps the image that runs, and before the first time gets the overlay's. Needs `kubectl` and nothing else.
The Jobs of migrations cannot be changed, so they are deleted first and made anew (what is migrated stays so); the new
pods wait for them by their readiness. Where workers run already, they are replaced before the services, since an older
worker fails a query of a kind that only the new recommenders know.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from manifests.errors import ManifestError
from manifests.tree import services

_NAMESPACE = re.compile(r"^namespace: *(\S+)", re.MULTILINE)
_FILE = "kustomization.yaml"
PATIENCE_SECONDS = 900
"""How long it waits for the migrations, and for each Deployment."""
_MIGRATIONS = "app.kubernetes.io/component=migration"
_NO_SERVICE = "app.kubernetes.io/component!=service"
_WORKER = "worker"


@dataclass(frozen=True)
class Release:
    """What is put where."""

    overlay: str
    tag: str
    images: str
    """What stands before `/SERVICE:tag`, `registry.example/recmesh` say; empty for the name that the overlay has."""
    services: tuple[str, ...]


def with_images(manifests: str, images: Mapping[str, str]) -> str:
    """The same manifests with other images. `images`: service -> image, or `:tag` for the name that is there."""

    def other(found: re.Match[str]) -> str:
        image = images[found["service"]]
        return found["key"] + (found["name"] + image if image.startswith(":") else image)

    line = re.compile(
        rf"^(?P<key>[ -]*image: *)(?P<name>\S*?\brecmesh/(?P<service>{'|'.join(images)}))(?:[:@]\S+)?$",
        re.MULTILINE,
    )
    return line.sub(other, manifests) if images else manifests


def deploy(root: Path, release: Release, *, dry_run: bool) -> None:
    """Does it, or says what would be done.

    Raises ManifestError when there is no such overlay or service, or when kubectl fails; what is applied by then stays.
    """
    known = services(root)
    if unknown := sorted({*release.services} - {*known}):
        raise ManifestError(
            f"there is no service {', '.join(unknown)}; there are {', '.join(known)}"
        )
    folder = root / "deploy" / "k8s" / "overlays" / release.overlay
    if not (folder / _FILE).exists():
        raise ManifestError(f"there is no overlay {release.overlay}")
    found = _NAMESPACE.search((folder / _FILE).read_text())
    space = ("--namespace", found[1]) if found else ()
    if release.services and not release.tag:
        raise ManifestError(f"which version of {', '.join(release.services)}? --tag says it")
    prefix = release.images.rstrip("/")
    images = {
        service: f"{prefix}/{service}:{release.tag}" if prefix else f":{release.tag}"
        for service in release.services
    }
    running = {} if dry_run else _running(space)
    kept = {service: image for service, image in running.items() if service not in images}
    for service, image in sorted({**kept, **images}.items()):
        said = f"the overlay's, {image[1:]}" if image.startswith(":") else image
        print(f"{service}: {said}{' (as it is)' if service in kept else ''}", flush=True)
    jobs = ("jobs", *space, f"--selector={_MIGRATIONS}")
    patience = f"--timeout={PATIENCE_SECONDS}s"

    def came(service: str) -> tuple[str, ...]:
        return ("rollout", "status", *space, f"deployment/{service}", patience)

    steps: list[tuple[str, ...]] = [("delete", *jobs, "--ignore-not-found")]
    if dry_run or _WORKER in running:
        steps += [("apply", "--filename=-", f"--selector={_NO_SERVICE}"), came(_WORKER)]
    steps += [
        ("apply", "--filename=-"),
        ("wait", *jobs, "--for=condition=complete", patience),
        *(came(service) for service in known),
    ]
    if dry_run:
        for step in steps:
            print("kubectl", *step)
        return
    text = with_images(_kubectl(("kustomize", str(folder))), {**kept, **images})
    for step in steps:
        print(_kubectl(step, text if step[0] == "apply" else None), end="", flush=True)


def main(argv: list[str]) -> int:
    """Do what the command line says, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m manifests.deploy", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the checkout")
    parser.add_argument("--overlay", default="dev", help="which one (default: dev)")
    parser.add_argument("--tag", default="", help="the tag of the images of these services")
    parser.add_argument("--images", default="", help="what stands before /SERVICE:TAG")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    parser.add_argument("services", nargs="*", help="which are put there anew; the others stay")
    arguments = parser.parse_args(argv)
    release = Release(arguments.overlay, arguments.tag, arguments.images, tuple(arguments.services))
    try:
        deploy(arguments.root, release, dry_run=arguments.dry_run)
    except ManifestError as error:
        print(f"manifests: {error}", file=sys.stderr)
        return 1
    return 0


def _running(space: Sequence[str]) -> dict[str, str]:
    """Service -> the image that its Deployment has in the cluster; empty before the first time."""
    answer = _kubectl(
        (
            "get",
            "deployments",
            *space,
            "--selector=app.kubernetes.io/part-of=recmesh",
            "--output=json",
        )
    )
    return {
        item["metadata"]["name"]: item["spec"]["template"]["spec"]["containers"][0]["image"]
        for item in json.loads(answer)["items"]
    }


def _kubectl(arguments: Sequence[str], text: str | None = None) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - a list, no shell
            ("kubectl", *arguments),  # noqa: S607
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise ManifestError("kubectl is not on the PATH") from None
    if done.returncode:
        raise ManifestError(f"kubectl {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
