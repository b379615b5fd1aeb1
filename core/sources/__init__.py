"""Where rows come from. To add one: write its file here and name it in SOURCES."""

from core.sources.base import Source
from core.sources.bundled import STREAMS
from core.sources.hyperplane import HYPERPLANE
from core.sources.linear import LINEAR
from core.sources.sea import SEA

SOURCES: dict[str, Source] = {source.name: source for source in (*STREAMS, LINEAR, SEA, HYPERPLANE)}
