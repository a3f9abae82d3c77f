"""The colours of every chart, chosen to stay apart for readers with colour vision deficiencies.

Source: Okabe and Ito (2008), "Color universal design", the eight-colour set; the dark values are its lighter members.
"""

from __future__ import annotations

LIGHT = {
    "training": "#0072B2",
    "validation": "#C24E00",
    "network": "#0072B2",
    "reference": "#6B7280",
    "good": "#007A5A",
    "attention": "#8F5A00",
    "bad": "#B3261E",
    "unknown": "#4B5563",
}
"""Colours on a white ground: name -> hexadecimal RGB."""

DARK = {
    "training": "#56B4E9",
    "validation": "#F0A03C",
    "network": "#56B4E9",
    "reference": "#9AA3B2",
    "good": "#3CC9A0",
    "attention": "#E9B44C",
    "bad": "#FF8A80",
    "unknown": "#A9B2C0",
}
"""The same on a dark ground."""
