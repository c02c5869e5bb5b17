"""Which system calls a confined program may not make, as the program of a filter (seccomp) that the kernel runs.

Numbers are those of Linux on x86_64 and on aarch64; a filter reads a call's number, its machine and its first argument.
"""

from __future__ import annotations

import platform

Instruction = tuple[int, int, int, int]
"""Of the Berkeley Packet Filter: code, how many are skipped if it is true, and if it is not, and a number."""

NEW_MOUNT, NEW_CGROUP, NEW_UTS, NEW_IPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
NEW_USER, NEW_PID, NEW_NET = 0x10000000, 0x20000000, 0x40000000
NAMESPACES = NEW_USER | NEW_MOUNT | NEW_PID | NEW_NET | NEW_IPC | NEW_UTS | NEW_CGROUP
"""Kinds of namespaces, as `unshare` and `clone` take them: all but that of the time."""
# System calls that no program here needs: others' memory, file systems, keys, kernel machinery, memory that no limit
# counts, sockets (those to the host of a virtual machine are in no namespace), and other programs.
# name: (x86_64, aarch64)
REFUSED = {
    "socket": (41, 198), "execve": (59, 221), "execveat": (322, 281), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272), "pidfd_getfd": (438, 438),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "unshare": (272, 97),
    "setns": (308, 268), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsmount": (432, 432), "mount_setattr": (442, 442), "bpf": (321, 280), "perf_event_open": (298, 241),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194),
    "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "personality": (135, 92), "syslog": (103, 116),
}  # fmt: skip
CLONE, CLONE3, PIVOT_ROOT = (56, 220), 435, (155, 41)
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Column of the numbers above, and what the kernel calls the machine's system calls."""
_LOAD, _EQUAL, _AT_LEAST, _ANY_OF, _ANSWER = 0x20, 0x15, 0x35, 0x45, 0x06
_KILL, _FAIL, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_NOT_PERMITTED, _NOT_THERE = _FAIL | 1, _FAIL | 38
_NUMBER, _MACHINE, _ARGUMENT = 0, 4, 16
"""Where a filter reads."""
_X32 = 0x40000000
"""Numbers from here on are those of a second set of the same calls."""


def call_filter() -> tuple[list[Instruction], int]:
    """Return the filter for this machine, and the number of pivot_root, which is called before it is there.

    It answers `Operation not permitted` to the calls of `REFUSED` and to new namespaces.

    Raises:
        LookupError: The numbers of this machine's calls are not known; in words.
    """
    if (name := platform.machine()) not in _MACHINES:
        raise LookupError(f"a filter of system calls: none is known for {name}")
    column, architecture = _MACHINES[name]
    code = [
        (_LOAD, 0, 0, _MACHINE), (_EQUAL, 1, 0, architecture), (_ANSWER, 0, 0, _KILL),  # 32 bits have other numbers
        (_LOAD, 0, 0, _NUMBER), (_AT_LEAST, 0, 1, _X32), (_ANSWER, 0, 0, _KILL),
        (_EQUAL, 0, 1, CLONE3), (_ANSWER, 0, 0, _NOT_THERE),  # its flags cannot be read: libraries take `clone` then
    ]  # fmt: skip
    for numbers in REFUSED.values():
        code += [(_EQUAL, 0, 1, numbers[column]), (_ANSWER, 0, 0, _NOT_PERMITTED)]
    code += [
        (_EQUAL, 0, 3, CLONE[column]), (_LOAD, 0, 0, _ARGUMENT), (_ANY_OF, 0, 1, NAMESPACES),
        (_ANSWER, 0, 0, _NOT_PERMITTED), (_ANSWER, 0, 0, _ALLOW),
    ]  # fmt: skip
    return code, PIVOT_ROOT[column]
