"""Speaks a text into a file, segment by segment: `python tts.py speech.mp3`."""

import sys
from pathlib import Path

from invokeq import Session
from invokeq.entities import TTSModelConfig

CONFIG = TTSModelConfig(provider="local", model="espeak", voice="en-us")
TEXT = "The weather is nice today. We are going to the beach. Please bring some water."

with Session("examples") as session, Path(sys.argv[1]).open("wb") as file:
    # Each segment plays alone, and so does the file.
    for number, segment in enumerate(session.model.tts.invoke(CONFIG, TEXT), 1):
        file.write(segment)
        print(f"segment {number}: {len(segment)} bytes")
