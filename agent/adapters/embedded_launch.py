"""Become the account a server shall run as, then become the server.

Run as a script of its own, so that changing accounts never happens in a process that has threads:
`python -I -S embedded_launch.py UID GID REACH PROGRAM ARG...`. UID -1 keeps the account. REACH 1
keeps the right to walk through folders closed to that account, for a clone below /root, say: the
server gets to its own files without anybody's permissions being changed.
"""

import ctypes
import os
import sys
from pathlib import Path

_PR_SET_SECUREBITS = 28
_SECBIT_NO_SETUID_FIXUP = 4
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2


def _permitted() -> int:
    status = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1], 16) for line in status if line.startswith("CapPrm"))


def _reaching_capability() -> int:
    """The narrower of the two that allow it; containers often grant only the wider one."""
    permitted = _permitted()
    for capability in (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE):
        if permitted >> capability & 1:
            return capability
    raise OSError(
        "root may not pass closed folders here; choose a DULY_DATA_DIR that all may enter"
    )


def _check(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), what)


def _change_account(uid: int, gid: int, *, reach: bool) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    kept = _reaching_capability() if reach else 0
    if kept:
        # keeps capabilities over setuid, and lets access(2) honour them, which initdb asks
        bits = _SECBIT_NO_SETUID_FIXUP
        _check(libc.prctl(_PR_SET_SECUREBITS, bits, 0, 0, 0), "root may not keep capabilities here")
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if kept:
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        sets = (ctypes.c_uint32 * 6)(1 << kept, 1 << kept, 1 << kept, 0, 0, 0)
        _check(libc.capset(header, sets), "cannot set capabilities")
        _check(
            libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, kept, 0, 0), "cannot pass them on"
        )


def main() -> None:
    """Own session (a terminal's Ctrl-C must reach Duly, not the server), account, program."""
    uid, gid, reach, *command = sys.argv[1:]
    os.setsid()
    os.umask(0o077)
    try:
        if uid != "-1":
            _change_account(int(uid), int(gid), reach=reach == "1")
    except OSError as problem:
        sys.exit(f"cannot run as account {uid}: {problem}")
    os.execv(command[0], command)  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main()
