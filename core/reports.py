"""Reports: what a project did over a period, frozen into files one can download, print, send and share."""

import hashlib
import secrets
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from loguru import logger

from core import alerting, auth, performance, projects, runs
from core.context import Context
from core.errors import InvalidInput, NotFound, PicturesOff
from core.evidence import Memory
from core.pictures import photograph
from core.policy import Approval
from core.records import Action, Alert, Project, Reason, Role, Severity, User
from core.report_html import SLIDE, page, slide
from core.report_words import headline
from core.snapshot import MOST_DECISIONS, MOST_POINTS, Coming, Moment, Snapshot, heat, points
from core.store import audit, decisions, labels, models, performances, predictions, reports, rows, users
from core.store.codec import dump
from core.store.decisions import Entry
from core.store.reports import Link, Report
from core.words import LANGUAGES

SNAPSHOT, HTML, PNG, THUMBNAIL, PDF = "snapshot", "html", "png", "thumbnail", "pdf"
NAMES = {
    SNAPSHOT: "snapshot.json",
    HTML: "report.html",
    PNG: "report.png",
    THUMBNAIL: "thumbnail.png",
    PDF: "report.pdf",
}
DELETED_KEPT = timedelta(days=30)
LONGEST_SHARE = timedelta(days=90)
WEEK = timedelta(days=7)
JUDGED = tuple(action for action in Action if action is not Action.WAIT)
DID = tuple(action for action in Action if action not in (Action.WAIT, Action.NOTHING))


# ---- making ----------------------------------------------------------------------------------------------------------
def request(
    ctx: Context, user: User, project: Project, *, since: datetime, until: datetime, language: str, tell: bool = False,
    now: datetime,
) -> int:  # fmt: skip
    """Make a report in the background; returns the run to watch. ``tell`` sends its picture to the alert channels."""
    _check(since, until, language)
    arguments = {"since": since.isoformat(), "until": until.isoformat(), "language": language, "tell": tell}
    return runs.request(ctx, user, "report", project.id, arguments, now=now)


def make(
    ctx: Context, user: User, project: Project, *, since: datetime, until: datetime, language: str, tell: bool = False,
    now: datetime, progress: Callable[[str], None],
) -> str:  # fmt: skip
    """Freeze the period and write the report's files; returns what was made, in a sentence.

    Where no picture can be taken, the HTML is made all the same, and the sentence says why. Raises InvalidInput.
    """
    auth.require(ctx, user, Role.OPERATOR)
    _check(since, until, language)
    progress("gathering the figures")
    snapshot = freeze(ctx, project, since, until, made_by=user.display or user.name, now=now)
    title = headline(snapshot, language)
    contents = {SNAPSHOT: dump(snapshot).encode(), HTML: page(snapshot, language).encode()}
    progress("taking the pictures")
    lacking = ""
    try:
        shots = photograph(slide(snapshot, language), page(snapshot, language), size=SLIDE)
        contents |= {PNG: shots.png, THUMBNAIL: shots.thumbnail, PDF: shots.pdf}
    except PicturesOff as error:
        lacking = f". Without pictures: {error}"
        logger.warning("report of {} made without pictures: {}", project.id, error)
    with ctx.database.write() as con:
        number = reports.next_id(con)
    folder = _folder(ctx, number)
    folder.mkdir(parents=True)
    for kind, content in contents.items():
        (folder / NAMES[kind]).write_bytes(content)
    files = {kind: NAMES[kind] for kind in contents}
    with ctx.database.write() as con:
        reports.insert(con, Report(number, project.id, now, user.name, since, until, language, title, files))
        if tell:
            reason = Reason("report_made", {"title": title, "report": number})
            alerting.raise_alert(con, Alert(now, Severity.INFO, reason, project.id))
    return f"Report {number}: {title}{lacking}"


def anything_judged(ctx: Context, project: str, since: datetime, until: datetime) -> bool:
    """Whether a report of this period would have something to tell."""
    with ctx.database.read() as con:
        return any(decisions.counts_during(con, project, since, until).get(action, 0) for action in JUDGED)


def house_language(ctx: Context) -> str:
    """The language of what nobody in particular asked for: that of the first administrator who chose one."""
    with ctx.database.read() as con:
        chosen = users.language_of_admins(con)
    return chosen if chosen in LANGUAGES else "en"


def _check(since: datetime, until: datetime, language: str) -> None:
    if language not in LANGUAGES:
        raise InvalidInput(f"There is no language {language!r}. Choose one of: {', '.join(LANGUAGES)}")
    if not since < until:
        raise InvalidInput(
            f"The period begins at {since:%Y-%m-%d %H:%M} and ends at {until:%Y-%m-%d %H:%M}: let it begin before it ends"
        )


# ---- keeping ---------------------------------------------------------------------------------------------------------
def latest(ctx: Context, project: str, *, limit: int = 60) -> list[Report]:
    """The newest reports of the project first."""
    with ctx.database.read() as con:
        return reports.latest(con, project, limit=limit)


def get(ctx: Context, report: int) -> Report:
    """The report. Raises NotFound, also for a deleted one."""
    with ctx.database.read() as con:
        found = reports.get(con, report)
    if found is None or found.deleted_at is not None:
        raise NotFound(f"There is no report {report}. It may have been deleted")
    return found


def read(ctx: Context, user: User, report: int, kind: str) -> bytes:
    """One file of the report: html, png, thumbnail or pdf. Raises NotFound when it was made without."""
    auth.require(ctx, user, Role.VIEWER)
    found = get(ctx, report)
    if kind not in found.files:
        raise NotFound(f"Report {report} was made without {kind}. Make it again where a browser is installed")
    return _content(ctx, found, kind)


def delete(ctx: Context, user: User, report: int, now: datetime) -> None:
    """Put the report away: its links end at once; `restore` brings it back for a month."""
    auth.require(ctx, user, Role.OPERATOR)
    get(ctx, report)
    with ctx.database.write() as con:
        reports.set_deleted(con, report, now)
        audit.insert(con, user.name, "report_deleted", str(report), now)


def restore(ctx: Context, user: User, report: int, now: datetime) -> None:
    """Take a deletion back, links included. Raises NotFound when its files are gone."""
    auth.require(ctx, user, Role.OPERATOR)
    with ctx.database.write() as con:
        if reports.get(con, report) is None:
            raise NotFound(f"Report {report} is gone: what was deleted is kept for {DELETED_KEPT.days} days")
        reports.set_deleted(con, report, None)
        audit.insert(con, user.name, "report_restored", str(report), now)


def prune(ctx: Context, now: datetime) -> int:
    """Remove what was deleted a month ago, files first; returns how many reports."""
    with ctx.database.read() as con:
        gone = reports.deleted_before(con, now - DELETED_KEPT)
    for report in gone:
        shutil.rmtree(_folder(ctx, report), ignore_errors=True)
        with ctx.database.write() as con:
            reports.forget(con, report)
    return len(gone)


# ---- sharing ---------------------------------------------------------------------------------------------------------
def share(ctx: Context, user: User, report: int, *, lasts: timedelta, now: datetime) -> str:
    """A new link under which anyone can read the report until it expires; returns its secret, which is shown only now.

    Raises InvalidInput when sharing is off, or for a link that would last too long.
    """
    auth.require(ctx, user, Role.ADMIN)
    if not ctx.settings.share_reports:
        raise InvalidInput("Sharing by link is off. Set CONTINUAL_SHARE_REPORTS=true in the environment or .env, and restart")  # fmt: skip
    if not timedelta(0) < lasts <= LONGEST_SHARE:
        raise InvalidInput(f"A link that lasts {lasts.days} days: take 1 to {LONGEST_SHARE.days}")
    get(ctx, report)
    secret = secrets.token_urlsafe(32)
    with ctx.database.write() as con:
        reports.insert_link(con, Link(_sha256(secret), report, now, user.name, now + lasts))
        audit.insert(con, user.name, "report_shared", str(report), now, until=f"{now + lasts:%Y-%m-%d %H:%M} UTC")
    return secret


def links(ctx: Context, user: User, report: int, now: datetime) -> list[Link]:
    """The links of the report that open it now, the newest first."""
    auth.require(ctx, user, Role.ADMIN)
    with ctx.database.read() as con:
        return [link for link in reports.links(con, report) if _opens(link, now)]


def revoke(ctx: Context, user: User, sha256: str, now: datetime) -> None:
    """End the link now, for everyone who has it."""
    auth.require(ctx, user, Role.ADMIN)
    with ctx.database.write() as con:
        link = reports.link(con, sha256)
        if link is None:
            raise NotFound("There is no such link. It may have been removed with its report")
        reports.revoke(con, sha256, now)
        audit.insert(con, user.name, "report_link_revoked", str(link.report), now)


def shared(ctx: Context, secret: str, now: datetime) -> bytes | None:
    """The HTML that this secret opens; None when it opens nothing, whatever the cause."""
    if not ctx.settings.share_reports:
        return None
    with ctx.database.read() as con:
        link = reports.link(con, _sha256(secret))
    if link is None or not _opens(link, now):
        return None
    try:
        return _content(ctx, get(ctx, link.report), HTML)
    except NotFound:
        return None


def _opens(link: Link, now: datetime) -> bool:
    return link.revoked_at is None and link.made_at <= now < link.expires_at


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _folder(ctx: Context, report: int) -> Path:
    return ctx.settings.reports_dir / str(report)


def _content(ctx: Context, report: Report, kind: str) -> bytes:
    try:
        return (_folder(ctx, report.id) / report.files[kind]).read_bytes()
    except FileNotFoundError:
        raise NotFound(f"The {kind} of report {report.id} is gone from the data directory. Make the report again") from None  # fmt: skip


# ---- freezing --------------------------------------------------------------------------------------------------------
def freeze(
    ctx: Context, project: Project, since: datetime, until: datetime, *, made_by: str, now: datetime
) -> Snapshot:
    """The project's figures and reasons over ``[since, until)``, as they were known at its end.

    What happens next is told as of ``now``.
    """
    period = project.id, since, until
    metric = performance.headline(project.schema)
    with ctx.database.read() as con:
        scores = performances.during(con, *period, windows=MOST_POINTS)
        drift = decisions.scores_during(con, *period)
        state = decisions.during(con, *period, actions=JUDGED, limit=1)
        did = decisions.during(con, *period, actions=DID, limit=MOST_DECISIONS)
        reign = models.reign(con, project.id, as_of=until)
        return Snapshot(
            project.id, project.name, since, until, now, made_by, metric, len(project.schema.names),
            _moment(state[0]) if state else None,
            reign.version if reign else None, reign.began_at if reign else None,
            points(scores, metric), performances.count_during(con, *period), heat(drift, project.schema.names),
            predictions.count_during(con, *period), rows.count_during(con, *period), labels.count_during(con, *period),
            decisions.counts_during(con, *period), tuple(_moment(entry) for entry in did), _coming(ctx, project),
            ctx.settings.public_url,
        )  # fmt: skip


def _moment(entry: Entry) -> Moment:
    return Moment(entry.id or 0, entry.decided_at, entry.action, entry.actor, entry.reasons, entry.version,
                  entry.window_number, entry.nearest_flip, entry.comparison, entry.cause)  # fmt: skip


def _coming(ctx: Context, project: Project) -> Coming:
    policy = projects.policy(ctx, project.id)[1]
    with ctx.database.read() as con:
        kept, count = decisions.memory(con, project.id), rows.count(con, project.id)
    window = Memory.from_json(kept).next_window if kept else 0
    filling = min(max(count - window * policy.window_rows, 0), policy.window_rows)
    return Coming(
        window, filling, policy.window_rows, policy.mature_share, ctx.settings.check_interval_seconds,
        runs.job_states(ctx, ["cycle"])["cycle"].paused, policy.retrains, policy.approval is Approval.MANUAL,
    )  # fmt: skip
