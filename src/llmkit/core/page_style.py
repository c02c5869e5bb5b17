"""The style sheet of the reports, for light and dark."""

# ruff: noqa: E501 - one rule a line
from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --ink: #1d2129; --dim: #667085; --line: #e3e6eb; --card: #f7f8fa; --page: #ffffff;
        --a: #2f6feb; --b: #d9822b; --c: #2d9c6f; --d: #b04fc0; --bad: #c4320a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ec; --dim: #98a1b0; --line: #30353f; --card: #1d2128;
        --page: #14171c; --a: #6ea1ff; --b: #f0a65a; --c: #5cc79a; --d: #d68be3; --bad: #ff7a59; } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 960px; padding: 2.5rem 1.5rem 4rem; background: var(--page); color: var(--ink);
       font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "Noto Sans", "Noto Sans CJK SC", sans-serif }
h1 { font-size: 1.7rem; margin: 0; overflow-wrap: anywhere } h1 span { color: var(--dim); font-weight: 400 } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem }
.sub { color: var(--dim); margin: .2rem 0 1.6rem }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: .7rem }
.facts div { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .6rem .8rem }
.facts b { display: block; font-size: 1.15rem; font-weight: 600; overflow-wrap: anywhere }
.facts span, figcaption { color: var(--dim); font-size: .85rem }
.scroll { overflow-x: auto; margin-bottom: 1rem } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
th { color: var(--dim); font-weight: 500 } td.n, th.n { text-align: right }
.bar { display: grid; grid-template-columns: minmax(120px, 30%) 1fr 5.5rem; gap: .8rem; align-items: center; margin: .3rem 0 }
.bar i { display: block; height: .8rem; border-radius: 3px; background: var(--a); min-width: 3px } .bar i.zero { min-width: 0 } .bar em { font-style: normal; text-align: right }
figure { margin: 0 } svg { width: 100%; height: auto; display: block } svg text { fill: var(--dim); font-size: 11px }
.plot { max-width: 800px } .axis { color: var(--dim); font-size: .8rem; margin: 0 } .axis.right { text-align: right }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .7rem .9rem; margin: .3rem 0 1rem;
      white-space: pre-wrap; overflow-wrap: anywhere; font: 13px/1.45 ui-monospace, "SF Mono", Menlo, Consolas, monospace }
.quote { color: var(--dim); margin: .9rem 0 0; font-size: .9rem; overflow-wrap: anywhere }
p.plain { margin: -.2rem 0 .8rem; color: var(--dim); font-size: .9rem; max-width: 46rem; overflow-wrap: anywhere }
.notes { list-style: none; margin: 1.2rem 0 0; padding: 0 }
.notes li { border-left: 3px solid var(--b); background: var(--card); border-radius: 0 6px 6px 0; padding: .45rem .8rem; margin: .4rem 0; overflow-wrap: anywhere }
.parts td { padding: .3rem .9rem .3rem 0; vertical-align: middle; line-height: 1.35 } .parts th { padding-right: .9rem; white-space: nowrap }
.parts td:last-child, .parts th:last-child { padding-right: 0 } .parts td.n { white-space: nowrap } .parts td.n.zero { color: var(--dim); opacity: .55 }
.parts tbody th { color: var(--ink); font-weight: 500; white-space: normal; overflow-wrap: anywhere; min-width: 9rem; max-width: 22rem; vertical-align: middle; line-height: 1.35 }
.parts tbody th small { display: block; color: var(--dim); font-weight: 400; font-size: .8rem }
.parts tr.sub th { font-weight: 400; padding-left: 1.1rem; color: var(--dim); white-space: nowrap } .parts tr.sub td { color: var(--dim) }
.parts tr.sub th, .parts tr.sub td { padding-top: .1rem; padding-bottom: .1rem; font-size: .88rem } .parts tr:has(+ tr.sub) > * { border-bottom: 0 }
.parts tr.sub:has(+ tr.sub) > * { border-bottom: 0 } .parts tr.total > * { font-weight: 600; border-bottom: 0 }
.parts td.track { width: 30% } .track div { position: relative; height: .85rem; border-radius: 3px; background: var(--card); overflow: hidden }
.track i { position: absolute; top: 0; bottom: 0; min-width: 3px } .sub .track div { height: .45rem; background: none } .sub .track i { opacity: .7; border-radius: 2px }
.key { color: var(--dim); font-size: .85rem; margin: .1rem 0 .5rem } .key b { display: inline-block; width: .7rem; height: .7rem; border-radius: 2px; margin: 0 .35rem 0 1rem; vertical-align: -1px } .key b:first-child { margin-left: 0 }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(205px, 1fr)); gap: 1.2rem 1.4rem } .charts svg text { font-size: 10px }
.charts figcaption { font-size: .85rem; line-height: 1.4; margin-bottom: .3rem } .charts figcaption b { display: block; color: var(--ink); font-weight: 500 }
.charts figcaption span { display: flex; justify-content: space-between; font-variant-numeric: tabular-nums; font-size: .8rem }
details { border-bottom: 1px solid var(--line) } summary { cursor: pointer; padding: .5rem 0; overflow-wrap: anywhere } summary:hover { color: var(--a) }
summary em { float: right; font-style: normal; color: var(--dim); font-variant-numeric: tabular-nums; padding-left: 1rem } details[open] { padding-bottom: .6rem } details > .quote:first-of-type { margin-top: .2rem }
pre.prose { font: inherit; font-size: .92rem; line-height: 1.6; max-height: 15rem; overflow-y: auto }
pre.tokens { font: 14px/1.75 system-ui, -apple-system, "Segoe UI", "Noto Sans", "Noto Sans CJK SC", sans-serif; max-height: 20rem; overflow-y: auto }
.tokens i { font-style: normal; border-radius: 3px; padding: .12em 0; background: color-mix(in srgb, var(--a) 26%, transparent) }
.tokens i:nth-child(4n+2) { background: color-mix(in srgb, var(--b) 28%, transparent) } .tokens i:nth-child(4n+3) { background: color-mix(in srgb, var(--c) 26%, transparent) }
.tokens i:nth-child(4n) { background: color-mix(in srgb, var(--d) 26%, transparent) } .tokens i.odd { outline: 2px solid var(--bad); outline-offset: -2px }
.foot { color: var(--dim); font-size: .85rem; margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: .8rem }
@media (max-width: 640px) { body { padding: 1.5rem 1rem 3rem } .facts { grid-template-columns: 1fr 1fr } .parts .track { display: none } .parts tr.sub th { white-space: normal } .parts td { padding-right: .6rem }
  .plot svg text { font-size: 19px } .bar { grid-template-columns: minmax(6rem, 40%) 1fr auto } table { width: auto; min-width: 100% } .scroll th, .scroll td { overflow-wrap: normal } }
"""
