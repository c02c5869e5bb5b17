"""reStructuredText against a text written by hand."""

from __future__ import annotations

from llmkit.cleaning.steps._markup_rst import to_text

RST = """.. SPDX-License-Identifier: GPL-2.0
   still the comment

=====
Title
=====

:Author: A *person*

Text with ``*code*``, *emphasis*, **bold**, :ref:`a label <target>`, `site <https://x>`_, a reference_ and
snake_case_, :c:func:`f()`, |copy| 2020 [1]_. 中文\\ **重点**\\ 。

.. _target:

.. note:: Take care
   of this.

.. toctree::
   :maxdepth: 2

   page

.. code-block:: c
   :linenos:

   int *x;

For example::

    $ ls *_ ``x``

      deeper

======  =====
a       b
======  =====
1       *2*
======  =====

+---+---+
| a | b |
+---+---+

.. [1] A footnote.

- item

>>> f(*x)
"""
RST_TEXT = """Title

Author: A person

Text with *code*, emphasis, bold, a label, site, a reference and
snake_case, f(), © 2020 [1]. 中文重点。

Note: Take care
   of this.

   int *x;

For example:

    $ ls *_ ``x``

      deeper

a       b
1       2

a\tb

[1] A footnote.

- item

>>> f(*x)"""


def test_a_whole_document():
    assert to_text(RST) == RST_TEXT


def test_what_looks_like_emphasis_in_code_stays():
    assert to_text("``**kwargs`` and ``__init__``") == "**kwargs and __init__"
