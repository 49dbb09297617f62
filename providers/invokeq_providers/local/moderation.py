"""Moderation by SafeType: lists of words and patterns, no model.

SafeType finds profanity, slurs, insults, threats and sexual language in English, German, French,
Spanish, Portuguese and Hindi, disguised spellings included. SafeType does not understand meaning:
hatred in polite words, self-harm and instructions for harm pass. Text marked for review by a
person, such as a quoted threat, counts as sensitive.

SafeType is pure Python. A text takes 2 us a character, and other threads get turns meanwhile.
"""

import importlib
from typing import Any, Final

from invokeq_providers.base import ModerationCall
from invokeq_providers.local.packages import package_folder
from invokeq_providers.local.thread import Stop, ThreadedModel

_LANGUAGES: Final = ("en", "de", "fr", "es", "pt", "hi", "hi-latn")


class SafeType(ThreadedModel[Any]):
    """The lists of words, one thread, and the queue of calls."""

    def __init__(self, name: str) -> None:
        package_folder("safetype", feature=name)
        super().__init__(name, _engine)

    async def judge(self, call: ModerationCall) -> bool:
        """Return whether the text of a call is sensitive."""

        def work(engine: Any, stop: Stop) -> bool:
            del stop
            found = engine.moderate(call.text)
            return found.action != "allow" or found.requires_review

        return await self.run(work, call.heartbeat)


def _engine() -> Any:
    # Imported by name, so that types can be checked without the package.
    safetype: Any = importlib.import_module("safetype")
    return safetype.create_moderation_engine(mode="block", languages=_LANGUAGES)
