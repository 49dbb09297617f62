"""Text in the four languages that Dify shows: what a user reads, never what a program compares."""

from typing import Any, Self

from pydantic import AliasChoices, BaseModel, Field, model_validator


class I18nObject(BaseModel):
    """One text in four languages; a language that is missing or empty is filled with English.

    Dify's SDK changed the spelling of its attributes with 0.9, but not that of the wire. Either is
    taken as input and reads as an attribute (`en_US`, `en_us`); the dump has the wire's.
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
        """The Chinese text, as SDK 0.9 and later spell it."""
        return self.zh_Hans

    @property
    def pt_br(self) -> str | None:
        """The Portuguese text, as SDK 0.9 and later spell it."""
        return self.pt_BR

    @property
    def ja_jp(self) -> str | None:
        """The Japanese text, as SDK 0.9 and later spell it."""
        return self.ja_JP

    @property
    def en_us(self) -> str:
        """The English text, as SDK 0.9 and later spell it."""
        return self.en_US

    def to_dict(self) -> dict[str, Any]:
        """Return the four texts under their wire keys."""
        return self.model_dump()
