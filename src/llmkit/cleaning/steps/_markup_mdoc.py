"""The macros of mdoc manual pages that stand within a line: `.Op Fl a Ar file` is `[-a file]`; see groff_mdoc(7)."""

from __future__ import annotations

_AROUND = {
    "Op": "[]", "Bq": "[]", "Dq": "“”", "Qq": '""', "Sq": "‘’", "Ql": "‘’", "Pq": "()", "Aq": "<>", "Brq": "{}",
}  # fmt: skip
_MARKS = {"Oo": "[", "Bo": "[", "Po": "(", "Do": "“", "So": "‘", "Ao": "<"}
_END_MARKS = {"Oc": "]", "Bc": "]", "Pc": ")", "Dc": "”", "Sc": "’", "Ac": ">"}
_NAMES = {"Ux": "UNIX", "Bx": "BSD", "At": "AT&T UNIX", "Nx": "NetBSD", "Fx": "FreeBSD", "Ox": "OpenBSD"}
_SILENT = {"Ad", "An", "Ar", "Cd", "Cm", "Dv", "Em", "Er", "Ev", "Fa", "Fd", "Fn", "Ft", "Ic", "Li", "Lk", "Ms", "Mt",
           "No", "Pa", "St", "Sx", "Sy", "Tn", "Va", "Vt", "Xo", "Xc", "Nd", "Lb", "In", "Fo", "Fc", "%T", "%A", "%R",
           "%D", "%B", "%J", "%V", "%O"}  # fmt: skip
INLINE = {"Fl", "Nm", "Ns", "Pf", "Xr", *_AROUND, *_MARKS, *_END_MARKS, *_NAMES, *_SILENT}
"""Macros that print their arguments within a line."""

_CLOSING = set(".,:;)]?!”’>}")
_OPENING = set("([")


class Mdoc:
    """Writes out lines of mdoc macros; remembers the page's name, which `.Nm` alone stands for."""

    def __init__(self) -> None:
        self.name = ""

    def inline(self, args: list[str]) -> str:
        """Return the text of a macro call: its name and arguments, or only arguments."""
        pieces: list[str] = []
        ends: list[str] = []  # what closes at the end of the line, before its punctuation
        tail = len(args)
        while tail and args[tail - 1] in _CLOSING:
            tail -= 1
        args, punctuation = args[:tail], args[tail:]
        glue = True
        position = 0
        while position < len(args):
            word = args[position]
            position += 1
            following = args[position] if position < len(args) else ""
            if word in {"Ns", "Pf"}:
                glue = word == "Ns"
                if word == "Pf" and following:
                    pieces.append(following if not pieces else " " + following)
                    position, glue = position + 1, True
                continue
            if word in _SILENT:
                continue
            if word in _AROUND:
                ends.append(_AROUND[word][1])
            elif word == "Xr" and following:
                section = args[position + 1] if position + 1 < len(args) else ""
                word, position = (f"{following}({section})", position + 2) if section else (following, position + 1)
            elif word == "Fl":
                is_option = following and following not in INLINE and following not in _CLOSING
                word, position = ("-" + following, position + 1) if is_option else ("-", position)
            elif word == "Nm":
                if following and following not in INLINE and following not in _CLOSING:
                    self.name, position = self.name or following, position + 1
                    word = following
                else:
                    word = self.name
            opens = word in _AROUND or word in _MARKS or word in _OPENING
            word = _AROUND[word][0] if word in _AROUND else _MARKS.get(word) or _END_MARKS.get(word) or word
            word = _NAMES.get(word, word)
            attached = glue or not pieces or word in _CLOSING
            pieces.append(word if attached else " " + word)
            glue = opens
        return "".join(pieces) + "".join((*reversed(ends), *punctuation))
