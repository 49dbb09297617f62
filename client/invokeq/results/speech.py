"""Decode audio segments."""

from invokeq.protocol.events import Event


class AudioSegment(bytes):
    """One complete audio segment: bytes, and what they are."""

    mime_type: str | None = None


def segment_of(event: Event) -> AudioSegment:
    """Give the audio of a `segment` event."""
    segment = AudioSegment(event.blob)
    segment.mime_type = event.data.get("mime_type")
    return segment
