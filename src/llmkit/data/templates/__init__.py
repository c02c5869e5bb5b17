"""Chat templates in bounds: what a template may do is counted, so that none runs on or fills the memory.

A template is a program of somebody else's: `{% for %}` in `{% for %}`, `x ~ x` over and over, `'-' * 10**9`. Counting,
unlike a clock, refuses the same row on every machine. A clock stands behind it for what costs more than it counts for.
"""
