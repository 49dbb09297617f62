"""Decode audio segments."""

from invokeq.protocol.events import Event


class AudioSegment(bytes):
    """One complete audio segment, playable alone; `mime_type` is None where unknown."""

    mime_type: str | None = None


def segment_of(event: Event) -> AudioSegment:
    """Return the audio of a `segment` event."""
    segment = AudioSegment(event.blob)
    segment.mime_type = event.data.get("mime_type")
    return segment
