"""Glossary: the terms of the page in visitors' words."""

from __future__ import annotations

from html import escape

__all__ = ["TERMS", "glossary_section"]

#: {term: meaning}.
TERMS = {
    "accuracy": "The share of test faces whose predicted label is the label that people gave them.",
    "calibration": "How well confidence and reality agree: of all answers with 80% confidence, 80% should be right. The"
    " calibration error is the mean gap between the two; 0 is best.",
    "confidence": "The probability that the network gives to its label. It says how sure the network is, which can be"
    " wrong.",
    "deletion, insertion": "Tests of an explanation: how fast the probability falls when the marked parts are blurred"
    " away, and how fast it rises when only they are shown.",
    "expression": "What a face looks like, such as a smile. It is not a feeling: people smile for many reasons.",
    "face detector": "The program that finds faces in a photo and says where they are: YuNet, here.",
    "FER2013": "A data set of 35,887 gray faces of 48×48 pixels from a web search, each with one of seven labels"
    " (Goodfellow et al. 2013). The networks learned from it.",
    "FER+": "Ten people's opinions on each face of FER2013 (Barsoum et al. 2016). They often differ.",
    "Grad-CAM, Grad-CAM++": "Methods that mark the parts of a face that decided, computed from the network's own inner"
    " maps.",
    "Hub": "huggingface.co, where people publish networks (“models”). A Space is a demo that runs there.",
    "interval": "A range for the true figure, because the test faces are only a sample. Of intervals made like this,"
    " about 95 in 100 contain it.",
    "label": "One of the words that the network can answer.",
    "LIME": "A method that covers parts of the face many times, and computes from the answers how much each part"
    " counts.",
    "macro F1": "A score from 0 to 1 that counts each label alike, however rare it is. It falls when faces of a label"
    " are missed and when the label is given wrongly.",
    "native48, emotion_cnn": "The networks of this demo that read the face at its native 48×48 gray pixels.",
    "network": "A program with millions of numbers that training has set. It turns the pixels of a face into a"
    " probability for each label.",
    "ONNX": "The file format in which this demo runs networks.",
    "precision, recall": "Precision: of the faces that got a label, the share that have it. Recall: of the faces that"
    " have a label, the share that got it.",
    "prediction set": "The labels that are plausible for a face. On test faces such a set holds the true label about"
    " nine times in ten. A long set means that the network is not sure.",
    "SHAP": "A method that shares the answer out among the pixels by a rule of game theory, so that the shares add up.",
    "test split": "The 3,589 faces of FER2013 that no network was trained on (PrivateTest). All accuracies come from"
    " them.",
    "upscale224": "The network of this demo that reads the same 48×48 pixels after they were enlarged to 224×224.",
    "upscaling": "Making a picture larger. A filter, such as Lanczos or bicubic, fills in the pixels between; no new"
    " detail is gained.",
    "validation split": "3,589 other faces of FER2013 (PublicTest), without copies: they chose the best step of a"
    " training.",
}


def glossary_section() -> str:
    """The terms in alphabetical order, as a definition list."""
    rows = "".join(
        f"<dt>{escape(term)}</dt><dd>{escape(meaning)}</dd>"
        for term, meaning in sorted(TERMS.items(), key=lambda each: each[0].lower())
    )
    return f'<section><h3>Glossary</h3><dl class="eh-terms">{rows}</dl></section>'
