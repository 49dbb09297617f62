"""Tells whether texts are sensitive."""

from invokeq import Session
from invokeq.entities import ModerationModelConfig

CONFIG = ModerationModelConfig(provider="local", model="safetype")

with Session("examples") as session:
    for text in ("I hope you have a lovely day.", "I will kill you, you idiot."):
        # A fault is an error, never False.
        sensitive = session.model.moderation.invoke(CONFIG, text)
        print(f"{'sensitive' if sensitive else 'clean'}: {text}")
