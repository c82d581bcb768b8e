"""The look of the report's page."""

STYLE = """
:root { --ink: #1f2328; --soft: #59636e; --line: #d8dee4; --real: #2f6db5; --synthetic: #e07b1a; }
* { box-sizing: border-box; }
body { margin: 0; background: #f6f8fa; color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 32px 20px 64px; }
header { margin-bottom: 20px; }
h1 { margin: 0; font-size: 30px; letter-spacing: -0.01em; }
h2 { margin: 0 0 6px; font-size: 21px; }
h3 { margin: 20px 0 8px; font-size: 15px; color: var(--soft); font-weight: 600; }
.score { margin: 4px 0; font-size: 19px; }
section { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 22px 24px;
  margin: 18px 0; }
.lead { margin: 0 0 16px; max-width: 78ch; color: var(--soft); }
.lead strong, .lead em { color: var(--ink); }
.note { color: var(--soft); font-size: 14px; max-width: 90ch; }
small { color: var(--soft); }
table { border-collapse: collapse; width: 100%; font-size: 14.5px; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--soft); border-bottom: 2px solid var(--line); }
th, td { padding: 6px 12px 6px 0; vertical-align: top; }
td { border-bottom: 1px solid #eef1f4; }
td .met { color: #1a7f37; font-weight: 600; white-space: nowrap; }
td .missed { color: #b3261e; font-weight: 600; white-space: nowrap; }
td .shown { color: var(--soft); }
.key { display: inline-block; width: 28px; height: 4px; border-radius: 2px; vertical-align: middle;
  margin-right: 4px; }
.key.real { background: var(--real); }
.key.synthetic { background: var(--synthetic); }
figure { margin: 0; }
figure.real img { border-top: 4px solid var(--real); }
figure.synthetic img { border-top: 4px solid var(--synthetic); }
figure.wide { margin-bottom: 14px; }
figure.wide img { width: 100%; }
figcaption { font-size: 13px; color: var(--soft); margin-top: 2px; }
img { display: block; max-width: 100%; height: auto; }
img.field { width: 100%; }
img.chart { margin: 0 auto 14px; }
.row { display: grid; gap: 10px; }
.row.four { grid-template-columns: repeat(4, minmax(0, 1fr)); }
.row.two { grid-template-columns: repeat(2, minmax(0, 1fr)); }
.row.pairs { grid-template-columns: repeat(auto-fill, 175px); }
@media (max-width: 700px) { .row.four { grid-template-columns: repeat(2, 1fr); } section { padding: 16px; } }
"""
