"""Duties of deployers of the demo, and a template of the notice."""

from __future__ import annotations

from collections.abc import Sequence

from emotion_hub.labels import FER2013
from emotion_hub.ui.charts import NetworkRecord
from emotion_hub.ui.charts.tables import percent

__all__ = ["duties_section", "template_notice"]

_LINK = (
    '<a href="https://eur-lex.europa.eu/eli/reg/{number}/oj" target="_blank" rel="noopener">'
    "Regulation (EU) {number}</a>"
)
_AI_ACT, _GDPR = _LINK.format(number="2024/1689"), _LINK.format(number="2016/679")

#: (heading, HTML) of each duty.
_DUTIES = (
    (
        "Forbidden at work and in education",
        "Article 5(1)(f) of the AI Act prohibits AI systems that infer emotions of people in the areas of workplace and"
        " education institutions: placing them on the market, putting them into service for this purpose, and using"
        " them. Systems for medical or safety reasons are excepted. This has applied since 2 February 2025.",
    ),
    (
        "Tell the people",
        "Article 50(3): deployers of an emotion recognition system inform the people exposed to it that it"
        " operates, and process their personal data as data-protection law requires. Article 50(5): the information"
        " is clear and distinguishable, comes at the latest at the first exposure, and is accessible. Systems that the"
        " law permits for detecting, preventing or investigating criminal offences are excepted from this.",
    ),
    (
        "High risk",
        "Annex III, point 1(c), lists AI systems intended to be used for emotion recognition as high-risk, in so far as"
        " their use is permitted. Providers (Article 16) and deployers (Article 26) then have further duties, among"
        " them risk management, human oversight and logs. This demo has not been through a conformity assessment.",
    ),
    (
        "Does it count?",
        "Article 3(39) defines an emotion recognition system: it identifies or infers emotions or intentions of people"
        " from their biometric data. By recital 18, detecting a readily apparent expression, such as a smile, is not"
        " meant, unless it is used to identify or infer emotions. The labels here are names of emotions, so expect that"
        " your use counts.",
    ),
    (
        "Personal data",
        "A photo of a person who can be identified is personal data (GDPR, Article 4(1)). You need a legal basis"
        " (Article 6), have to inform (Articles 13 and 14), and to answer requests for access, erasure and the other"
        " rights (Articles 15 to 22). A likely high risk needs an impact assessment (Article 35), a host that works for"
        " you a contract (Article 28). Predictions that reveal something about health fall under Article 9.",
    ),
    (
        "Private use, other countries",
        "Purely personal, non-professional use by a natural person is outside the deployers' duties (AI Act, Article"
        " 2(10)) and outside the GDPR (Article 2(2)(c)). Other countries have laws of their own.",
    ),
)


def duties_section() -> str:
    """The duties of deployers in the EU, with the articles they come from."""
    items = "".join(f"<dt>{heading}</dt><dd>{text}</dd>" for heading, text in _DUTIES)
    return (
        "<section><h3>If you deploy this yourself</h3><p><strong>This is a summary and no legal advice.</strong> The"
        f" EU's AI Act ({_AI_ACT}) and the General Data Protection Regulation, GDPR ({_GDPR}), set the rules below."
        " Parts of the AI Act apply from different dates, and it may have been amended: read the version in force.</p>"
        f'<dl class="eh-terms">{items}</dl></section>'
    )


def template_notice(records: Sequence[NetworkRecord], minutes: int | None = None) -> str:
    """A notice for the people whose faces are shown, as plain text; what has to be filled in stands in brackets."""
    wrong = [1 - record.report["accuracy"] for record in records if record.report]
    often = f" On test images {percent(min(wrong), 0)} to {percent(max(wrong), 0)} of them are wrong." if wrong else ""
    *labels, last = FER2013.labels
    deleted = f"within {minutes} minutes" if minutes else "[within how many minutes]"
    paragraphs = (
        "EXPRESSION RECOGNITION IS IN USE HERE",
        "[Name and address of the organisation] uses software that finds faces in [photos / the picture of this camera]"
        f" and predicts which expression each face shows: {', '.join(labels)} or {last}.",
        "Purpose: [why it is used].",
        "Legal basis: [such as your consent, Article 6(1)(a) GDPR].",
        "What happens to pictures: they are sent to [who runs the server, where], processed there and deleted"
        f" {deleted}. Neither pictures nor predictions are kept. [Correct this where it is not so. Name other"
        " recipients and transfers outside the EU.]",
        "What the predictions mean: they describe what a face looks like, not what a person feels."
        f"{often} No decision about you is based on them.",
        "If you do not want this: [how to avoid the camera or to refuse, without a disadvantage].",
        "Your rights: you may ask for access, correction, erasure and restriction, object, and withdraw a consent at"
        " any time: [contact; data-protection officer where there is one]. You may complain to [supervisory"
        " authority].",
        "Information under Article 50(3) of Regulation (EU) 2024/1689 (AI Act) and Article 13 of Regulation (EU)"
        " 2016/679 (GDPR).",
    )
    return "\n\n".join(paragraphs)
