"""The style sheet of the reports, for light, dark and paper.

The four colours stay apart for people who do not see red, green or blue, and stand out from the page by 3 to 1 at least
(Machado et al., A physiologically-based model for simulation of color vision deficiency, 2009); a test holds them to it.
"""

# ruff: noqa: E501 - one rule a line
from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --ink: #1d2129; --dim: #667085; --line: #e3e6eb; --card: #f7f8fa; --page: #ffffff;
        --a: #2f56d9; --b: #df5f16; --c: #0a9e70; --d: #8f4f98; --bad: #c4320a; --good: #087a56; }
@media screen and (prefers-color-scheme: dark) { :root { --ink: #e6e8ec; --dim: #98a1b0; --line: #30353f; --card: #1d2128;
        --page: #14171c; --a: #7f9cff; --b: #ff9a3d; --c: #62e3b0; --d: #bd78ab; --bad: #ff7a59; --good: #62e3b0; } }
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
pre.prose { tab-size: 1.3rem } pre.from-end { display: flex; flex-direction: column-reverse }
pre.tokens { font: 14px/1.75 system-ui, -apple-system, "Segoe UI", "Noto Sans", "Noto Sans CJK SC", sans-serif; max-height: 20rem; overflow-y: auto }
.tokens i { font-style: normal; border-radius: 3px; padding: .12em 0; background: color-mix(in srgb, var(--a) 26%, transparent) }
.tokens i:nth-child(4n+2) { background: color-mix(in srgb, var(--b) 28%, transparent) } .tokens i:nth-child(4n+3) { background: color-mix(in srgb, var(--c) 26%, transparent) }
.tokens i:nth-child(4n) { background: color-mix(in srgb, var(--d) 26%, transparent) } .tokens i.odd { outline: 2px solid var(--bad); outline-offset: -2px }
.foot { color: var(--dim); font-size: .85rem; margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: .8rem }
h3 { font-size: .95rem; margin: 1.6rem 0 .5rem } .good { color: var(--good) } .bad { color: var(--bad) }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(212px, 1fr)); gap: .8rem }
.cards > * { display: block; background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .75rem .95rem .8rem; color: inherit; text-decoration: none; min-width: 0 }
.cards a:hover { border-color: var(--a) } .cards span { display: block; font-size: .85rem; font-weight: 600; overflow-wrap: anywhere } .cards small { color: var(--dim); font-size: .8rem; line-height: 1.4; display: block; white-space: pre-line }
.cards b { display: flex; align-items: baseline; flex-wrap: wrap; gap: 0 .6rem; font-size: 1.65rem; line-height: 1.4; font-weight: 650; font-variant-numeric: tabular-nums; letter-spacing: -.01em }
.cards em { font-style: normal; font-size: .85rem; font-weight: 600; letter-spacing: 0 } .cards em.even { color: var(--dim); font-weight: 500 }
td small { display: block; color: var(--dim); font-size: .8rem; white-space: nowrap } td .good, td .bad { font-weight: 600 } td.n { white-space: nowrap }
.diff { display: flex; align-items: center; gap: .7rem; min-width: 13rem } .diff > span { min-width: 4.6rem; text-align: right } .diff > small { order: 3 }
.zero { position: relative; flex: 1; min-width: 5rem; height: 1.1rem } .zero u, .iv u { position: absolute; top: 0; bottom: 0; width: 1px; background: var(--line) } .zero u { background: var(--dim) }
.iv { display: grid; grid-template-columns: minmax(7rem, 24%) 1fr minmax(8.5rem, max-content); gap: 0 .9rem; align-items: stretch }
.iv > span { overflow-wrap: anywhere; padding: .22rem 0; line-height: 1.3; align-self: center } .iv > div { position: relative; min-height: 1.7rem } .iv > em { font-style: normal; font-variant-numeric: tabular-nums; align-self: center; line-height: 1.25; padding: .12rem 0 }
.iv > em small { color: var(--dim); font-size: .78rem; display: block; white-space: nowrap } .intervals .iv:hover:not(.axes) { background: var(--card) }
.intervals p { margin: .7rem 0 .1rem; font-weight: 600; font-size: .88rem } .intervals .group + .group { border-top: 1px solid var(--line) } .titled .intervals { font-size: .88rem }
.iv i, .zero i { position: absolute; top: 50% } i.span { height: 3px; margin-top: -1.5px; border-radius: 2px; background: currentColor; opacity: .55; min-width: 2px }
.iv i.bar { top: 22%; bottom: 22%; border-radius: 0 3px 3px 0; opacity: .6; min-width: 2px } i.whisker { height: 9px; margin-top: -4.5px; border: solid currentColor; border-width: 0 1.5px } i.whisker::before { content: ""; position: absolute; left: 0; right: 0; top: 50%; border-top: 1.5px solid currentColor }
.iv b, .zero b { position: absolute; top: 50%; width: 11px; height: 11px; margin: -5.5px 0 0 -5.5px; border-radius: 50%; box-shadow: 0 0 0 2px var(--page) } b.s1 { border-radius: 1px } b.s2 { border-radius: 50% 50% 0 50% } .iv b.s3 { border-radius: 1px; rotate: 45deg; scale: .9 }
.iv.axes > div { min-height: 1.3rem; font-size: .78rem; color: var(--dim) } .iv.axes u { background: none; width: auto; text-decoration: none; translate: -50%; top: .1rem }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 380px), 1fr)); gap: 1.4rem 2rem; margin: .4rem 0 1.2rem; align-items: start } .figures:empty { display: none } figure.titled { min-width: 0; break-inside: avoid } figure.wide { grid-column: 1 / -1 }
h4 { font-size: .92rem; margin: .4rem 0 .1rem } figure.titled > p:not(.axis) { color: var(--dim); font-size: .85rem; margin: 0 0 .5rem; max-width: 46rem; overflow-wrap: anywhere }
.plot.small { max-width: 470px } .plot.small svg text { font-size: 12px } .mark { stroke: transparent; stroke-width: 12 } .mark:hover { stroke: currentColor; stroke-opacity: .18 }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; color: var(--dim); font-size: .85rem; margin-top: .2rem } .legend svg { display: inline-block; width: 22px; height: 12px; margin-right: .4rem; vertical-align: -1px }
table.cells { width: auto; border-collapse: separate; border-spacing: 2px; font-size: .85rem } .cells td, .cells th { border: 0; padding: .32rem .5rem; text-align: center; vertical-align: middle } .cells td { border-radius: 4px; min-width: 2.7rem; font-variant-numeric: tabular-nums }
.cells th[scope=row], .cells th.corner { text-align: right; max-width: 9rem; overflow-wrap: anywhere } .cells th[scope=col] { max-width: 8rem; overflow-wrap: anywhere; vertical-align: bottom } .cells th.over, .cells th.corner { font-weight: 400; font-size: .8rem } .cells td.zero { color: var(--dim) }
.cells.small td { min-width: 1.15rem; height: 1.25rem; padding: 0 } .cells.small th { padding: .05rem .35rem; font-size: .75rem } .cells.small th[scope=col] { padding: .3rem 0 } .cells.small th[scope=col] span { writing-mode: vertical-rl; rotate: 180deg; max-height: 8rem; overflow: hidden }
.cells td.none { background: repeating-linear-gradient(45deg, var(--card) 0 4px, transparent 4px 8px) } .cells td:hover { outline: 2px solid var(--ink); outline-offset: -1px }
p.ramp { color: var(--dim); font-size: .8rem; margin: .1rem 0 0; display: flex; align-items: center; gap: .45rem } .ramp i { width: 7rem; height: .55rem; border-radius: 3px; background: linear-gradient(90deg, var(--card), var(--a)) }
.beside { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 290px), 1fr)); gap: .2rem 1rem } .said { min-width: 0; color: var(--ink) } .said pre { margin-bottom: .6rem } .said.good pre { border-left: 3px solid var(--good) } .said.bad pre { border-left: 3px solid var(--bad) }
summary .mark-word { display: inline-block; min-width: 4.2rem; font-size: .8rem; font-weight: 600 }
@media print { * { print-color-adjust: exact; -webkit-print-color-adjust: exact } body { max-width: none; padding: 0 } .cards > *, figure, tr, pre, .facts div { break-inside: avoid } h2, h3, h4, summary, .quote { break-after: avoid }
  details::details-content { content-visibility: visible; block-size: auto } pre.prose, pre.tokens { max-height: none } pre.from-end { display: block } .scroll { overflow: visible } }
@media (max-width: 640px) { body { padding: 1.5rem 1rem 3rem } .facts { grid-template-columns: 1fr 1fr } .parts .track { display: none } .parts tr.sub th { white-space: normal } .parts td { padding-right: .6rem }
  .plot:not(.small) svg text { font-size: 19px } .iv { grid-template-columns: 1fr max-content } .iv > div { grid-row: 2; grid-column: 1 / -1 } .iv > em small { display: inline; margin-left: .5rem } .iv.axes > div { grid-row: 1 } .cards { grid-template-columns: 1fr 1fr } .cards b { font-size: 1.4rem } .diff { min-width: 11rem } .bar { grid-template-columns: minmax(6rem, 40%) 1fr auto } table { width: auto; min-width: 100% } .scroll th, .scroll td { overflow-wrap: normal } }
"""
