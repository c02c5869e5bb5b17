"""Manual pages, with the man and the mdoc macros, against texts written by hand."""

from __future__ import annotations

from llmkit.cleaning.steps._markup_roff import to_text

MAN = r""".\" A comment
.de XX
.B \\$1
..
.TH "LS" "1" "2020" "x" "y"
.SH NAME
ls \- list \fIdirectory\fR contents
.SH "选项 OPTIONS"
.PP
这是第一行
和第二行，见
.BR ls (1)
的说明。
.TP
.BI \-w " COLS"
Set the \(lqwidth\(rq\c
, in columns.
.IP \(bu 2
first
.ie n \{\
.IP 2. 4
second
.\}
.el \{\
printed only
.\}
.if t .I printed only
.nf
int main() {
    puts("\en");   # 'x'
.fi
.TS
tab(@);
l l.
a@b
.TE
.UR https://example.org
the site
.UE .
.br
\('e \[u4E2D] \s-1SMALL\s0 \h'2'x\
"""
MAN_TEXT = """LS(1)

NAME
ls - list directory contents

选项 OPTIONS

这是第一行和第二行，见 ls(1) 的说明。

-w COLS
Set the “width”, in columns.

• first

2. second

int main() {
    puts("\\n");   # 'x'

a\tb

the site <https://example.org>.
é 中 SMALL x"""

MDOC = r""".Dd May 1
.Dt FOO 1
.Os
.Sh NAME
.Nm foo
.Nd do things
.Sh SYNOPSIS
.Nm
.Op Fl a | Fl b Ar file
.Ar dir ...
.Sh DESCRIPTION
The
.Nm
utility, see
.Xr ls 1 ,
prints
.Dq hello world .
.Bl -tag -width x
.It Fl v
Be verbose.
.El
.Bl -bullet
.It
one
.El
.Bd -literal
int  x;
.Ed
In
.Pf ( Em x )
.Ns y ."""
MDOC_TEXT = """FOO(1)

NAME
foo do things

SYNOPSIS
foo [-a | -b file] dir ...

DESCRIPTION
The foo utility, see ls(1), prints “hello world”.
-v
Be verbose.
• one

int  x;

In (x) y."""


def test_lines_are_joined_without_a_blank_in_scripts_written_so():
    page = ".TH X 1\n.SH NAME\nx\n.PP\n"
    for lines, joined in (
        ("中文\n文件。\n（是）", "中文文件。（是）"),
        ("カタ\nｶﾅ", "カタｶﾅ"),
        ("ภาษา\nไทย", "ภาษาไทย"),
        ("한국어\n문서", "한국어 문서"),
        ("中文\nls", "中文 ls"),
    ):
        assert to_text(page + lines).endswith(f"\n\n{joined}")


def test_a_whole_document():
    assert to_text(MAN) == MAN_TEXT
    assert to_text(MDOC) == MDOC_TEXT
