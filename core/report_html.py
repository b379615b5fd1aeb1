"""A snapshot as one HTML file that needs nothing else: no script, no request, its font and drawings inside.

`page` is for reading (phone to wide screen, light and dark, printed as PDF), `slide` is a 1600 x 900 card whose
photograph goes into slides and chats. Everything that is data is escaped; the file forbids itself to load anything.
"""

from base64 import b64encode
from functools import cache, partial
from html import escape
from pathlib import Path

from core.performance import label
from core.records import Action, Comparison
from core.report_charts import LARGEST, heatmap, quality, score_text
from core.report_words import (
    Tile,
    acts,
    badge,
    headline,
    next_steps,
    period,
    quality_note,
    shortly,
    signature,
    tiles,
    told,
    verdict,
)
from core.snapshot import MOST_DECISIONS, Moment, Snapshot
from core.words import number, say, short_when, when

FONT = Path(__file__).parent.parent / "pages" / "static" / "inter-latin.woff2"
SLIDE = (1600, 900)
MOST_LISTED = 30  # decisions
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; font-src data:; img-src data:; base-uri 'none'; form-action 'none'"
)

LIGHT = """--paper:#fff;--card:#fff;--soft:#f4f5f8;--ink:#0f172a;--dim:#4a5568;--edge:#e1e5ec;--line:#3b5bdb;
--band:rgba(59,91,219,.17);--grid:#e4e8ee;--sign:#57627a;--green:#05543c;--greenbg:#e6f6f0;--orange:#8a3503;
--orangebg:#fff1e6;--red:#8e1b45;--redbg:#fdecf1;--blue:#2a41a6;--bluebg:#ecf0ff;--gray:#4a5568;--graybg:#eef1f5;
--h0:#eef0f4;--h1:#dde1e8;--h2:#fbd9a5;--h3:#f6a94b;--h4:#df7414;--h5:#8f3606"""
DARK = """--paper:#0e141c;--card:#131b26;--soft:#18212d;--ink:#e7ecf3;--dim:#b4bfce;--edge:#273241;--line:#7c9bff;
--band:rgba(124,155,255,.22);--grid:#232e3c;--sign:#94a3b8;--green:#7ff0dd;--greenbg:#0f2e29;--orange:#ffb27a;
--orangebg:#35210f;--red:#ffa9c3;--redbg:#3a1826;--blue:#a9baff;--bluebg:#1a2547;--gray:#b4bfce;--graybg:#1f2936;
--h0:#202b39;--h1:#2e3b4d;--h2:#6b4a1c;--h3:#a8651c;--h4:#e08a2a;--h5:#ffc98f"""

COMMON = """
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font-family:Inter,system-ui,sans-serif;line-height:1.5;
-webkit-text-size-adjust:100%;font-feature-settings:"tnum";overflow-wrap:anywhere}
h1,h2,p,ol,ul,dl,dd,figure{margin:0;padding:0}h1,h2{line-height:1.2;letter-spacing:-.012em}
.badge{display:inline-block;border-radius:.45em;padding:.08em .55em;font-weight:600;font-size:.86em;white-space:nowrap}
.green{color:var(--green);background:var(--greenbg)}.orange{color:var(--orange);background:var(--orangebg)}
.red{color:var(--red);background:var(--redbg)}.blue{color:var(--blue);background:var(--bluebg)}
.gray{color:var(--gray);background:var(--graybg)}
.dim{color:var(--dim)}.card{background:var(--card);border:1px solid var(--edge)}
svg{display:block;width:100%;height:auto;font-family:inherit;overflow:visible}
svg text{fill:var(--dim)}svg .label{fill:var(--ink)}svg .faint{opacity:.85}
.grid{stroke:var(--grid)}.band{fill:var(--band)}.line{fill:none;stroke:var(--line);stroke-width:2.4;stroke-linejoin:round}
.dot{fill:var(--line);stroke:var(--line);stroke-width:1.4}.hollow{fill:var(--card)}
.event{stroke:var(--sign);stroke-dasharray:2 4;opacity:.65}.sign{fill:var(--sign)}
.cross{stroke:var(--sign);stroke-width:2.6;fill:none}
.h0{fill:var(--h0)}.h1{fill:var(--h1)}.h2{fill:var(--h2)}.h3{fill:var(--h3)}.h4{fill:var(--h4)}.h5{fill:var(--h5)}
.key{display:flex;flex-wrap:wrap;gap:.25em 1em;align-items:center}.key span{display:inline-flex;align-items:center;gap:.4em}
.key i{width:1.15em;height:.8em;border-radius:.2em;display:inline-block}
.k0{background:var(--h0)}.k1{background:var(--h1)}.k2{background:var(--h2)}.k3{background:var(--h3)}.k4{background:var(--h4)}
.k5{background:var(--h5)}.key i.none{border:1px dashed var(--sign)}
"""

PAGE = """
body{font-size:16px}main{max-width:1080px;margin:0 auto;padding:40px 28px 32px}
header h1{font-size:30px;font-weight:680}header p{margin-top:6px;color:var(--dim)}
section,.verdict{margin-top:18px}.card{border-radius:12px;padding:20px 22px}
.verdict .badge{margin-right:8px}h2{font-size:17px;font-weight:640}h2+p,h2+.key{color:var(--dim);font-size:14px;margin-top:3px}
.tiles{display:grid;grid-template-columns:repeat(5,1fr);gap:12px;margin-top:18px}
.tile{padding:14px 16px}.tile dt{color:var(--dim);font-size:13.5px}.tile dd.value{font-size:25px;font-weight:640;line-height:1.25}
.tile dd.note{color:var(--dim);font-size:13px;line-height:1.35}
.small{font-size:13px;margin-top:8px}figure{margin-top:14px}.narrow{display:none}
ol{list-style:none;margin-top:6px}ol li{padding:12px 0;border-top:1px solid var(--edge)}ol li:first-child{border-top:0}
ol .meta{color:var(--dim);font-size:13.5px;margin-left:6px}ol p{margin-top:4px}ol p.dim{font-size:14px}
ul{margin-top:8px;padding-left:20px}ul li{margin-top:4px}
details{margin-top:14px;font-size:14px}summary{cursor:pointer;color:var(--dim)}
table{border-collapse:collapse;margin-top:8px;width:100%}th,td{text-align:right;padding:4px 10px;border-bottom:1px solid var(--edge)}
th{color:var(--dim);font-weight:500}th:first-child,td:first-child{text-align:left}.scroll{overflow-x:auto}
footer{margin-top:22px;color:var(--dim);font-size:13.5px;display:flex;flex-wrap:wrap;gap:4px 24px;justify-content:space-between}
@media(max-width:820px){.tiles{grid-template-columns:repeat(2,1fr)}.tile:first-child{grid-column:1/-1}}
@media(max-width:620px){main{padding:24px 14px}.card{padding:16px}header h1{font-size:24px}.wide{display:none}.narrow{display:block}}
@page{size:A4;margin:13mm 12mm}
@media print{body{font-size:12.5px}main{max-width:none;padding:0 1px}h2,h2+p{break-after:avoid}ol li:first-child{break-before:avoid}.wide{display:block}.narrow,details{display:none}
.card{break-inside:avoid}ol.card,section.long{break-inside:auto}li{break-inside:avoid}.tiles{grid-template-columns:repeat(5,1fr);gap:8px}
.tile:first-child{grid-column:auto}.tile{padding:10px 11px}.tile dt,.tile dd.note{font-size:10.5px}.tile dd.value{font-size:18px}
header h1{font-size:23px}h2{font-size:14px}h2+p,h2+.key,.small,footer,ol .meta,ol p.dim{font-size:11px}section,.verdict,.tiles{margin-top:12px}
.card{padding:13px 15px}*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
"""

SLIDE_STYLE = """
html,body{width:1600px;height:900px;overflow:hidden}main{height:900px;padding:44px 56px 34px;display:flex;flex-direction:column;gap:20px}
header{display:flex;justify-content:space-between;align-items:flex-start;gap:40px}
h1{font-size:45px;font-weight:690;display:-webkit-box;-webkit-line-clamp:2;-webkit-box-orient:vertical;overflow:hidden}
header p{font-size:24px;color:var(--dim);margin-top:8px;white-space:nowrap;overflow:hidden;text-overflow:ellipsis;max-width:1180px}
header .badge{font-size:27px;padding:.22em .7em;margin-top:6px}
.card{border-radius:16px}.tiles{display:grid;grid-template-columns:repeat(5,1fr);gap:16px}
.tile{padding:14px 22px 15px}.tile dt{font-size:21px;color:var(--dim)}
.tile dd.value{font-size:43px;font-weight:660;line-height:1.18;white-space:nowrap}
.tile dd.note{font-size:18.5px;color:var(--dim);line-height:1.3;display:-webkit-box;-webkit-line-clamp:2;-webkit-box-orient:vertical;overflow:hidden}
.charts{display:flex;gap:16px;flex:1;min-height:0}.charts .card{padding:18px 24px 10px;overflow:hidden}
.charts .card:first-child{flex:1}.charts .card+.card{width:520px}
h2{font-size:25px;font-weight:650;display:flex;justify-content:space-between;align-items:baseline;gap:16px}
h2{white-space:nowrap}h2 .key{flex-wrap:nowrap;font-size:16px;gap:0 .8em}
h2 small{font-size:18px;overflow:hidden;text-overflow:ellipsis;font-weight:400;letter-spacing:0;color:var(--dim)}figure{margin-top:8px}.empty{font-size:22px;color:var(--dim);margin-top:14px}
.why{background:var(--soft);border-radius:16px;padding:14px 24px;font-size:22px;line-height:1.36}
.why p{display:-webkit-box;-webkit-line-clamp:2;-webkit-box-orient:vertical;overflow:hidden}.why p+p{margin-top:5px}
footer{display:flex;justify-content:space-between;font-size:19px;color:var(--dim);gap:40px;white-space:nowrap}
footer span{overflow:hidden;text-overflow:ellipsis}.line{stroke-width:3.4}
"""


# ---- documents -------------------------------------------------------------------------------------------------------
def page(snapshot: Snapshot, language: str = "en") -> str:
    """The report to read."""
    _ = partial(say, language=language)
    parts = [
        f"<header><h1>{escape(headline(snapshot, language))}</h1><p>{escape(_subtitle(snapshot, language))}</p></header>",
        f'<div class="card verdict">{_badge(snapshot.state, language)}{escape(verdict(snapshot, language))}</div>',
        f'<dl class="tiles">{"".join(_tile(tile) for tile in tiles(snapshot, language))}</dl>',
        _quality(snapshot, language),
        _drift(snapshot, language),
        _decisions(snapshot, language),
        _section(
            _("What happens next?"),
            f"<ul>{''.join(f'<li>{escape(step)}</li>' for step in next_steps(snapshot, language))}</ul>",
        ),
        f"<footer><span>{escape(signature(snapshot, language))}. {escape(_('Frozen: nothing that happens later changes it.'))}"
        f"</span><span>Continual ML{' · ' + escape(snapshot.url) if snapshot.url else ''}</span></footer>",
    ]
    style = f":root{{color-scheme:light dark;{LIGHT}}}@media screen and (prefers-color-scheme:dark){{:root{{{DARK}}}}}{PAGE}"
    return _document(headline(snapshot, language), style, "".join(parts), language)


def slide(snapshot: Snapshot, language: str = "en") -> str:
    """The report as a card of exactly `SLIDE` pixels, in large letters."""
    _ = partial(say, language=language)
    line = quality(snapshot, language, width=904, height=226, size=18)
    cells = heatmap(snapshot, language, width=472, size=18, most=6)
    nothing = _("Nothing was judged in this period.")
    band = _("{metric} and its 95 % interval", metric=_(label(snapshot.metric)))
    key = "".join(
        f'<span><i class="k{i}"></i>{escape(text)}</span>' for i, text in ((2, _("past limit")), (5, _("twice")))
    )
    parts = [
        f"<header><div><h1>{escape(headline(snapshot, language))}</h1><p>{escape(_subtitle(snapshot, language))}</p></div>"
        f"{_badge(snapshot.state, language)}</header>",
        f'<dl class="tiles">{"".join(_tile(tile) for tile in tiles(snapshot, language))}</dl>',
        '<div class="charts">'
        f'<div class="card"><h2>{escape(_("Is the model still good?"))}<small>{escape(band)}</small></h2>'
        f"{_figure(line, nothing)}</div>"
        f'<div class="card"><h2>{escape(_("Which features moved?"))}<small class="key">{key}</small></h2>'
        f"{_figure(cells, nothing)}</div></div>",
        f'<div class="why">{_why(snapshot, language)}</div>',
        f"<footer><span>{escape(signature(snapshot, language))}</span>"
        f"<span>Continual ML{' · ' + escape(snapshot.url) if snapshot.url else ''}</span></footer>",
    ]
    style = f":root{{color-scheme:light;{LIGHT}}}{SLIDE_STYLE}"
    return _document(headline(snapshot, language), style, "".join(parts), language)


def _why(snapshot: Snapshot, language: str) -> str:
    """The verdict, and the newest thing that was done with its reason, in whole sentences and three lines at most."""
    done = next(iter(acts(snapshot)), None)
    lines = [f"<p>{escape(shortly(verdict(snapshot, language), 200 if done else 310))}</p>"]
    if done and done[0] != snapshot.state:
        moment, cause = done
        text = f"{short_when(moment.at, language)}. {shortly(told(cause or moment, language), 200)}"
        lines.append(f"<p>{_badge(moment, language)} {escape(text)}</p>")
    return "".join(lines)


def _document(title: str, style: str, body: str, language: str) -> str:
    face = (
        f"@font-face{{font-family:Inter;src:url(data:font/woff2;base64,{_font()}) format('woff2');font-weight:100 900}}"
    )
    return (
        f'<!doctype html><html lang="{escape(language)}"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="referrer" content="no-referrer">'
        f"<title>{escape(title)}</title><style>{face}{COMMON}{style}</style></head><body><main>{body}</main></body></html>"
    )


@cache
def _font() -> str:
    return b64encode(FONT.read_bytes()).decode()


# ---- parts -----------------------------------------------------------------------------------------------------------
def _subtitle(snapshot: Snapshot, language: str) -> str:
    champion = f"v{snapshot.champion}" if snapshot.champion else say("no champion yet", language)
    return f"{snapshot.name} · {period(snapshot, language)} · {champion}"


def _badge(moment: Moment | None, language: str) -> str:
    tone, word = badge(moment, language)
    return f'<span class="badge {tone}">{escape(word)}</span>'


def _tile(tile: Tile) -> str:
    return (
        f'<div class="card tile"><dt>{escape(tile.label)}</dt><dd class="value">{escape(tile.value)}</dd>'
        f'<dd class="note">{escape(tile.note)}</dd></div>'
    )


def _section(title: str, body: str, *, note: str = "", kind: str = "") -> str:
    told = f"<p>{escape(note)}</p>" if note else ""
    return f'<section class="card {kind}"><h2>{escape(title)}</h2>{told}{body}</section>'


def _figure(svg: str, otherwise: str) -> str:
    return f"<figure>{svg}</figure>" if svg else f'<p class="empty dim">{escape(otherwise)}</p>'


def _quality(snapshot: Snapshot, language: str) -> str:
    _ = partial(say, language=language)
    title = _("Is the model still good?")
    if not snapshot.scores:
        return _section(title, _figure("", _("No window was scored in this period: its labels have not come.")))
    note = quality_note(snapshot, language)
    if len(snapshot.scores) < snapshot.windows:
        note += ". " + _("The newest {shown} of {all} windows", shown=len(snapshot.scores), all=snapshot.windows)
    wide = quality(snapshot, language, width=990, height=300)
    narrow = quality(snapshot, language, width=360, height=250, size=12)
    legend = _(
        "Hollow: labels are missing. Triangle up: promoted; cross: held; triangle down: rolled back; diamond: alert."
    )
    body = (
        f'<figure><div class="wide">{wide}</div><div class="narrow">{narrow}</div></figure>'
        f'<p class="dim small">{escape(legend)}</p>{_table(snapshot, language)}'
    )
    return _section(title, body, note=note)


def _table(snapshot: Snapshot, language: str) -> str:
    """The numbers behind the line."""
    _ = partial(say, language=language)
    heads = (
        _("Window"),
        _("Measured"),
        _(label(snapshot.metric)),
        _("95 % interval"),
        _("Labelled rows"),
        _("Labels in"),
    )
    rows = [
        (
            str(p.window), when(p.measured_at, language), score_text(p.value, language),
            _("{low} to {high}", low=score_text(p.low, language), high=score_text(p.high, language)),
            number(p.rows, language), _("{share:.0%}", share=p.maturity),
        )
        for p in reversed(snapshot.scores)
    ]  # fmt: skip
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in rows)
    return (
        f'<details><summary>{escape(_("The numbers"))}</summary><div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div></details>"
    )


def _drift(snapshot: Snapshot, language: str) -> str:
    _ = partial(say, language=language)
    title, heat = _("Which features moved?"), snapshot.heat
    if not heat.features:
        return _section(title, _figure("", _("No drift check judged a window in this period, so this is unknown.")))
    few = len(heat.features) < snapshot.features
    note = _("Largest drift score of each feature against its limit, by window")
    if few:
        note += ". " + _("The {shown} that moved most of {all}", shown=len(heat.features), all=snapshot.features)
    wide = heatmap(snapshot, language, width=990)
    narrow = heatmap(snapshot, language, width=360, size=11)
    keys = [_("calm"), _("near its limit"), _("past it"), _("1.3 times"), _("1.6 times"), _("twice and more")]
    legend = "".join(f'<span><i class="k{i}"></i>{escape(text)}</span>' for i, text in enumerate(keys))
    legend += f'<span><i class="none"></i>{escape(_("not judged"))}</span>'
    return _section(
        title,
        f'<figure><div class="wide">{wide}</div><div class="narrow">{narrow}</div></figure>'
        f'<div class="key dim small">{legend}</div>',
        note=note,
    )


def _decisions(snapshot: Snapshot, language: str) -> str:
    _ = partial(say, language=language)
    title = _("What did it do, and why?")
    quiet = snapshot.count(Action.WAIT, Action.NOTHING)
    note = _("{quiet} checks found nothing to do.", quiet=number(quiet, language))
    more = snapshot.count(*(action for action in Action if action not in (Action.WAIT, Action.NOTHING)))
    if more > MOST_DECISIONS or len(acts(snapshot)) > MOST_LISTED:
        note += " " + _("The newest {shown} are listed.", shown=MOST_LISTED)
    if not snapshot.decisions:
        return _section(title, "", note=note)
    listed = "".join(_decision(moment, cause, language) for moment, cause in acts(snapshot)[:MOST_LISTED])
    return _section(title, f"<ol>{listed}</ol>", note=note, kind="long")


def _decision(moment: Moment, cause: Moment | None, language: str) -> str:
    at = f"#{moment.id} · {when(moment.at, language)}"
    if moment.window is not None:
        at += " · " + say("window {window}", language, window=moment.window)
    paired = f'<p class="dim">{escape(_paired(moment.comparison, language))}</p>' if moment.comparison else ""
    why = f"<p>{escape(told(cause, language))}</p>" if cause else ""
    return (
        f'<li>{_badge(moment, language)}<span class="meta">{escape(at)}</span>'
        f"{why}<p>{escape(told(moment, language))}</p>{paired}</li>"
    )


def _paired(comparison: Comparison, language: str) -> str:
    """Both on the same rows. A bound that chance leaves open is as good as infinite, and is not written."""
    _, scale = partial(say, language=language), comparison.champion
    told = _(
        "Loss on the same {rows} rows: champion {champion}, challenger {challenger}; gain {gain}.",
        rows=number(comparison.rows, language), champion=score_text(scale, language),
        challenger=score_text(comparison.challenger, language, like=scale),
        gain=score_text(comparison.gain, language, like=scale),
    )  # fmt: skip
    if max(abs(comparison.low), abs(comparison.high)) > LARGEST:
        return told
    low, high = (score_text(bound, language, like=scale) for bound in (comparison.low, comparison.high))
    return told + " " + _("Interval of the gain: {low} to {high}.", low=low, high=high)
