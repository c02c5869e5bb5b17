# ruff: noqa: PTH102, PTH103, PTH123
"""One program in a process that can reach nothing: a script that `confinement.py` starts.

    this script      new namespaces, a file system of its own
      first          process 1 of them: limits, no privileges, a filter of system calls; whatever is below ends with it
        program      the program, then proof that it was run to its end

stdin has the order, `{"program": ..., "limits": ..., "visible": ..., "filter": ...}`; stdout gets one JSON object:
`{"refused": why}` where the kernel does not confine it, else how the program ended. Importing pathlib would take longer
than all of this, and nothing of llmkit is seen from here.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys

MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18
MOUNT_READ_ONLY, MOUNT_NOSUID, MOUNT_NODEV = 1, 2, 4
AT_RECURSIVE, MNT_DETACH = 0x8000, 2
MOUNT_SETATTR = 442
SET_DEATH_SIGNAL, SET_DUMPABLE, SET_SECCOMP, DROP_CAPABILITY, NO_NEW_PRIVILEGES = 1, 4, 22, 24, 38
NOBODY = 65534
DEVICES = ("null", "zero", "full", "random", "urandom")
RESULT_BYTES = 4096
"""Read of what a program's process says of itself."""

libc = ctypes.CDLL(None, use_errno=True)


class RefusedError(Exception):
    """The kernel does not let this process confine itself."""


def checked(step: str, value: int) -> int:
    """Return what a call into libc gave, or say at which step it failed.

    Raises:
        RefusedError: It did.
    """
    if value < 0:
        raise RefusedError(f"{step}: {os.strerror(ctypes.get_errno())}")
    return value


def enter_namespaces(kinds: int) -> bool:
    """Leave the machine's users, mounts, processes and network; return whether there is a second user to become.

    Of root's own processes the kernel counts none, so that root's programs run as nobody. Only a process that stays
    outside may write the map of two users.
    """
    is_root, user, group = os.geteuid() == 0, os.geteuid(), os.getegid()
    ready, done = os.pipe(), os.pipe()
    helper = os.fork()
    if not helper:
        answer = b"0"
        try:
            os.close(ready[1])
            if os.read(ready[0], 1):
                answer = _write_maps(os.getppid(), user, group, is_root)
            os.write(done[1], answer)
        finally:
            os._exit(0)
    for end in (ready[0], done[1]):
        os.close(end)
    try:
        checked("new namespaces (unshare)", libc.unshare(kinds))
        os.write(ready[1], b"1")
    finally:
        os.close(ready[1])
        answer = os.read(done[0], 1)
        os.close(done[0])
        os.waitpid(helper, 0)
    if answer not in (b"1", b"2"):
        raise RefusedError("users of the new namespace (uid_map): Operation not permitted")
    return answer == b"2"


def _write_maps(process: int, user: int, group: int, is_root: bool) -> bytes:
    """Say who is who in another process's new namespace; return how many users there are."""
    both = f"0 {{}} 1\n1 {NOBODY} 1\n" if is_root else ""
    for pattern, count in ((both, b"2"), ("0 {} 1\n", b"1")):
        try:
            if not pattern:
                continue
            if count == b"1":
                _write(f"/proc/{process}/setgroups", "deny")
            _write(f"/proc/{process}/uid_map", pattern.format(user))
            _write(f"/proc/{process}/gid_map", pattern.format(group))
        except OSError:
            continue
        return count
    return b"0"


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _mount(step: str, source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    words = [None if word is None else word.encode() for word in (source, target, kind, options)]
    checked(f"{step} (mount)", libc.mount(*words[:3], ctypes.c_ulong(flags), words[3]))


class _Attributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "namespace")]


def _protect(step: str, path: str, flags: int, *, recursive: bool = True) -> None:
    """Make a mount, and those beneath it, what flags say."""
    attributes = _Attributes(set=flags)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    depth = AT_RECURSIVE if recursive else 0
    found = libc.syscall(MOUNT_SETATTR, -1, path.encode(), depth, ctypes.byref(attributes), size)
    checked(f"{step} (mount_setattr)", found)


def enter_root(root: str, visible: list[str], scratch: str, scratch_bytes: int, pivot_root: int) -> None:
    """Make a file system of what may be seen, read-only, and of a scratch folder in memory, and leave the old one.

    Args:
        root: A directory that nothing is read from, to build it on.
        visible: Absolute directories that keep their paths.
        scratch: The folder that may be written.
        scratch_bytes: What fits into it.
        pivot_root: The number of that system call.
    """
    _mount("mounts of its own", "none", "/", None, MS_REC | MS_PRIVATE)
    sources = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in visible}
    devices = {name: os.open(f"/dev/{name}", os.O_PATH | os.O_CLOEXEC) for name in DEVICES}
    _mount("a new root", "tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755")
    for path, source in sources.items():
        os.makedirs(root + path, exist_ok=True)
        _mount(f"a view of {path}", f"/proc/self/fd/{source}", root + path, None, MS_BIND | MS_REC)
        _protect(f"a read-only view of {path}", root + path, MOUNT_READ_ONLY | MOUNT_NOSUID | MOUNT_NODEV)
    os.mkdir(root + "/dev")
    for name, device in devices.items():
        os.close(os.open(f"{root}/dev/{name}", os.O_CREAT | os.O_WRONLY, 0o644))
        _mount(f"/dev/{name}", f"/proc/self/fd/{device}", f"{root}/dev/{name}", None, MS_BIND)
    os.mkdir(root + scratch)
    options = f"size={scratch_bytes},nr_inodes=1024,mode=777"
    _mount("a scratch folder", "tmpfs", root + scratch, "tmpfs", MS_NOSUID | MS_NODEV, options)
    for descriptor in (*sources.values(), *devices.values()):
        os.close(descriptor)
    os.chdir(root)
    checked("the new root (pivot_root)", libc.syscall(pivot_root, b".", b"."))
    checked("leaving the old root (umount)", libc.umount2(b".", MNT_DETACH))
    _protect("a read-only root", "/", MOUNT_READ_ONLY, recursive=False)  # the scratch folder stays writable
    os.chdir(scratch)


def give_up_privileges(limits: dict[str, int], has_nobody: bool) -> None:
    """Set the limits, become nobody, and drop what could be used to get any of it back."""
    for name in ("AS", "FSIZE", "NOFILE"):
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (limits[name],) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (limits["CPU"], limits["CPU"] + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for capability in range(64):
        libc.prctl(DROP_CAPABILITY, capability, 0, 0, 0)
    if has_nobody:
        os.setgroups([])
        os.setresgid(1, 1, 1)
        os.setresuid(1, 1, 1)
    header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    checked("dropping capabilities (capset)", libc.capset(header, none))
    # What is counted are the processes of this user in this namespace: root's script is another user, else it counts.
    beside = 1 if has_nobody else 2
    resource.setrlimit(resource.RLIMIT_NPROC, (limits["NPROC"] + beside,) * 2)
    checked("no new privileges (prctl)", libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    checked("dying together (prctl)", libc.prctl(SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0))
    checked("no tracing (prctl)", libc.prctl(SET_DUMPABLE, 0, 0, 0, 0))


class _Instruction(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("k", ctypes.c_uint32)]


class _Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction))]


def filter_calls(code: list[tuple[int, int, int, int]]) -> None:
    """Have the kernel judge every system call from here on by a program of the Berkeley Packet Filter."""
    instructions = (_Instruction * len(code))(*[_Instruction(*line) for line in code])
    program = _Filter(len(code), instructions)
    checked("a filter of system calls (seccomp)", libc.prctl(SET_SECCOMP, 2, ctypes.byref(program), 0, 0))


def run_program(source: str, proof: int, result: int) -> None:
    """Run a program in this process; then, and only then, read the proof and hand it on."""
    import types

    module = types.ModuleType("program")
    sys.modules["program"] = module
    try:
        exec(compile(source, "program.py", "exec"), module.__dict__)  # noqa: S102 - what all the rest is for
        said = b"\0" + os.read(proof, 64)
    except MemoryError:
        said = b"MemoryError"
    except BaseException as error:  # noqa: BLE001 - also what it raises to leave
        said = f"{type(error).__name__}: {error}".encode("utf-8", "replace")
    os.write(result, said[:RESULT_BYTES])
    os._exit(0)


def be_first(order: dict[str, object], reply: int) -> None:
    """Run a program in a child, and write how it ended; this process is number 1, and all others end with it."""
    proof, result = os.pipe(), os.pipe()
    program = os.fork()
    if not program:
        os.close(reply)
        os.close(proof[1])
        os.close(result[0])
        run_program(str(order["program"]), proof[0], result[1])
    late: list[int] = []

    def end(*_: object) -> None:
        late.append(1)
        os.kill(program, signal.SIGKILL)

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, float(str(order["wall_s"])))
    # The secret is made after the fork and lies in a pipe: no memory of the program's process has it.
    secret = os.urandom(32)
    os.write(proof[1], secret)
    for pipe in (proof[0], proof[1], result[1]):
        os.close(pipe)
    while True:
        process, status = os.wait()
        if process == program:
            break
    os.set_blocking(result[0], False)
    try:
        said = os.read(result[0], RESULT_BYTES)
    except BlockingIOError:
        said = b""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = {
        "passed": said == b"\0" + secret and status == 0,
        "late": bool(late),
        "error": "" if said[:1] == b"\0" else said.decode("utf-8", "replace"),
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
        "cpu_s": usage.ru_utime + usage.ru_stime,
    }
    os.write(reply, json.dumps(found).encode())
    os._exit(0)


def main() -> None:
    """Do what stdin orders."""
    order = json.load(sys.stdin)
    reply = os.dup(1)
    os.set_inheritable(reply, False)
    try:
        libc.prctl(SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
        has_nobody = enter_namespaces(order["namespaces"])
        enter_root(order["root"], order["visible"], order["scratch"], order["scratch_bytes"], order["pivot_root"])
        nothing = os.open("/dev/null", os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        first = os.fork()
        if not first:
            give_up_privileges(order["limits"], has_nobody)
            filter_calls(order["filter"])
            be_first(order, reply)
        os.waitpid(first, 0)
    except (RefusedError, OSError) as error:
        os.write(reply, json.dumps({"refused": str(error)}).encode())
    os._exit(0)


if __name__ == "__main__":
    main()
