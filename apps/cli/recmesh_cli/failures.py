"""Errors as one line that says what to do, and the exit code."""

from __future__ import annotations

import recmesh_client as sdk
from recmesh_cli.formats.rows import UnfitSource

USAGE = 2
FAILED = 1
STOPPED = 130

_HINTS: tuple[tuple[type[sdk.RecmeshError], str], ...] = (
    (sdk.SignInFailed, "Check the password or the key."),
    (sdk.Unauthenticated, "Sign in with recmesh login."),
    (sdk.PermissionDenied, "Ask an admin for a role that may do this."),
    (sdk.Unavailable, "Check its address (see recmesh --help), or try again later."),
    (sdk.Unimplemented, "This deployment does not serve it yet."),
    (sdk.InternalError, "This is a defect of the service: tell its operator."),
)


class UsageError(Exception):
    """The command line asks for something that makes no sense."""


def line_and_code(error: Exception) -> tuple[str, int] | None:
    """What to say of an error, and how to end; None for one that nobody foresaw."""
    match error:
        case UsageError() | UnfitSource():
            return f"Error: {error}", USAGE
        case sdk.RecmeshError():
            return f"Error: {_line(error)}", FAILED
        case OSError():
            return f"Error: {error.filename or 'file'}: {error.strerror or error}", FAILED
        case _:
            return None


def _line(error: sdk.RecmeshError) -> str:
    said = [_sentence(error.message)]
    fields = [f"{field.field}: {field.message}" for field in error.fields]
    # Where the message is made of the fields, they are not said twice. Both may be cut off.
    if fields and not all(field.removesuffix("…") in error.message for field in fields):
        said.append(_sentence("; ".join(fields)))
    said += [hint for kind, hint in _HINTS if isinstance(error, kind)][:1]
    if isinstance(error, sdk.ResourceExhausted):
        wait = f" in {error.retry_after:.0f} s" if error.retry_after else " later"
        said.append(f"Try again{wait}.")
    if isinstance(error, sdk.DeadlineExceeded) and error.recommendation:
        said.append(f"The job goes on: {error.recommendation}.")
    if isinstance(error, sdk.InternalError) and error.request_id:
        said.append(f"Request {error.request_id}.")
    return " ".join(" ".join(said).split())


def _sentence(text: str) -> str:
    text = text.strip() or "The call failed."
    return text if text.endswith((".", "!", "?")) else f"{text}."
