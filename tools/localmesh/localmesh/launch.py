"""Runs a program so that it never outlives the process that started it.

A script of its own, run with `python -I`, because the steps must happen in the new process and
are not safe between fork and exec of a process with threads:

    launch.py PARENT_PID SIGNAL IDENTITY COMMAND...

SIGNAL is what the kernel sends to the program when the parent dies. IDENTITY is `keep`, `userns`
(a user namespace in which this user is an ordinary one; files keep their owner outside it) or
`uid:N` (become user N, and keep the one capability to reach files wherever the checkout lies).
"""

import ctypes
import os
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_SECUREBITS = 28
SECBIT_NO_SETUID_FIXUP = 1 << 2
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CLONE_NEWUSER = 0x10000000
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522
INNER_UID = 1000


def main(argv: list[str]) -> None:
    """Take the identity, tie the life to the parent's, and become the program."""
    parent, signum, identity, *command = argv
    try:
        _become(identity)
        # After the change of user, which clears it.
        _call("prctl", PR_SET_PDEATHSIG, int(signum), 0, 0, 0)
        if os.getppid() != int(parent):
            raise ProcessLookupError("the parent is gone already")
        os.execvp(command[0], command)  # noqa: S606 - a list, no shell
    except OSError as error:
        print(f"cannot start {command[0]}: {error}", file=sys.stderr)
        sys.exit(127)


def _become(identity: str) -> None:
    if identity == "userns":
        uid, gid = os.geteuid(), os.getegid()
        _call("unshare", CLONE_NEWUSER)
        _write("/proc/self/uid_map", f"{INNER_UID} {uid} 1")
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/gid_map", f"{INNER_UID} {gid} 1")
    elif identity.startswith("uid:"):
        uid = int(identity.removeprefix("uid:"))
        # Capabilities outlive the change of user, and count in access(2) too, by which PostgreSQL
        # looks for its own programs.
        _call("prctl", PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        _keep_only(CAP_DAC_OVERRIDE)


def _keep_only(capability: int) -> None:
    """Drop all capabilities but one, and hand that one on through exec."""
    bits = 1 << capability
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    # effective, permitted, inheritable: the low words, then the high ones
    data = (ctypes.c_uint32 * 6)(bits, bits, bits, 0, 0, 0)
    _call("capset", header, data)
    _call("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)


def _call(function: str, *args: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    converted = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in args]
    if getattr(libc, function)(*converted) != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"{function}: {os.strerror(errno)}")


def _write(path: str, text: str) -> None:
    # The kernel wants each of these files in one write.
    Path(path).write_bytes(text.encode())


if __name__ == "__main__":
    main(sys.argv[1:])
