"""The report's page: HTML and style sheet, with $places for its contents. Its colours and faces
are those of every page that minigen makes."""

from string import Template

COLORS = """\
:root {
  --page: #fbfbfd; --card: #ffffff; --ink: #1d222b; --soft: #626b7a; --line: #e3e7ee;
  --accent: #2f6fde; --good: #197a53; --bad: #b3491b;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12151b; --card: #1a1f28; --ink: #e7eaf0; --soft: #97a1b1; --line: #2d3440;
    --accent: #7aa7ff; --good: #62d2a2; --bad: #ff9a66;
  }
}
"""
SANS = (
    'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "PingFang SC", '
    '"Microsoft YaHei", "Noto Sans CJK SC", sans-serif'
)
MONOSPACE = "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace"

_REPORT = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
$colors* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 47rem;
  background: var(--page); color: var(--ink);
  font: 16px/1.6 $sans;
}
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .5rem; letter-spacing: -.02em; }
h2 { font-size: 1.35rem; margin: 0 0 .25rem; letter-spacing: -.01em; }
p { margin: .25rem 0 1rem; color: var(--soft); }
nav { display: flex; flex-wrap: wrap; gap: .5rem; margin: 1.25rem 0 2rem; }
nav a {
  color: var(--accent); text-decoration: none; border: 1px solid var(--line);
  border-radius: 99px; padding: .15rem .85rem; background: var(--card);
}
section, footer {
  background: var(--card); border: 1px solid var(--line); border-radius: 14px;
  padding: 1.4rem 1.4rem .6rem; margin: 0 0 1.5rem;
}
table { width: 100%; border-collapse: collapse; margin: 0 0 1.25rem; }
thead th { font-weight: 500; font-size: .8rem; color: var(--soft); }
th, td { text-align: left; padding: .5rem .75rem .5rem 0; vertical-align: top; }
tbody tr { border-top: 1px solid var(--line); }
tbody th { font-weight: 500; width: 46%; }
th small {
  display: block; font-weight: 400; font-size: .8rem; line-height: 1.4; color: var(--soft);
}
td { font-variant-numeric: tabular-nums; font-size: .93rem; }
td.value { font-weight: 650; white-space: nowrap; }
td.good { color: var(--good); }
td.bad { color: var(--bad); }
td.good::after { content: " \\2713"; }
figure { margin: 0 0 1.25rem; }
img { display: block; width: 100%; height: auto; border-radius: 8px; }
img.pixels { image-rendering: pixelated; max-width: 34rem; margin: 0 auto; }
figcaption { font-size: .85rem; color: var(--soft); margin-top: .4rem; }
pre {
  margin: 0; padding: 1rem; border: 1px solid var(--line); border-radius: 8px;
  background: var(--page); white-space: pre-wrap; overflow-wrap: anywhere;
  font: .85rem/1.5 $monospace;
}
dl {
  display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 0 0 1rem;
  font-size: .88rem;
}
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 30rem) {
  body { padding: 1.5rem .75rem 3rem; }
  section, footer { padding: 1.1rem 1rem .4rem; border-radius: 10px; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .4rem; }
  thead { display: none; }
  tbody tr { display: grid; grid-template-columns: auto 1fr; padding: .5rem 0; }
  tbody th { grid-column: 1 / -1; width: auto; }
  tbody th, td { padding: .15rem .75rem .15rem 0; }
}
</style>
</head>
<body>
<header>
<h1>$title</h1>
<p>$lead</p>
$contents
</header>
<main>
$sections
</main>
<footer>
<h2>How this was made</h2>
$facts
</footer>
</body>
</html>
"""


def styled(page: str) -> Template:
    """A page with the $colors and faces of the house in place; its other $places are left."""
    return Template(Template(page).safe_substitute(colors=COLORS, sans=SANS, monospace=MONOSPACE))


PAGE = styled(_REPORT)
