"""Writes a plugin that speaks the protocol by hand: quick to start, and able to misbehave."""

from pathlib import Path

MANIFEST = """\
version: 0.1.0
type: plugin
author: acme
name: fake
label: {en_US: Fake}
created_at: 2026-11-22T00:00:00Z
resource:
  memory: 1048576
  permission:
    model: {enabled: true, llm: true}
plugins:
  tools: [provider/fake.yaml]
meta:
  version: 0.0.1
  arch: [amd64]
  runner: {language: python, version: 3.12, entrypoint: main}
"""

MAIN = '''\
import json, os, signal, sys

def say(message, end="\\n\\n"):
    sys.stdout.write(json.dumps(message, separators=(",", ":")) + end)
    sys.stdout.flush()

def session(sid, kind, data, end="\\n\\n"):
    say({"event": "session", "session_id": sid, "data": {"type": kind, "data": data}}, end)

def call(sid, call_id, kind, request):
    data = {"type": kind, "backwards_request_id": call_id, "request": request}
    session(sid, "invoke", data)

def answers(call_id):
    """Take what answers a call, to its end."""
    while True:
        event = json.loads(sys.stdin.readline())
        assert event["event"] == "backwards_response", event
        data = event["data"]
        assert data["backwards_request_id"] == call_id, data
        yield data
        if data["event"] != "response":
            break

def act(sid, data):
    action = data["action"]
    if action == "echo":
        for item in data["items"]:
            session(sid, "stream", item)
    elif action == "noise":
        print("hello {", end="")
        session(sid, "stream", {"n": 1})
        session(sid, "stream", {"n": 2}, end="")
        session(sid, "stream", {"n": 3}, end=" tail\\n[1, 2]\\n\\n")
        say({"event": "log", "data": {"level": "INFO", "message": "a log line"}})
        say({"event": "unheard of"})
    elif action == "huge":
        session(sid, "stream", {"text": "x" * data["size"]})
    elif action == "crash":
        session(sid, "stream", {"n": 1})
        print("dying with", data["credentials"]["key"], file=sys.stderr, flush=True)
        os._exit(7)
    elif action == "freeze":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif action == "fail":
        error = {"error_type": "ValueError", "message": data["message"], "args": {}}
        session(sid, "error", error)
    elif action == "facts":
        facts = {"argv": sys.argv, "env": dict(os.environ), "parent": os.getppid()}
        session(sid, "stream", facts)
    elif action == "reverse":
        call(sid, "c1", "llm", {"model": "m", "stream": True})
        for event in answers("c1"):
            session(sid, "stream", event)
    elif action == "leave":
        session(sid, "stream", {"n": 1})
        left.append(sid)
        return
    elif action == "call back":
        call(left[0], "c2", "llm", {})
        for event in answers("c2"):
            session(sid, "stream", event)
        session(left[0], "stream", {"n": 2})
        session(left[0], "end", {})
    session(sid, "end", {})

left = []
if os.environ.get("FAKE_START") == "fail":
    print("no such module: vendor", file=sys.stderr)
    sys.exit(1)
say({"version": "0.1.0", "name": "fake", "plugins": {}})
if os.environ.get("FAKE_START") != "mute":
    say({"event": "heartbeat", "session_id": None, "data": {}})
for line in sys.stdin:
    request = json.loads(line)
    act(request["session_id"], request["data"])
signal.pause()  # the SDK, too, does not end when its stdin does
'''


def write_plugin(folder: Path, *, manifest: str = MANIFEST, main: str = MAIN) -> Path:
    """Write the plugin into a folder, which it makes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.yaml").write_text(manifest)
    (folder / "main.py").write_text(main)
    (folder / "requirements.txt").write_text("")
    return folder
