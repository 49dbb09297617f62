"""What the providers of vendors have in common."""

from typing import Any

import pytest

from invokeq.protocol.entities import FetchFrom, ModelType, MultiModalContent
from invokeq.protocol.errors import InvalidRequestError, ModelNotFoundError
from invokeq_providers import Provider
from invokeq_providers.cohere import CohereProvider
from invokeq_providers.http.reported import said_in
from invokeq_providers.jina import JinaProvider
from invokeq_providers.models.documents import bare_base64, data_url, only_text
from invokeq_providers.openai import OpenAIProvider


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"message": "m", "type": "t"}}, "m"),
        ({"error": "e"}, "e"),
        ({"error": {}, "message": "m"}, "m"),
        ({"message": "m", "detail": "d"}, "m: d"),
        ({"detail": [{"msg": "field required"}]}, "field required"),
        ({"errors": ["a", {"message": "b"}]}, "a: b"),
        ([{"error": {"code": 429, "message": "m"}}], "m"),
        ({"error_code": 17, "error_msg": "m"}, "m"),
        ({"code": 50501, "msg": "m"}, "m"),
        ({"base_resp": {"status_code": 1004, "status_msg": "m"}}, "m"),
        ({"other": 1}, None),
        ("text", "text"),
        ("", None),
        (None, None),
        ([1], None),
    ],
)
def test_a_vendors_words_are_found_in_every_shape(body: Any, words: str | None) -> None:
    assert said_in(body) == words


@pytest.mark.parametrize(
    ("picture", "url"),
    [
        ("/9j/4AAQ", "data:image/jpeg;base64,/9j/4AAQ"),
        ("iVBORw0KGgoAAA", "data:image/png;base64,iVBORw0KGgoAAA"),
        ("R0lGODlh", "data:image/gif;base64,R0lGODlh"),
        ("UklGRgAA", "data:image/webp;base64,UklGRgAA"),
        ("aGk=", "data:image/png;base64,aGk="),
        ("data:image/bmp;base64,aGk=", "data:image/bmp;base64,aGk="),
        ("https://x.test/y.png", "https://x.test/y.png"),
    ],
)
def test_a_picture_gets_a_data_url(picture: str, url: str) -> None:
    assert data_url(picture) == url


def test_a_picture_loses_its_data_url() -> None:
    assert bare_base64("data:image/bmp;base64,aGk=") == "aGk="
    assert bare_base64("aGk=") == "aGk="
    assert bare_base64("https://x.test/y.png") == "https://x.test/y.png"


def test_an_api_of_texts_refuses_a_picture() -> None:
    picture = MultiModalContent.model_validate({"content": "aGk=", "content_type": "image"})
    with pytest.raises(InvalidRequestError, match=r"docs\[3\]: the API of acme takes no image"):
        only_text("docs[3]", picture, "acme", "m")


@pytest.mark.parametrize(
    ("make", "model_type"),
    [
        *(
            (OpenAIProvider, model_type)
            for model_type in sorted(OpenAIProvider.model_types, key=str)
        ),
        *(
            (CohereProvider, model_type)
            for model_type in sorted(CohereProvider.model_types, key=str)
        ),
        *((JinaProvider, model_type) for model_type in sorted(JinaProvider.model_types, key=str)),
    ],
)
def test_another_server_may_have_any_model_of_any_type(
    make: type[Provider], model_type: ModelType
) -> None:
    provider = make("acme", {"base_url": "http://127.0.0.1:1"})
    assert provider.any_model
    facts = provider.facts(model_type, "unheard-of")
    assert (facts.model, facts.model_type) == ("unheard-of", model_type)
    assert facts.fetch_from is FetchFrom.CUSTOMIZABLE_MODEL
    assert not any(entity.model.startswith("*") for entity in provider.models())
    closed = make("acme", {"base_url": "http://127.0.0.1:1", "any_model": False})
    with pytest.raises(ModelNotFoundError):
        closed.facts(model_type, "unheard-of")


def test_regional_endpoints_of_a_vendor_are_the_vendor() -> None:
    regional = OpenAIProvider("o", {"base_url": "https://eu.api.openai.com/v1", "api_key": "k"})
    assert regional.is_vendor
    other = OpenAIProvider("o", {"base_url": "https://notapi.openai.com/v1"})
    assert not other.is_vendor
