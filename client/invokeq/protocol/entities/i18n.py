"""Text in the four languages of Dify's interface, for users to read and never for comparisons."""

from typing import Any, Self

from pydantic import AliasChoices, BaseModel, Field, model_validator


class I18nObject(BaseModel):
    """One text in four languages; a missing or empty language is filled with English.

    Dify's SDK 0.9 changed the spelling of the attributes, but not of the wire. Both spellings are
    accepted as input and as attributes (`en_US`, `en_us`); the dump has the wire's spelling.
    """

    zh_Hans: str | None = Field(default=None, validation_alias=AliasChoices("zh_Hans", "zh_hans"))
    pt_BR: str | None = Field(default=None, validation_alias=AliasChoices("pt_BR", "pt_br"))
    ja_JP: str | None = Field(default=None, validation_alias=AliasChoices("ja_JP", "ja_jp"))
    en_US: str = Field(validation_alias=AliasChoices("en_US", "en_us"))

    @model_validator(mode="after")
    def _fill(self) -> Self:
        self.zh_Hans = self.zh_Hans or self.en_US
        self.pt_BR = self.pt_BR or self.en_US
        self.ja_JP = self.ja_JP or self.en_US
        return self

    @property
    def zh_hans(self) -> str | None:
        """Return the Chinese text; the spelling of SDK 0.9 and later."""
        return self.zh_Hans

    @property
    def pt_br(self) -> str | None:
        """Return the Portuguese text; the spelling of SDK 0.9 and later."""
        return self.pt_BR

    @property
    def ja_jp(self) -> str | None:
        """Return the Japanese text; the spelling of SDK 0.9 and later."""
        return self.ja_JP

    @property
    def en_us(self) -> str:
        """Return the English text; the spelling of SDK 0.9 and later."""
        return self.en_US

    def to_dict(self) -> dict[str, Any]:
        """Return the four texts under the keys of the wire."""
        return self.model_dump()
