"""Page furniture: who is here, which project, and the parts every page is made of. Native containers only."""

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import streamlit as st

from core import auth, context, performance, projects, reasons, runs, words
from core.context import Context
from core.errors import ContinualError
from core.policy import Policy
from core.records import Action, Outcome, Project, Reason, Role, User
from core.store import projects as project_store
from core.store.decisions import Entry
from core.words import mark

HERE = Path(__file__).parent

# What a decision looks like: colour, icon, word.
LOOK = {
    Action.WAIT: ("gray", "hourglass_empty", mark("Waiting")),
    Action.NOTHING: ("green", "check_circle", mark("Healthy")),
    Action.ALERT: ("orange", "warning", mark("Attention")),
    Action.RETRAIN: ("blue", "model_training", mark("Retrain")),
    Action.PROMOTE: ("green", "trending_up", mark("Promoted")),
    Action.HOLD: ("orange", "block", mark("Held")),
    Action.ROLL_BACK: ("orange", "undo", mark("Rolled back")),
    Action.ACCEPT: ("blue", "how_to_reg", mark("Feed accepted")),
    Action.FAIL: ("red", "error", mark("Failed")),
}


JUDGED = tuple(action for action in Action if action is not Action.WAIT)


def ctx() -> Context:
    return context.current()


def language() -> str:
    """The language of this session: as chosen, else as the browser asks for, else English."""
    chosen = st.session_state.get("language") or (st.context.locale or "en")[:2]
    return chosen if chosen in words.LANGUAGES else "en"


def set_language(language: str) -> None:
    """Speak this language from the next rerun on."""
    st.session_state["language"] = language


def _(text: str, **params: Any) -> str:
    """The sentence in the session's language, with its parameters filled in."""
    return words.say(text, language(), **params)


# What verbs and runs say most often; `heard` finds their translations.
SAID = (
    mark("A reason is missing: say in a few words why, it is kept in the ledger"),
    mark("Wrong name or password"),
    mark("training a challenger"),
    mark("measuring the champion against a fresh model"),
    mark("judging window {a} of {b}"),
    mark("{a} rows read"),
    mark("{a} rows stored, {b} with their label, {c} answered"),
    mark("{a} labels recorded, {b} known already, {c} in conflict, {d} waiting for their row"),
    mark("reading the history"),
    mark("gathering the figures"),
    mark("taking the pictures"),
    mark("Copying the database"),
    mark("Packing"),
    mark("There is no feature to judge."),
    mark("{a} rows; at least {b} are needed on both sides to judge anything."),
)
_NUMBERS = re.compile(r"\d[\d,]*")


def heard(text: str) -> str:
    """A sentence of a verb or a run in the session's language, where it is one of `SAID`; its numbers are kept."""
    names = iter("abcdefgh")
    numbers = dict(zip("abcdefgh", _NUMBERS.findall(text), strict=False))
    shape = _NUMBERS.sub(lambda found: f"{{{next(names, '')}}}", text)
    if language() == "en" or shape not in SAID:
        return text
    return _(shape, **{name: words.number(int(found.replace(",", "")), language()) for name, found in numbers.items()})


def score_label(metric: str) -> str:
    """What a score is called in the session's language."""
    name, _of, of = metric.partition(":")
    label = _(performance.METRICS[name][0])
    return _("{score} of {name}", score=label, name=of) if of else label


def sentence(reason: Reason) -> str:
    return reasons.sentence(reason, language())


def require(role: Role) -> User:
    """The signed-in user, with at least this role as the database knows it now; else the page ends here.

    First line of every page: a page file can be reached by its address, so each guards itself.
    """
    name = st.session_state.get("signed_in")
    if not isinstance(name, str):
        st.error(_("Please sign in first."))
        st.stop()
    try:
        return auth.current(ctx(), name, role)
    except ContinualError as error:
        st.error(str(error))
        st.stop()


def address() -> str:
    """Where the request comes from, as far as the server can tell."""
    found: Any = st.context.ip_address
    return found if isinstance(found, str) else "local"


def project() -> Project | None:
    """The project chosen in the sidebar; None when there is none."""
    active = projects.active(ctx())
    chosen = st.query_params.get("project") or st.session_state.get("project")
    return next((p for p in active if p.id == chosen), active[0] if active else None)


def project_of(project: str) -> Project | None:
    """The project of this id, archived or not."""
    with ctx().database.read() as con:
        return project_store.get(con, project)


def choose(project: str) -> None:
    """Show this project from now on; it stands in the address, so that the view can be shared."""
    st.session_state["project"] = st.query_params["project"] = project


def in_url(
    key: str, options: Collection[str] | None, *, default: str | None = None, many: bool = False
) -> dict[str, Any]:
    """Arguments for a widget whose choice stands in the address (``?key=option``), by the option's own name.

    ``options`` is None where any text may be given.

    Streamlit's own ``bind`` writes what the reader sees, which would be a different link in each language.
    """
    asked = [name for name in st.query_params.get_all(key) if options is None or name in options]
    st.session_state[key] = asked if many else asked[0] if asked else default
    return {"key": key, "on_change": _to_url, "args": (key, default)}


def _to_url(key: str, default: str | None) -> None:
    """Write the choice into the address; what was shown of a longer list begins at its first page again."""
    chosen = st.session_state[key]
    st.query_params.pop("page", None)
    if chosen and chosen != default:
        st.query_params[key] = chosen
    else:
        st.query_params.pop(key, None)


def page_head(title: str, caption: str | None = None) -> Any:
    """Title left, actions right; returns the container for the actions."""
    row = st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute")
    with row:
        with st.container(gap=None, width="content"):
            st.title(title, anchor=False, width="content")
            if caption:
                st.caption(caption)
        return st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center", width="content")


@contextmanager
def card(parent: Any, title: str, caption: str | None = None, help: str | None = None) -> Iterator[None]:
    """A bordered box whose title is the question it answers."""
    with parent.container(border=True, height="stretch" if parent is not st else "content", gap="small"):
        with st.container(gap=None):
            st.header(title, anchor=False, help=help)
            if caption:
                st.caption(caption)
        yield


def verdict(color: str, icon: str, word: str, text: str, foot: str | None = None) -> None:
    """How things are, in one sentence with a badge."""
    with st.container(border=True, gap="xsmall"):
        st.markdown(f":{color}-badge[:material/{icon}: {word}] &nbsp;{text}")
        if foot:
            st.caption(foot)


def entry(decision: Entry, *, detail: bool = False, brief: bool = False) -> None:
    """A ledger row as a sentence, linked to its detail; ``brief`` is its first reason alone."""
    color, icon, word = LOOK[decision.action]
    version = f" v{decision.version}" if decision.version else ""
    st.markdown(
        f":{color}-badge[:material/{icon}: {_(word)}{version}] :small[[#{decision.id}](/decisions?id={decision.id}) · "
        f"{ago(decision.decided_at)}]  \n:small[{' '.join(sentence(reason) for reason in decision.reasons[: 1 if brief else None])}]"
    )
    if detail and decision.nearest_flip:
        st.caption(sentence(decision.nearest_flip))


def link(page: str, label: str, icon: str | None = None, query: dict[str, str] | None = None) -> None:
    """A link to a page by its file's name, whichever script is the entry; ``query`` goes into its address."""
    st.page_link(str(HERE / f"{page}.py"), label=label, icon=icon, query_params=query)


def chart(figure: Any, *, key: str, alt: str, select: tuple[Literal["points", "box"], ...] = ()) -> Any:
    """A Plotly figure without the toolbar, described in words for who cannot see it; returns what was selected.

    ``select`` names the ways to select points: ``points`` (a click), ``box`` (dragging).
    """
    if not select:
        return st.plotly_chart(figure, key=key, alt=alt, config={"displayModeBar": False})
    return st.plotly_chart(
        figure, key=key, alt=alt, config={"displayModeBar": False}, on_select="rerun", selection_mode=select
    )


def choice(name: str, label: str, options: dict[str, str]) -> str:
    """One of the options (code: English words), chosen in a row of buttons and kept in the address by its code, so that
    the view is a link in any language. The first until another is chosen."""
    first, key = next(iter(options)), f"choice-{name}"
    asked = st.query_params.get(name)
    if key not in st.session_state:  # as long as it is shown its default must stay, or it would be another widget
        st.session_state[f"{key}-default"] = asked if asked in options else first
    picked = st.segmented_control(
        label, list(options), default=st.session_state[f"{key}-default"], format_func=lambda code: _(options[code]),
        key=key, required=True, label_visibility="collapsed",
    )  # fmt: skip
    if picked and picked != first:
        st.query_params[name] = picked
    else:
        st.query_params.pop(name, None)
    return str(picked or first)


def no_project() -> None:
    st.info(_("There is no project yet. Play a stream on Overview, or upload your own rows on Data."))
    link("overview", _("Overview"), ":material/space_dashboard:")
    link("data", _("Data"), ":material/database:")


@st.fragment(run_every="1s")
def run_progress(run: int) -> None:
    """How a background run stands; it goes on when the page is left."""
    state = runs.get(ctx(), run)
    if state.outcome in (Outcome.QUEUED, Outcome.RUNNING):
        st.info(f"{heard(state.progress) or _('Waiting to start')} …", icon=":material/progress_activity:")
    elif state.outcome is Outcome.OK:
        st.success(heard(state.message))
    else:
        st.error(f"{_(state.outcome)}: {heard(state.message)}")


def policy(project: Project) -> Policy:
    return projects.policy(ctx(), project.id)[1]


def base_url() -> str:
    settings = ctx().settings
    return settings.public_url or f"http://127.0.0.1:{settings.port}"


def drawn_for(project: Project) -> tuple[str, str, str]:
    """What every cached figure depends on, besides what it shows: the database, the project, the language."""
    return str(ctx().settings.data_dir), project.id, language()


def columns(**titles: str) -> dict[str, Any]:
    """Column configuration by title; times (``..._at``) are shown in UTC."""
    return {
        name: st.column_config.DatetimeColumn(title, format="D MMM YYYY, HH:mm", timezone="UTC")
        if name.endswith("_at")
        else st.column_config.Column(title)
        for name, title in titles.items()
    }


def sign_ins(tries: pd.DataFrame) -> None:
    """Tries to sign in (`accounts.sign_ins`) as a table in words."""
    if tries.empty:
        st.info(_("Nobody tried yet."))
        return
    how = tries["succeeded"].map({True: _("signed in"), False: _("refused")})
    st.dataframe(
        tries.assign(name=tries["name"].fillna(""), succeeded=how), hide_index=True,
        column_config=columns(tried_at=_("When"), name=_("Name"), address=_("From"), succeeded=_("How it ended")),
    )  # fmt: skip


@contextmanager
def told() -> Iterator[None]:
    """Show what went wrong in the user's words, and let the page go on."""
    try:
        yield
    except ContinualError as error:
        st.error(heard(str(error)))


def when(at: datetime) -> str:
    return words.when(at, language())


def ago(at: datetime) -> str:
    return words.ago(at, datetime.now(UTC), language())


_MARKDOWN = str.maketrans({char: f"\\{char}" for char in r"\`*_{}[]()#+-.!|<>~$:&"})


def md(text: object) -> str:
    """Data as plain words in Markdown: a name cannot become a link, a picture or a badge."""
    return str(text).translate(_MARKDOWN)
