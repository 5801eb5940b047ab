"""The page of a chapter: HTML and style sheet, with $places for its contents."""

from minigen.viz.page import styled

PAGE = styled("""\
<!doctype html>
<html lang="$language">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
$colors:root { --key: #8a3ffc; --text: #197a53; --number: #b3491b; --name: #1f5fd0; }
@media (prefers-color-scheme: dark) {
  :root { --key: #c3a6ff; --text: #7fd8ae; --number: #ffab7a; --name: #8fb6ff; }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body {
  margin: 0 auto; padding: 1.5rem 1.25rem 4rem; max-width: 54rem;
  background: var(--page); color: var(--ink); font: 17px/1.65 $sans;
}
.text:lang(zh), .facts:lang(zh) { line-height: 1.8; }
em:lang(zh) { font-style: normal; font-weight: 600; }
.text, header, figcaption, nav { max-width: 44rem; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
.way { display: flex; justify-content: space-between; gap: 1rem; font-size: .9rem; }
h1 { font-size: 2.1rem; line-height: 1.2; margin: 1.6rem 0 .6rem; letter-spacing: -.02em; }
h1:lang(zh), h2:lang(zh) { letter-spacing: 0; }
h2 { font-size: 1.4rem; line-height: 1.3; margin: 2.6rem 0 .6rem; letter-spacing: -.01em; }
p, ul, ol { margin: .7rem 0; }
.facts { color: var(--soft); font-size: .92rem; margin: .15rem 0; }
nav { margin: 1.4rem 0 0; border-left: 2px solid var(--line); padding-left: 1rem; }
nav ol { margin: 0; padding: 0; list-style: none; font-size: .92rem; columns: 17rem; }
nav ol + ol { margin-top: .8rem; }
code, pre { font-family: $monospace; }
code { font-size: .88em; overflow-wrap: anywhere; }
:not(pre) > code {
  background: var(--card); border: 1px solid var(--line); border-radius: 5px; padding: .05em .3em;
}
pre { margin: 0; padding: .9rem 1.1rem; overflow-x: auto; font-size: .8rem; line-height: 1.55; }
pre code { font-size: inherit; }
.cell, .text > pre, details {
  background: var(--card); border: 1px solid var(--line); border-radius: 10px; margin: 1rem 0;
  overflow: hidden;
}
.cell > pre + pre { border-top: 1px solid var(--line); }
.printed {
  background: var(--page); color: var(--soft); white-space: pre-wrap; overflow-wrap: anywhere;
}
.unbroken { white-space: nowrap; }
.note { font-size: .78rem; color: var(--soft); padding: .45rem 1.1rem 0; }
.note.good { color: var(--good); }
.note.good::before { content: "\\2713\\00a0"; }
details { margin-top: -.4rem; }
summary { cursor: pointer; padding: .5rem 1.1rem; color: var(--accent); font-size: .92rem; }
details[open] summary { border-bottom: 1px solid var(--line); }
figure { margin: 1.2rem 0; }
img {
  display: block; max-width: 100%; height: auto; margin: 0 auto; background: #fff;
  border: 1px solid var(--line); border-radius: 10px; padding: .5rem;
}
@media (prefers-color-scheme: dark) { img { filter: brightness(.9); } }
figcaption { font-size: .88rem; color: var(--soft); margin: .5rem auto 0; text-align: center; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .93rem; }
.text { overflow-x: auto; }
th { font-weight: 600; font-size: .85rem; color: var(--soft); }
th, td { text-align: left; padding: .4rem 1.4rem .4rem 0; vertical-align: top; }
tbody tr { border-top: 1px solid var(--line); }
blockquote { margin: 1rem 0; padding-left: 1rem; border-left: 2px solid var(--line); }
.formula { overflow-x: auto; overflow-y: hidden; padding: .35rem 0; margin: .7rem 0; }
math {
  font-family: "STIX Two Math", "Latin Modern Math", "Cambria Math", "DejaVu Math TeX Gyre", math;
}
mtd { padding: .25em .1em; }
mtd[columnalign="left"] { text-align: left; }
mtd[columnalign="right"] { text-align: right; }
.k, .kn, .kc, .ow, .kd { color: var(--key); }
.s1, .s2, .sd, .sa, .si, .se { color: var(--text); }
.c1 { color: var(--soft); font-style: italic; }
.mi, .mf, .mh { color: var(--number); }
.nf, .nc, .nd, .fm { color: var(--name); }
footer {
  margin-top: 3.5rem; padding-top: 1rem; border-top: 1px solid var(--line); font-size: .85rem;
  color: var(--soft);
}
.pair > [lang^="zh"] { color: var(--soft); }
.pair > [lang^="zh"] h2 { margin-top: .8rem; }
@media (min-width: 74rem) {
  body.both { max-width: 84rem; }
  .both .cell, .both details, .both figure { max-width: 54rem; }
  .pair { display: grid; grid-template-columns: 1fr 1fr; column-gap: 3rem; }
  .pair > [lang^="zh"] h2 { margin-top: 2.6rem; }
  .pair h1:lang(zh) { margin-top: 1.6rem; }
}
@media (max-width: 30rem) {
  body { padding: 1rem .8rem 3rem; font-size: 16px; }
  h1 { font-size: 1.7rem; }
  pre { padding: .7rem .8rem; }
}
@media print { .way { display: none; } .cell, figure { break-inside: avoid; } }
</style>
</head>
<body class="$kind">
$before
<main>
$content
</main>
<footer>
$after
</footer>
</body>
</html>
""")
