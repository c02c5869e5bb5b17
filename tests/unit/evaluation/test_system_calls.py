"""The filter of system calls, run as the kernel runs it."""

from __future__ import annotations

import platform

import pytest

from llmkit.core.errors import SetupError
from llmkit.evaluation.confinement import Confinement, Limits
from llmkit.evaluation.system_calls import CLONE, NAMESPACES, REFUSED, call_filter

ALLOW, KILL, NOT_PERMITTED, NOT_THERE = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
AMD, ARM = 0xC000003E, 0xC00000B7
FORK = 0x01200011
"""The flags by which libc forks: CHILD_SETTID, CHILD_CLEARTID and the signal."""


def judge(number, machine, first=0):
    """Return what the filter of this machine answers to a call."""
    code, _ = call_filter()
    data = {0: number, 4: machine, 16: first}
    place, loaded = 0, 0
    while True:
        kind, yes, no, k = code[place]
        place += 1
        if kind == 0x20:
            loaded = data[k]
        elif kind == 0x06:
            return k
        else:
            place += yes if {0x15: loaded == k, 0x35: loaded >= k, 0x45: bool(loaded & k)}[kind] else no


@pytest.mark.parametrize(("name", "machine", "column"), [("x86_64", AMD, 0), ("aarch64", ARM, 1)])
def test_calls_are_judged_by_their_numbers_on_each_machine(monkeypatch, name, machine, column):
    monkeypatch.setattr(platform, "machine", lambda: name)
    for numbers in REFUSED.values():
        assert judge(numbers[column], machine) == NOT_PERMITTED
    read, write = ((0, 63), (1, 64))
    assert judge(read[column], machine) == judge(write[column], machine) == ALLOW
    assert judge(CLONE[column], machine, FORK) == ALLOW
    for bit in range(32):
        flags = FORK | 1 << bit
        assert judge(CLONE[column], machine, flags) == (NOT_PERMITTED if NAMESPACES >> bit & 1 else ALLOW)
    assert judge(435, machine) == NOT_THERE, "clone3, whose flags no filter reads"
    assert judge(read[column], AMD + ARM - machine) == KILL, "numbers of another machine"
    assert judge(0x40000000 | 41, machine) == KILL, "a second set of the same calls"


def test_programs_are_not_run_on_a_machine_whose_calls_are_not_known(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(SetupError) as raised:
        Confinement(Limits()).run("pass")
    assert raised.value.message == (
        "programs are not run: this machine does not confine them: a filter of system calls: none is known for riscv64"
    )
    assert raised.value.hint == "measure `code` on a machine that confines programs, or leave the task out"
