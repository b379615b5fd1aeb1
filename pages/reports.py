"""Frozen snapshots: made for a period, looked at, downloaded, shared by link, deleted and brought back."""

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from functools import partial

import streamlit as st

from core import auth, reports, runs, words
from core.pictures import pictures_available
from core.records import Project, Role, User
from core.store.reports import Report
from pages import ui

COLUMNS = 3
PERIODS = {  # days back from now; None: since the project began
    words.mark("Last 24 hours"): 1, words.mark("Last 7 days"): 7, words.mark("Last 30 days"): 30,
    words.mark("Last 90 days"): 90, words.mark("Everything"): None,
}  # fmt: skip
DOWNLOADS = {  # kind of file: label, media type
    reports.HTML: ("HTML", "text/html"),
    reports.PDF: ("PDF", "application/pdf"),
    reports.PNG: ("PNG", "image/png"),
}
_ = ui._


def maker(user: User, project: Project) -> None:
    """The form of the page's one primary action."""
    pictures = pictures_available()
    with ui.card(st, _("Make a report"), _("It freezes what is known now. Nothing that happens later changes it.")):
        with st.form("make", border=False):
            left, middle, right = st.columns([1, 1, 1], vertical_alignment="bottom")
            period = left.selectbox(_("Period"), list(PERIODS), index=1, format_func=_, key="period")
            spoken = middle.selectbox(
                _("Language"), list(words.LANGUAGES), index=list(words.LANGUAGES).index(ui.language()),
                format_func=words.LANGUAGES.__getitem__, key="spoken",
            )  # fmt: skip
            tell = False
            if ui.ctx().channels:
                tell = st.checkbox(_("Send it to the alert channels, with its picture"), key="tell")
            asked = right.form_submit_button(
                _("Make the report"), type="primary", icon=":material/add_photo_alternate:", width="stretch"
            )
        if not pictures.available:
            st.caption(f":material/image_not_supported: {_(pictures.sentence)}")
    if asked:
        now = datetime.now(UTC)
        days = PERIODS[period]
        since = project.created_at if days is None else now - timedelta(days=days)
        with ui.told():
            st.session_state["report_run"] = reports.request(
                ui.ctx(), user, project, since=since, until=now, language=spoken, tell=tell, now=now
            )


def under_way() -> None:
    """How the report that was asked for last stands; the gallery shows it when it is made."""
    run = st.session_state.get("report_run")
    if run is None:
        return
    with ui.told():
        progress(run)


@st.fragment(run_every="1s")
def progress(run: int) -> None:
    state = runs.get(ui.ctx(), run)
    if state.finished_at is None:
        ui.run_progress(run)
        return
    st.session_state.pop("report_run", None)
    st.session_state["report_said"] = (state.outcome == "ok", state.message)
    st.rerun()


def gallery(user: User, project: Project) -> None:
    made = reports.latest(ui.ctx(), project.id)
    if not made:
        with st.container(border=True):
            st.markdown(f":material/photo_library: **{_('No report yet.')}**")
            what = _("A report is a picture for slides, a PDF for mail and one HTML file that opens anywhere, all of the"
                     " same frozen moment.")  # fmt: skip
            how = (
                _("Make the first one above, or resume the weekly report on Automation.")
                if auth.has(ui.ctx(), user, Role.OPERATOR)
                else _("An operator can make one.")
            )
            st.caption(f"{what} {how}")
        return
    for first in range(0, len(made), COLUMNS):
        for place, report in zip(st.columns(COLUMNS, gap="small"), made[first : first + COLUMNS], strict=False):
            with place.container(border=True, height="stretch", gap="small"):
                card(user, report)


def card(user: User, report: Report) -> None:
    """One report: its picture, what it says, and what one can do with it."""
    if reports.THUMBNAIL in report.files:
        with ui.told():
            st.image(
                reports.read(ui.ctx(), user, report.id, reports.THUMBNAIL), width="stretch",
                alt=_("Picture of the report: {title}", title=report.title),
            )  # fmt: skip
    else:
        st.caption(f":material/image_not_supported: {_('Made without pictures: no browser was there to take them.')}")
    st.markdown(f"**{ui.md(report.title)}**")
    lasts = f"{words.day(report.since, ui.language())} – {words.day(report.until, ui.language())}"
    st.caption(
        _("{period} · {spoken} · made by {who}, {ago}", period=lasts, spoken=words.LANGUAGES[report.language],
          who=ui.md(report.made_by), ago=ui.ago(report.made_at))
    )  # fmt: skip
    with st.container(horizontal=True, gap="small"):
        if st.button(_("Read"), key=f"read-{report.id}", icon=":material/article:"):
            reading(user, report)
        for kind, (label, media) in DOWNLOADS.items():
            if kind in report.files:
                st.download_button(
                    label, partial(reports.read, ui.ctx(), user, report.id, kind),
                    file_name=f"{report.project}-{report.until:%Y-%m-%d}-{report.id}.{kind}", mime=media,
                    key=f"{kind}-{report.id}", on_click="ignore",
                    help=_("Download as {kind}", kind=label),
                )  # fmt: skip
        if auth.has(ui.ctx(), user, Role.ADMIN):
            with st.popover(_("Share"), icon=":material/link:"):
                sharing(user, report)
        if auth.has(ui.ctx(), user, Role.OPERATOR) and st.button(
            _("Delete"), key=f"delete-{report.id}", help=_("It can be undone."), type="tertiary"
        ):
            with ui.told():
                reports.delete(ui.ctx(), user, report.id, datetime.now(UTC))
                st.session_state["report_deleted"] = (report.id, report.title)
                st.rerun()


@st.dialog(_("Report"), width="large")
def reading(user: User, report: Report) -> None:
    """The whole report. As a data address it has an origin of its own, besides allowing itself no script."""
    with ui.told():
        document = b64encode(reports.read(ui.ctx(), user, report.id, reports.HTML)).decode()
        st.iframe(f"data:text/html;charset=utf-8;base64,{document}", height=640, alt=report.title)


def sharing(user: User, report: Report) -> None:
    """Links that open the report for anyone who has them."""
    now = datetime.now(UTC)
    if not ui.ctx().settings.share_reports:
        st.caption(_("Sharing by link is off. CONTINUAL_SHARE_REPORTS=true in the environment or .env allows it."))
        return
    st.caption(_("Whoever has the link can read this report without signing in, until it expires or is revoked."))
    days = st.number_input(_("Days until it expires"), 1, reports.LONGEST_SHARE.days, 7, key=f"days-{report.id}")
    if st.button(_("Make a link"), icon=":material/add_link:", key=f"share-{report.id}"):
        with ui.told():
            secret = reports.share(ui.ctx(), user, report.id, lasts=timedelta(days=int(days)), now=now)
            st.session_state["report_link"] = f"{ui.base_url().rstrip('/')}/share/{secret}"
            st.rerun()  # the page's head shows it: a popover may close by itself
    for link in reports.links(ui.ctx(), user, report.id, now):
        line = st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute")
        line.caption(
            _("Made by {who}; expires {day}", who=ui.md(link.made_by), day=words.day(link.expires_at, ui.language()))
        )
        if line.button(_("Revoke"), key=f"revoke-{link.sha256[:16]}", type="tertiary"):
            with ui.told():
                reports.revoke(ui.ctx(), user, link.sha256, now)
                st.rerun()


def news(user: User) -> None:
    """What just happened: a new link, to be copied; how a run ended; what was deleted, with the way back."""
    if link := st.session_state.get("report_link"):
        with st.container(border=True):
            st.markdown(f":material/link: **{_('Copy the link now: it is shown this once and kept nowhere.')}**")
            st.code(link, language=None, wrap_lines=True)
            if st.button(_("I have copied it"), key="copied"):
                st.session_state.pop("report_link")
                st.rerun()
    if said := st.session_state.pop("report_said", None):
        fine, message = said
        (st.success if fine else st.error)(ui.md(message))
    if deleted := st.session_state.get("report_deleted"):
        report, title = deleted
        line = st.container(horizontal=True, vertical_alignment="center", border=True)
        line.markdown(_("Deleted: {title}", title=ui.md(title)), width="content")
        if line.button(_("Undo"), icon=":material/undo:", key="undo"):
            with ui.told():
                reports.restore(ui.ctx(), user, report, datetime.now(UTC))
            st.session_state.pop("report_deleted")
            st.rerun()


user = ui.require(Role.VIEWER)
project = ui.project()
ui.page_head(_("Reports"), _("Frozen moments, to show and to send"))
if project is None:
    ui.no_project()
    st.stop()
if auth.has(ui.ctx(), user, Role.OPERATOR):
    maker(user, project)
    under_way()
news(user)
gallery(user, project)
