"""Moderation by SafeType: lists of words and patterns, no model.

It finds profanity, slurs, insults, threats and sexual language in English, German, French, Spanish,
Portuguese and Hindi, disguised spellings included. It does not understand: hatred in polite words,
self-harm or instructions for harm pass. What it would have a person review, such as a quotation of
somebody's threat, counts as sensitive.

It is Python code. A long text takes 2 us a character, in which other Python code has its turns.
"""

import importlib
from typing import Any, Final

from invokeq_providers.base import ModerationCall
from invokeq_providers.local.packages import package_folder
from invokeq_providers.local.thread import Stop, ThreadedModel

_LANGUAGES: Final = ("en", "de", "fr", "es", "pt", "hi", "hi-latn")


class SafeType(ThreadedModel[Any]):
    """The lists, their thread, and the calls that queue for it."""

    def __init__(self, name: str) -> None:
        package_folder("safetype", feature=name)
        super().__init__(name, _engine)

    async def judge(self, call: ModerationCall) -> bool:
        """Tell whether the text of a call is sensitive."""

        def work(engine: Any, stop: Stop) -> bool:
            del stop
            found = engine.moderate(call.text)
            return found.action != "allow" or found.requires_review

        return await self.run(work, call.heartbeat)


def _engine() -> Any:
    # By name, so that who lacks the package can check the types.
    safetype: Any = importlib.import_module("safetype")
    return safetype.create_moderation_engine(mode="block", languages=_LANGUAGES)
