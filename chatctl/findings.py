"""What a check of `chatctl doctor` finds."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """`fail` is what will not work, `warn` what may surprise; `remedy` says what to do about it."""

    subject: str
    verdict: Verdict
    text: str
    remedy: str = ""
