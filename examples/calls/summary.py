"""Summarises a text with the model that the operator chose: `[system] summary_model`."""

from invokeq import Session

STORY = """
The old mill on the river Lee had not turned since the great flood. Its wheel was rotten, and the
miller's daughter, Greta, had learned to repair clocks instead. One spring an engineer came to the
village. He measured the water for three days and said that the wheel could drive a generator.
"""

with Session("examples") as session:
    # A text of fewer characters than this comes back as it is; the default is 1024.
    print(session.model.summary.invoke(STORY, "One sentence.", min_summarize_length=200))
