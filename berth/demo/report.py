"""The report: one HTML file that holds everything, with a drawing for each run and the table of all.

It asks nothing of the network, has no script, and follows the reader's light or dark.
"""

from html import escape

from berth.demo.record import RunRecord
from berth.demo.scenario import Run
from berth.demo.svg import drawing
from berth.demo.table import table, verdict

STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --dim: #5c6b7a; --paper: #ffffff; --line: #d5dce3;
  --free: #eef2f5; --held: #4c8a6a; --phantom: #c8372d; --queued: #2f6fb0; --stopping: #d29a2e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e3e9ef; --dim: #9aa8b5; --paper: #14191f; --line: #36414c;
    --free: #222a32; --held: #5fa884; --phantom: #ef6a5e; --queued: #6ba8e5; --stopping: #e0b04c; } }
body { margin: 2rem auto; max-width: 62rem; padding: 0 1rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; vertical-align: top;
  padding: .3rem 1rem .3rem 0; border-bottom: 1px solid var(--line); } th { font-weight: 600; }
svg { width: 100%; height: auto; } svg text { fill: var(--ink); font: 12px system-ui, sans-serif; }
svg .small { fill: var(--dim); font-size: 11px; paint-order: stroke; stroke: var(--paper); stroke-width: 3px; }
svg .host { font-weight: 600; font-size: 14px; }
svg .label { font-weight: 600; paint-order: stroke; stroke: var(--paper); stroke-width: 4px; }
svg .mid { text-anchor: middle; }
svg .tick { stroke: var(--line); stroke-dasharray: 2 4; } svg .deploy { stroke: var(--ink); }
svg .free { fill: var(--free); stroke: var(--line); }
svg .agreed, svg .running, i.agreed, i.running { fill: var(--held); background: var(--held); }
svg .phantom { fill: url(#hatch); stroke: var(--phantom); }
i.phantom { background: repeating-linear-gradient(45deg, var(--phantom) 0 3px, transparent 3px 6px);
  outline: 1px solid var(--phantom); }
svg .queued, svg .waiting { fill: none; stroke: var(--queued); stroke-dasharray: 4 3; }
svg .wanted { fill: none; stroke: var(--queued); stroke-dasharray: 1 3; }
svg .looked { fill: var(--dim); } svg .acted { fill: var(--queued); }
i.wanted { outline: 1px dotted var(--queued); } i.queued { outline: 1px dashed var(--queued); }
svg .stopping { fill: url(#stopping); stroke: var(--stopping); }
i.stopping { background: repeating-linear-gradient(45deg, var(--stopping) 0 3px, transparent 3px 6px); }
svg .mark { stroke-width: 3; } svg .TERM { stroke: var(--stopping); } svg .KILL { stroke: var(--phantom); }
.key span { margin-right: 1.4rem; white-space: nowrap; } .key i { display: inline-block; width: 1.2rem;
  height: .8rem; margin-right: .4rem; vertical-align: -1px; }
.key i.TERM, .key i.KILL { width: 3px; height: 1rem; } i.TERM { background: var(--stopping); }
i.KILL { background: var(--phantom); }
.dim { color: var(--dim); }
"""

PATTERNS = """<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>
<pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
<rect width="3" height="6" fill="var(--phantom)"/></pattern>
<pattern id="stopping" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
<rect width="3" height="6" fill="var(--stopping)"/></pattern></defs></svg>"""

KEY = """<p class="key"><span><i class="agreed"></i>held on both ledgers; running</span>
<span><i class="phantom"></i>phantom: free for placement, still held on the host</span>
<span><i class="queued"></i>queued: placed, not yet admitted by the host</span>
<span><i class="wanted"></i>PROVISIONING: no host has room</span>
<span><i class="stopping"></i>asked to stop, still holding</span>
<span><i class="TERM"></i>TERM</span><span><i class="KILL"></i>KILL</span></p>"""

INTRODUCTION = """<p>A rolling deployment tells four tasks to stop. Three quit at once, one works on. ECS keeps two
ledgers of one host: the <b>placement ledger</b>, by which the control plane places tasks, and the <b>host ledger</b>,
by which the agent admits them. Room that has ended on the first while it still stands on the second is
<b>phantom</b>: it is offered, and it is not there (aws/amazon-ecs-agent#4106).</p>"""


def report(runs: list[Run], records: list[RunRecord]) -> str:
    """The whole file."""
    sections = "".join(_section(run, record) for run, record in zip(runs, records, strict=True))
    seen = "".join(f"<p>{escape(sentence)}</p>" for sentence in verdict(records))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>berth demo stop</title><style>{STYLE}</style></head><body>{PATTERNS}"
        f"<h1>A deployment meets a long job</h1>{INTRODUCTION}{_table(records)}{seen}{KEY}{sections}"
        "</body></html>\n"
    )


def _table(records: list[RunRecord]) -> str:
    head, *rows = table(records)
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head[1])
    body = "".join(
        f"<tr><th>{escape(label)}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
        for label, cells in rows
    )
    return f"<table><thead><tr><th>{escape(head[0])}</th>{cells}</tr></thead><tbody>{body}</tbody></table>"


def _section(run: Run, record: RunRecord) -> str:
    waited = f"<p>{escape(record.why_the_last_waited)}</p>" if record.why_the_last_waited else ""
    return f'<h2>{escape(run.setup.title)}</h2><p class="dim">{escape(run.setup.shape)}</p>{waited}{drawing(run)}'
