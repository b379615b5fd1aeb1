"""Projects: one prediction problem each, with its schema, rows, policy and models."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime

from core import auth
from core.context import Context
from core.errors import Conflict, InvalidInput, NotFound
from core.policy import Policy
from core.records import Project, Role, Schema, User
from core.store import audit, policies, projects


def create(
    ctx: Context,
    user: User,
    *,
    name: str,
    schema: Schema,
    source: str | None = None,
    policy: Policy | None = None,
    now: datetime,
) -> Project:
    """A new, empty project; its id is made from the name. Raises InvalidInput, Conflict (the name is taken)."""
    auth.require(ctx, user, Role.OPERATOR)
    name = " ".join(name.split())
    if not 1 <= len(name) <= 60:
        raise InvalidInput(f"A project's name has 1 to 60 characters; {name!r} has {len(name)}")
    if not schema.features:
        raise InvalidInput("The schema has no feature left; mark at least one column as a feature")
    policy = (policy or Policy()).checked()
    with ctx.database.write() as con:
        taken = {project.id for project in projects.every(con, archived=True)}
        if any(project.name.casefold() == name.casefold() for project in projects.every(con)):
            raise Conflict(f"There is a project {name!r} already. Choose another name, or archive that one")
        project = Project(_free_slug(name, taken), name, schema, now, None, source)
        projects.insert(con, project)
        policies.insert(con, project.id, policy.to_json(), user.name, now)
    return project


def get(ctx: Context, project: str) -> Project:
    """The project with this id. Raises NotFound."""
    with ctx.database.read() as con:
        found = projects.get(con, project)
    if found is None:
        raise NotFound(f"There is no project {project!r}")
    return found


def active(ctx: Context) -> list[Project]:
    """The projects in use, oldest first."""
    with ctx.database.read() as con:
        return projects.every(con)


def every(ctx: Context) -> list[Project]:
    """All projects, the archived ones too, oldest first."""
    with ctx.database.read() as con:
        return projects.every(con, archived=True)


def archive(ctx: Context, user: User, project: str, now: datetime) -> None:
    """Put the project away: nothing of it is deleted, no job touches it. `restore` brings it back."""
    auth.require(ctx, user, Role.OPERATOR)
    get(ctx, project)
    with ctx.database.write() as con:
        projects.archive(con, project, now)


def restore(ctx: Context, user: User, project: str) -> None:
    """Bring an archived project back."""
    auth.require(ctx, user, Role.OPERATOR)
    get(ctx, project)
    with ctx.database.write() as con:
        projects.archive(con, project, None)


def policy(ctx: Context, project: str) -> tuple[int, Policy]:
    """The version and the policy the project judges by."""
    with ctx.database.read() as con:
        version, text = policies.latest(con, project)
    return version, Policy.from_json(text)


@dataclass(frozen=True)
class PolicyVersion:
    """One version of a project's policy: who made it, when and why."""

    version: int
    policy: Policy
    made_at: datetime
    made_by: str
    why: str = ""


def policy_versions(ctx: Context, project: str) -> list[PolicyVersion]:
    """Every policy the project has had, the newest first."""
    with ctx.database.read() as con:
        found = policies.every(con, project)
        deeds = audit.latest(con, about=project, limit=10_000)
    why = {deed.detail["version"]: deed.detail.get("why", "") for deed in deeds if deed.action == "policy_set"}
    return [
        PolicyVersion(version, Policy.from_json(text), made_at, made_by, why.get(str(version), ""))
        for version, text, made_at, made_by in found
    ]


def set_policy(ctx: Context, user: User, project: str, policy: Policy, now: datetime, *, why: str = "") -> int:
    """Judge by this policy from the next check on; return its version. Older versions are kept.

    Raises InvalidInput for a policy whose triggers could never agree.
    """
    auth.require(ctx, user, Role.ADMIN)
    get(ctx, project)
    policy = policy.checked()
    with ctx.database.write() as con:
        version = policies.insert(con, project, policy.to_json(), user.name, now)
        audit.insert(con, user.name, "policy_set", project, now, version=str(version), why=" ".join(why.split()))
    return version


def restore_policy(ctx: Context, user: User, project: str, version: int, now: datetime) -> int:
    """Judge by an earlier version again, which becomes the newest; return its new number. Raises NotFound."""
    earlier = next((made for made in policy_versions(ctx, project) if made.version == version), None)
    if earlier is None:
        raise NotFound(f"Project {project!r} has no policy version {version}")
    return set_policy(ctx, user, project, earlier.policy, now, why=f"back to version {version}")


def _free_slug(name: str, taken: set[str]) -> str:
    """
    >>> _free_slug("Électricité, prix", set()), _free_slug("🐟", {"project"})
    ('electricite-prix', 'project-2')
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40] or "project"
    return next(s for s in (slug, *(f"{slug}-{i}" for i in range(2, 10_000))) if s not in taken)
