"""Texts whose lines are broken by a width, and texts that break them on purpose."""

from __future__ import annotations

WORDS = [
    "the",
    "harbour",
    "master",
    "wrote",
    "down",
    "which",
    "boats",
    "had",
    "left",
    "before",
    "storm",
    "and",
    "who",
    "stayed",
    "at",
    "their",
    "moorings",
]
PARAGRAPHS = [
    " ".join(WORDS[(i * 7 + k * k) % len(WORDS)] for k in range(60 + 13 * i)).capitalize() + "." for i in range(4)
]
VERSE = """I wandered lonely as a cloud
That floats on high o'er vales and hills,
When all at once I saw a crowd,
A host, of golden daffodils;
Beside the lake, beneath the trees,
Fluttering and dancing in the breeze."""
FREE_VERSE = """under the bridge
the water goes on talking
to nobody we know
a bicycle leans there
with a basket full of leaves
and what the leaves remember
is not
what happened"""
CODE = """def area(shape, scale):
    total = 0
    for side in shape:
        total += side * scale
    return total
if total > limit:
    raise ValueError(total)
print(total)"""
TABLE = """name          price   colour   weight
apple          1.20   red         120
plum           0.80   blue         60
pear           1.10   green       140
quince         2.30   yellow      210"""
LIST = """- a list of things that are short
- bread, butter and a knife
- a bottle of water from the well
- the map that we bought in town"""
MENU = """home
about us
products
services and support
contact
careers
press"""
LOG = "\n".join(f"Nov {d} 10:{d}:00 host sshd[{d}]: session opened for user root by (uid=0)" for d in range(10, 30))
