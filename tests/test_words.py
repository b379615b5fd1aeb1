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


def test_what_is_counted_is_grouped_and_one_of_it_is_in_the_singular() -> None:
    trained = Reason("trained_on", {"rows": 12_000, "scope": "all"})
    assert reasons.sentence(trained).startswith("Trained on 12,000 labelled rows")
    assert "12\u202f000 lignes" in reasons.sentence(trained, "fr")
    better = Reason("shadow_better", {"version": 3, "advantage": 0.01, "windows": 1})
    assert reasons.sentence(better).endswith("over 1 labelled window.")


def test_what_verbs_and_runs_say_most_is_told_in_the_readers_language(monkeypatch: pytest.MonkeyPatch) -> None:
    from pages import ui

    stored = "5,500 rows stored, 5,500 with their label, 0 answered"
    monkeypatch.setattr(ui, "language", lambda: "fr")
    assert ui.heard(stored) == "5\u202f500 lignes enregistrées, 5\u202f500 avec leur étiquette, 0 répondues"
    assert ui.heard("judging window 3 of 11") == "jugement de la fenêtre 3 sur 11"
    assert ui.heard("something else 7") == "something else 7"
