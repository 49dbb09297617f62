"""Which calls a plugin may make, by its manifest and by the operator's table."""

from pathlib import Path
from typing import Any

import pytest

from invokeq.protocol.entities import UserPromptMessage
from invokeq.protocol.errors import InvalidConfigurationError, PermissionDeniedError
from invokeq.protocol.permissions import check_declared, declared_permissions
from invokeq.protocol.requests import (
    CallRequest,
    LLMRequest,
    ModerationRequest,
    RerankRequest,
    Speech2TextRequest,
    SummaryRequest,
    TextEmbeddingRequest,
    TTSRequest,
)
from invokeq_worker.config.identity import Identity
from invokeq_worker.config.models import PermissionSettings, PluginSettings
from invokeq_worker.config.permissions import Permissions

MODEL: dict[str, Any] = {"provider": "langgenius/openai/openai", "model": "gpt-4o-mini"}
ASK = LLMRequest(**MODEL, prompt_messages=[UserPromptMessage(content="hi")])
CALLS: dict[str, CallRequest] = {
    "llm": ASK,
    "text_embedding": TextEmbeddingRequest(**MODEL, texts=["a"]),
    "rerank": RerankRequest(**MODEL, docs=["a"], query="b"),
    "tts": TTSRequest(**MODEL, voice="v", content_text="a"),
    "speech2text": Speech2TextRequest(**MODEL, mime_type="audio/wav"),
    "moderation": ModerationRequest(**MODEL, text="a"),
}


def permissions(directory: Path = Path(), *, unknown: str = "allow", **table: Any) -> Permissions:
    plugins = {"acme": PluginSettings.model_validate(table)}
    settings = PermissionSettings.model_validate({"unknown": unknown})
    return Permissions.load(plugins, settings, directory)


def identity(plugin: str = "acme", tenant: str | None = None) -> Identity:
    return Identity(plugin, tenant, None)


def refusal(rights: Permissions, request: CallRequest, who: Identity | None = None) -> str | None:
    try:
        rights.check(who or identity(), request)
    except PermissionDeniedError as error:
        return str(error)
    return None


def manifest_with(directory: Path, model: str) -> Path:
    text = f"name: acme\ncreated_at: 2026-11-22T00:00:00Z\nresource:\n  permission:\n{model}"
    (directory / "manifest.yaml").write_text(text)
    return directory


@pytest.mark.parametrize("kind", CALLS)
def test_only_what_the_manifest_asks_for_is_served(tmp_path: Path, kind: str) -> None:
    """Fails with every kind allowed once `check_declared` is not called."""
    manifest_with(tmp_path, f"    model: {{enabled: true, {kind}: true}}\n")
    rights = permissions(tmp_path, manifest=".")
    name = {other: other.replace("_", "-") for other in CALLS}
    for other, request in CALLS.items():
        said = refusal(rights, request)
        if other == kind:
            assert said is None
        else:
            assert said == (
                f"permission denied, you need to enable {name[other]} access in plugin manifest"
            )


@pytest.mark.parametrize(
    "block",
    ["    model: {llm: true}\n", "    model: {enabled: false, llm: true}\n", "    model:\n"],
)
def test_the_main_switch_is_off_unless_it_is_on(tmp_path: Path, block: str) -> None:
    rights = permissions(manifest_with(tmp_path, block), manifest="manifest.yaml")
    assert refusal(rights, ASK) == (
        "permission denied, you need to enable llm access in plugin manifest"
    )


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("llm_structured_output", "llm"),
        ("system_summary", "llm"),
        ("multimodal_embedding", "text-embedding"),
        ("multimodal_rerank", "rerank"),
        ("tool", "tool"),
        ("app", "app"),
        ("fetch_app", "app"),
        ("node_parameter_extractor", "node"),
        ("storage", "storage"),
    ],
)
def test_an_empty_manifest_asks_for_nothing(kind: str, named: str) -> None:
    with pytest.raises(PermissionDeniedError) as caught:
        check_declared(declared_permissions({}, "m"), kind, "acme")
    assert str(caught.value) == (
        f"permission denied, you need to enable {named} access in plugin manifest"
    )


def test_uploads_need_no_permission() -> None:
    check_declared(declared_permissions({}, "m"), "upload_file", "acme")


@pytest.mark.parametrize(
    ("manifest", "line"),
    [
        ([], "m: file: must be a mapping"),
        ({"resource": 1}, "m: resource: must be a mapping"),
        (
            {"resource": {"permission": {"model": {"llm": "perhaps"}}}},
            (
                "m: resource.permission.model.llm: Input should be a valid boolean,"
                " unable to interpret input"
            ),
        ),
    ],
)
def test_a_manifest_that_makes_no_sense_names_the_place(manifest: object, line: str) -> None:
    with pytest.raises(InvalidConfigurationError) as caught:
        declared_permissions(manifest, "m")
    assert str(caught.value) == line


def test_a_manifest_that_is_no_yaml_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "manifest.yaml").write_text("a: [")
    with pytest.raises(InvalidConfigurationError, match="is not YAML"):
        permissions(tmp_path, manifest=".")


@pytest.mark.parametrize(
    ("patterns", "served"),
    [
        (["openai/gpt-4o*"], True),
        (["local/*", "langgenius/openai/openai/gpt-4o-mini"], True),
        (["*"], True),
        (["openai/gpt-4o"], False),
        (["openai/GPT-4O-MINI"], False),
        ([], False),
    ],
)
def test_models_are_narrowed_by_patterns(patterns: list[str], served: bool) -> None:
    said = refusal(permissions(models=patterns), ASK)
    allowed = ", ".join(patterns) or "none"
    shown = f"Plugin 'acme' may not call openai/gpt-4o-mini; the operator allows it {allowed}"
    assert said == (None if served else shown)


def test_types_are_narrowed_by_name() -> None:
    rights = permissions(model_types=["llm", "tts"])
    served = {kind for kind, request in CALLS.items() if refusal(rights, request) is None}
    assert served == {"llm", "tts"}
    assert refusal(rights, CALLS["rerank"]) == (
        "Plugin 'acme' may not call rerank models; the operator allows it llm, tts"
    )


def test_the_model_of_summaries_is_the_operator_s_choice() -> None:
    assert refusal(permissions(models=["local/*"]), SummaryRequest(text="long")) is None
    said = refusal(permissions(model_types=["tts"]), SummaryRequest(text="long"))
    assert said == "Plugin 'acme' may not call llm models; the operator allows it tts"


def test_a_plugin_speaks_for_its_tenants_only() -> None:
    rights = permissions(tenants=["t1", "team-*"])
    assert refusal(rights, ASK, identity(tenant="t1")) is None
    assert refusal(rights, ASK, identity(tenant="team-7")) is None
    said = refusal(rights, ASK, identity(tenant="t2"))
    assert said == "Plugin 'acme' may not speak for tenant 't2'"
    assert refusal(rights, ASK, identity()) == "Plugin 'acme' must name a tenant"


def test_a_plugin_without_a_table_is_served_unless_the_operator_says_no() -> None:
    stranger = identity("stranger")
    assert refusal(permissions(), ASK, stranger) is None
    said = refusal(permissions(unknown="deny"), ASK, stranger)
    assert said == "Plugin 'stranger' may not call models: the operator does not know it"
    assert refusal(permissions(unknown="deny"), ASK) is None
