"""invokeq.toml: what it comes to, and one line for each mistake in it."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from invokeq.protocol.entities import ModelType
from invokeq.protocol.errors import InvalidConfigurationError, MissingExtraError
from invokeq_providers.base import Provider
from invokeq_providers.registry import build_providers
from invokeq_worker.config.loading import load_settings, read_settings
from invokeq_worker.config.models import (
    LimitSettings,
    LogSettings,
    PermissionSettings,
    PluginSettings,
    PoolSettings,
    RetrySettings,
)
from invokeq_worker.config.redis_settings import RedisSettings
from invokeq_worker.config.served import served_providers
from invokeq_worker.config.settings import Settings
from tests.support.paths import ROOT

EXAMPLE = ROOT / "invokeq.example.toml"
DOCUMENTATION = ROOT / "docs" / "operators.md"
CREDENTIAL = "sk-very-secret-indeed"


class Speaker(Provider):
    """Has text to speech only."""

    model_types = frozenset({ModelType.TTS})


class Writer(Provider):
    """Has an LLM and text to speech."""

    model_types = frozenset({ModelType.LLM, ModelType.TTS})


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test where there is no invokeq.toml."""
    monkeypatch.chdir(tmp_path)


def written(text: str, name: str = "written.toml") -> Path:
    path = Path(name)
    path.write_text(text)
    return path


def load(text: str, env: Mapping[str, str] | None = None) -> Settings:
    return load_settings(written(text), env or {})


def complaints(text: str, env: Mapping[str, str] | None = None) -> list[str]:
    loaded = read_settings(written(text), env or {})
    assert isinstance(loaded, list), "nothing is wrong with it"
    return [str(error).removeprefix("written.toml: ") for error in loaded]


def test_without_a_file_there_is_one_pool_with_the_local_model() -> None:
    settings = load_settings(env={})
    assert settings.source == "defaults"
    assert settings.provider_tables() == {"local": {"type": "local"}}
    assert settings.pools.keys() == {"llm"}
    assert settings.pool("llm").queues == ("llm",)
    assert settings.pool("llm").concurrency == 500
    assert settings.redis.url_text == "redis://localhost:6379/0"
    assert not settings.names_redis


def test_a_file_that_says_nothing_is_the_same_as_none() -> None:
    settings = load("")
    assert settings.source == "written.toml"
    assert settings.pools == load_settings(env={}).pools
    assert settings.limits == load_settings(env={}).limits


def test_the_file_is_the_named_one_then_the_variables_then_the_one_that_lies_here() -> None:
    here = "[limits]\nmax_attempts = {}"
    written(here.format(1), "invokeq.toml")
    variable = {"INVOKEQ_CONFIG": str(written(here.format(2), "variable.toml"))}
    named = written(here.format(3), "named.toml")
    assert load_settings(env={}).limits.max_attempts == 1
    assert load_settings(env=variable).limits.max_attempts == 2
    assert load_settings(named, variable).limits.max_attempts == 3


def test_every_table_is_read() -> None:
    settings = load(
        """
        [redis]
        url = "rediss://u:p@example.org:6380/3"
        connect_timeout = 2
        [providers.openai]
        base_url = "http://localhost:8000/v1"
        timeout = 30
        [providers.mine]
        type = "scripted"
        [pools.fast]
        queues = ["llm.mine", "llm", "text-embedding"]
        concurrency = 40
        processes = 3
        [limits]
        result_ttl = 60
        provider_silence = 1.5
        [plugins.gateway]
        trusted = true
        [plugins.other]
        [log]
        level = "debug"
        format = "json"
        """
    )
    assert settings.redis.connect_timeout == 2.0
    assert settings.names_redis
    assert settings.provider_tables() == {
        "openai": {"base_url": "http://localhost:8000/v1", "timeout": 30},
        "mine": {"type": "scripted"},
    }
    pool = settings.pool("fast")
    assert pool.queues == ("llm.mine", "llm", "text-embedding")
    assert (pool.concurrency, pool.processes) == (40, 3)
    assert (settings.limits.result_ttl, settings.limits.provider_silence) == (60, 1.5)
    assert settings.trusted_plugins == {"gateway"}
    assert (settings.log.level, settings.log.format) == ("debug", "json")


def test_settings_cannot_be_changed() -> None:
    settings = load("")
    with pytest.raises(ValidationError, match="frozen"):
        settings.redis = settings.redis  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ValidationError, match="frozen"):
        settings.limits.result_ttl = 1  # pyright: ignore[reportAttributeAccessIssue]


def test_references_are_replaced_by_the_environment() -> None:
    settings = load(
        """
        [providers.openai]
        api_key = "${KEY}"
        base_url = "http://${HOST:-localhost}:${PORT:-8000}/v1"
        note = "$${KEY} and $KEY stay"
        nested = { list = ["${KEY}", 1] }
        [limits]
        result_ttl = "${TTL}"
        """,
        {"KEY": "k", "HOST": "", "PORT": "9000", "TTL": "77"},
    )
    assert settings.provider_tables()["openai"] == {
        "api_key": "k",
        "base_url": "http://localhost:9000/v1",
        "note": "${KEY} and $KEY stay",
        "nested": {"list": ["k", 1]},
    }
    assert settings.limits.result_ttl == 77


def test_the_environment_overrides_redis_limits_and_log() -> None:
    settings = load(
        '[redis]\nurl = "redis://file"\nconnect_timeout = 9',
        {
            "INVOKEQ_REDIS_URL": "redis://environment:7000/1",
            "INVOKEQ_LIMITS_SHUTDOWN_GRACE": "2.5",
            "INVOKEQ_LOG_FORMAT": "json",
            "INVOKEQ_LOG_LEVEL": "",
        },
    )
    assert settings.redis.url_text == "redis://environment:7000/1"
    assert settings.redis.connect_timeout == 9
    assert settings.limits.shutdown_grace == 2.5
    assert settings.log.format == "json"
    assert settings.log.level == "info"


def test_the_environment_alone_names_redis() -> None:
    assert load_settings(env={"INVOKEQ_REDIS_URL": "redis://r"}).names_redis


def test_an_override_makes_a_missing_reference_unimportant() -> None:
    settings = load('[redis]\nurl = "${NOWHERE}"', {"INVOKEQ_REDIS_URL": "redis://r"})
    assert settings.redis.url_text == "redis://r"


def test_variables_that_kubernetes_sets_for_a_service_are_not_settings() -> None:
    env = {"INVOKEQ_REDIS_PORT": "tcp://10.0.0.1:6379", "INVOKEQ_REDIS_SERVICE_HOST": "10.0.0.1"}
    assert load("", env).redis == load("").redis


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[limit]", "limit: no such setting; did you mean limits?"),
        (
            "[limits]\nresult_tll = 1",
            "limits.result_tll: no such setting; did you mean result_ttl?",
        ),
        (
            '[pools.llm]\nqueues = ["llm"]\nthreads = 1',
            "pools.llm.threads: no such setting; there are: concurrency, processes, queues",
        ),
        (
            "[plugins.p]\nmodel = []",
            "plugins.p.model: no such setting; did you mean models?",
        ),
        (
            '[plugins.p]\nmodels = ["gpt-4o"]',
            "plugins.p.models[0]: must be provider/model, such as openai/gpt-4o*, or * for any",
        ),
        (
            '[plugins.p]\nmodel_types = ["rerankk"]',
            "plugins.p.model_types[0]: no model type is called 'rerankk'; did you mean rerank?",
        ),
        ('[permissions]\nunknown = "ask"', "permissions.unknown: must be 'allow' or 'deny'"),
        (
            '[plugins.p]\nmanifest = "nowhere.yaml"',
            "plugins.p.manifest: nowhere.yaml: file: no such file or directory",
        ),
        ('[limits]\nresult_ttl = "x"', "limits.result_ttl: must be a whole number"),
        ("[limits]\nresult_ttl = 0", "limits.result_ttl: must be at least 1"),
        ("[limits]\nmax_attempts = 1.5", "limits.max_attempts: must be a whole number"),
        ("[limits]\nmax_attempts = true", "limits.max_attempts: must be a number"),
        ("[limits]\nshutdown_grace = 0", "limits.shutdown_grace: must be more than 0"),
        ("[limits]\nprovider_silence = inf", "limits.provider_silence: must be a finite number"),
        ("limits = 3", "limits: must be a table"),
        (
            '[pools.llm]\nqueues = ["llm"]\nconcurrency = 20000',
            "pools.llm.concurrency: must be at most 10000",
        ),
        ("[pools.llm]\nconcurrency = 1", "pools.llm.queues: is missing"),
        ("[pools.llm]\nqueues = []", "pools.llm.queues: must not be empty"),
        ('[pools.llm]\nqueues = "llm"', "pools.llm.queues: must be a list"),
        ('[pools.llm]\nqueues = ["llm", "llm"]', "pools.llm.queues: names llm twice"),
        (
            '[pools.llm]\nqueues = ["tts", "lmm"]',
            "pools.llm.queues[1]: no model type is called 'lmm'; did you mean llm?",
        ),
        (
            '[pools.llm]\nqueues = ["llm."]',
            "pools.llm.queues[0]: names no provider after the dot; write llm or llm.<provider>",
        ),
        (
            '[providers.openai]\n[pools.llm]\nqueues = ["llm.openia"]',
            "pools.llm.queues[0]: no provider is called 'openia'; did you mean openai?",
        ),
        (
            '[pools."a b"]\nqueues = ["llm"]',
            "pools.\"a b\": must be 1 to 128 letters, digits or _ . @ / + - (not 'a b')",
        ),
        ("pools = {}", "pools: must not be empty"),
        ("providers = {}", "providers: must not be empty"),
        ('providers.openai = "x"', "providers.openai: must be a table"),
        (
            "[providers.openai]\n[providers.'langgenius/openai/openai']",
            "providers: openai is configured twice",
        ),
        ('[log]\nlevel = "loud"', "log.level: must be 'debug', 'info', 'warning' or 'error'"),
        (
            '[redis]\nurl = "http://x"',
            "redis.url: must start with redis://, rediss:// or unix://",
        ),
        ('[redis]\nurl = "redis:///0"', "redis.url: names no host; write redis://host:6379/0"),
        ('[redis]\nurl = "redis://x/y"', "redis.url: has a database that is not a number"),
        (
            '[redis]\nurl = "redis://x?socket_timeout=soon"',
            "redis.url: has an option after the ? that redis-py does not take",
        ),
        (
            '[redis]\nurl = "redis://x?timeout=1"',
            "redis.url: has an option after the ? that redis-py does not take",
        ),
        (
            '[redis]\nurl = "redis://x:99999"',
            "redis.url: has a port that is not a number from 0 to 65535",
        ),
        (
            '[redis]\nurl = "unix://"',
            "redis.url: names no socket; write unix:///path/to/redis.sock",
        ),
        (
            '[redis]\nurl = "${NO}"',
            "redis.url: environment variable NO is not set; set it or write ${NO:-default}",
        ),
        (
            '[providers.x]\na = ["${A-B}"]',
            "providers.x.a[0]: has a ${ without a name; a plain ${ is written $${",
        ),
        (
            "[redis\n",
            "line 1, column 7: is not valid TOML: Expected ']' at the end of a table declaration",
        ),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(text: str, complaint: str) -> None:
    assert complaints(text) == [complaint]


def test_all_mistakes_are_found_at_once() -> None:
    assert complaints('[redis]\nurl = "${A}"\n[limits]\nresult_ttl = 0\n[log]\nx = 1') == [
        "redis.url: environment variable A is not set; set it or write ${A:-default}",
        "limits.result_ttl: must be at least 1",
        "log.x: no such setting; there are: format, level",
    ]


def test_the_first_mistake_is_raised_with_its_fields() -> None:
    with pytest.raises(InvalidConfigurationError) as caught:
        load("[pools.llm]\nqueues = ['llm']\nprocesses = 0")
    assert caught.value.fields == {
        "source": "written.toml",
        "setting": "pools.llm.processes",
        "problem": "must be at least 1",
    }


def test_a_mistake_in_the_environment_names_the_variable() -> None:
    with pytest.raises(
        InvalidConfigurationError, match=r"^INVOKEQ_LIMITS_RESULT_TTL: limits\.result_ttl: must be"
    ):
        load("[limits]\nresult_ttl = 5", {"INVOKEQ_LIMITS_RESULT_TTL": "soon"})


def test_a_file_that_is_named_must_be_readable() -> None:
    with pytest.raises(InvalidConfigurationError, match=r"^gone\.toml: file: no such file"):
        load_settings(Path("gone.toml"), {})
    with pytest.raises(InvalidConfigurationError, match="no such file"):
        load_settings(env={"INVOKEQ_CONFIG": "gone.toml"})
    Path("latin.toml").write_bytes(b"# \xe9")
    with pytest.raises(InvalidConfigurationError, match="is not UTF-8 text"):
        load_settings(Path("latin.toml"), {})


def test_an_unknown_pool_offers_those_there_are() -> None:
    with pytest.raises(InvalidConfigurationError, match=r"called 'lmm'; did you mean llm\?"):
        load("").pool("lmm")


SECRETIVE = f"""
[redis]
url = "rediss://user:{CREDENTIAL}@example.org:6379/0?ssl_cert_reqs=none"
[providers.openai]
api_key = "{CREDENTIAL}"
base_url = "https://user:{CREDENTIAL}@example.org/v1"
organization = "acme"
max_tokens = 100
[providers.openai.headers]
Authorization = "Bearer {CREDENTIAL}"
"""


def test_nothing_that_can_be_printed_shows_a_credential() -> None:
    settings = load(SECRETIVE)
    shown = [settings.providers["openai"].shown(), settings.redis.address, settings]
    texts = [repr(settings), str(settings), settings.model_dump_json(), str(shown)]
    assert [text for text in texts if CREDENTIAL in text] == []
    assert settings.redis.address == "rediss://example.org:6379/0"
    assert settings.providers["openai"].shown() == {
        "api_key": "***",
        "base_url": "***",
        "organization": "acme",
        "max_tokens": 100,
        "headers": {"Authorization": "***"},
    }


def test_providers_get_their_credentials_in_clear() -> None:
    settings = load(SECRETIVE)
    assert settings.provider_tables()["openai"]["api_key"] == CREDENTIAL
    assert len([secret for secret in settings.secrets() if CREDENTIAL in secret]) == 4


def test_a_mistake_beside_a_credential_does_not_show_it() -> None:
    texts = complaints(
        f'[redis]\nurl = "http://u:{CREDENTIAL}@h"\n[providers]\napi_key = "{CREDENTIAL}"'
    )
    assert len(texts) == 2
    assert [text for text in texts if CREDENTIAL in text] == []


def test_a_queue_is_served_by_all_providers_of_its_type_or_by_the_one_it_names() -> None:
    settings = load(
        """
        [providers.speaker]
        [providers.writer]
        [pools.all]
        queues = ["tts.writer", "llm", "tts"]
        """
    )
    providers: dict[str, Provider] = {
        "speaker": Speaker("speaker", {}),
        "writer": Writer("writer", {}),
    }
    served = served_providers(settings, "all", providers)
    assert list(served.items()) == [
        ("tts.writer", ["writer"]),
        ("llm", ["writer"]),
        ("tts", ["speaker", "writer"]),
    ]


def test_a_queue_that_nobody_can_serve_is_a_mistake() -> None:
    settings = load(
        '[providers.speaker]\n[pools.a]\nqueues = ["tts", "llm.speaker"]\n[pools.b]\nqueues=["llm"]'
    )
    speaker: dict[str, Provider] = {"speaker": Speaker("speaker", {})}
    with pytest.raises(
        InvalidConfigurationError, match=r"pools\.a\.queues\[1\]: speaker has no llm models"
    ):
        served_providers(settings, "a", speaker)
    with pytest.raises(InvalidConfigurationError, match="no provider has llm models"):
        served_providers(settings, "b", speaker)


def test_a_queue_that_lacks_a_package_names_its_extra() -> None:
    """Fails if all that is said is that there is no model; tried without `Provider.missing`."""
    settings = load('[providers.a]\n[providers.b]\n[pools.a]\nqueues = ["speech2text"]')
    providers: dict[str, Provider] = {"a": Speaker("a", {}), "b": Writer("b", {})}
    error = MissingExtraError(feature="b/whisper", package="faster_whisper", extra="local-audio")
    providers["b"].missing = {ModelType.SPEECH2TEXT: error}
    with pytest.raises(MissingExtraError, match=r"b/whisper.*'invokeq\[local-audio\]'"):
        served_providers(settings, "a", providers)


def test_a_pool_needs_no_provider_that_its_queues_leave_out() -> None:
    settings = load(
        """
        [providers.a]
        [providers.b]
        [pools.one]
        queues = ["llm.a"]
        [pools.both]
        queues = ["llm.a", "tts"]
        """
    )
    assert settings.provider_tables("one").keys() == {"a"}
    assert settings.provider_tables("both").keys() == {"a", "b"}


def test_full_provider_ids_mean_the_same_as_short_names() -> None:
    settings = load(
        """
        [providers."langgenius/openai/openai"]
        [pools.llm]
        queues = ["llm.langgenius/openai/openai"]
        """
    )
    assert settings.provider_tables("llm") == {"openai": {}}
    assert settings.pool("llm").queues == ("llm.openai",)


@pytest.mark.parametrize(
    ("title", "table"),
    [
        ("redis", RedisSettings),
        ("pools.NAME", PoolSettings),
        ("limits", LimitSettings),
        ("retries", RetrySettings),
        ("plugins.NAME", PluginSettings),
        ("permissions", PermissionSettings),
        ("log", LogSettings),
    ],
)
def test_the_documentation_has_every_setting_and_its_default(
    title: str, table: type[BaseModel]
) -> None:
    section = DOCUMENTATION.read_text().partition(f"### [{title}]\n")[2].partition("\n#")[0]
    shown = dict(re.findall(r"^\| `(\w+)` \| (?:`(.+?)`)? *\|", section, re.MULTILINE))
    assert shown == {name: as_toml(field) for name, field in table.model_fields.items()}


def as_toml(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    default = field.get_default()
    return default.get_secret_value() if isinstance(default, SecretStr) else json.dumps(default)


def test_the_example_serves_the_local_model_without_any_variable() -> None:
    settings = load_settings(EXAMPLE, {})
    assert settings.provider_tables() == {"local": {"type": "local"}}
    assert settings.pools == {"llm": PoolSettings(queues=("llm",))}


def test_what_the_example_shows_as_defaults_are_the_defaults() -> None:
    text = re.sub(r"^#(?=\S)", "", EXAMPLE.read_text(), flags=re.MULTILINE)
    settings = load(text, {"OPENAI_API_KEY": "sk-of-the-example"})
    assert settings.limits == LimitSettings()
    assert settings.limits.model_fields_set == LimitSettings.model_fields.keys()
    assert settings.retries == RetrySettings()
    assert settings.retries.model_fields_set == RetrySettings.model_fields.keys() - {"providers"}
    assert settings.log == LogSettings()
    assert settings.log.model_fields_set == LogSettings.model_fields.keys()
    assert settings.redis == RedisSettings()
    assert settings.redis.model_fields_set == RedisSettings.model_fields.keys()
    assert settings.pools == {"llm": PoolSettings(queues=("llm",))}
    assert settings.pools["llm"].model_fields_set == PoolSettings.model_fields.keys()
    assert settings.trusted_plugins == {"gateway"}
    assert build_providers(settings.provider_tables()).keys() == {"local", "openai", "vllm"}
