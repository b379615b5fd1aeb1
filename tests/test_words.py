"""Every sentence of the app is in every catalogue, with the same placeholders."""

from string import Formatter

import pytest

from core import reasons, words
from core.records import Reason
from scripts.words import sentences, translations

OTHERS = [language for language in words.LANGUAGES if language != "en"]


def placeholders(text: str) -> set[tuple[str, str]]:
    """Names with their formats: a translation may turn them round, and say one of them twice."""
    return {(name, form or "") for _text, name, form, _conversion in Formatter().parse(text) if name}


@pytest.mark.parametrize("language", OTHERS)
def test_every_sentence_is_translated_and_none_that_is_gone(language: str) -> None:
    used, kept = set(sentences()), {text for text, translated in translations(language).items() if translated}
    assert used - kept == set(), "run `make words` and translate what is new"
    assert kept - used == set(), "run `make words`"


@pytest.mark.parametrize("language", OTHERS)
def test_translations_keep_the_placeholders(language: str) -> None:
    wrong = [text for text, told in translations(language).items() if told and placeholders(text) != placeholders(told)]
    assert wrong == []


@pytest.mark.parametrize("language", OTHERS)
def test_translations_keep_the_markdown_of_badges_and_icons(language: str) -> None:
    for text, told in translations(language).items():
        assert text.count(":material/") == told.count(":material/"), text
        assert text.count("`") == told.count("`"), text


def test_an_old_decision_is_told_in_the_readers_language() -> None:
    reason = Reason("stale", {"seen": 0.25, "needed": 0.2})
    french = reasons.sentence(reason, "fr")
    assert french != reasons.sentence(reason, "en")
    assert "25\u202f%" in french


def test_words_among_the_parameters_of_a_reason_are_told_in_the_readers_language() -> None:
    trained = Reason("trained_on", {"rows": 100, "scope": "since_change"})
    assert reasons.sentence(trained, "en") == "Trained on 100 labelled rows (since_change)."
    assert reasons.sentence(trained, "fr").endswith("(depuis le dernier changement).")
    role = reasons.sentence(
        Reason("role_changed", {"actor": "a", "subject": "b", "before": "viewer", "after": "admin"}), "fr"
    )
    assert "administrateur" in role
    assert "lecteur" in role
