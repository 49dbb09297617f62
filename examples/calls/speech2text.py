"""Writes down what is said in an audio file: `python speech2text.py speech.mp3`."""

import sys
from pathlib import Path

from invokeq import Session
from invokeq.entities import Speech2TextModelConfig

CONFIG = Speech2TextModelConfig(provider="local", model="whisper-tiny")

with Session("examples") as session, Path(sys.argv[1]).open("rb") as file:
    print(session.model.speech2text.invoke(CONFIG, file))
