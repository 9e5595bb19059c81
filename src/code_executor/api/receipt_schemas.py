"""What a request to verify a receipt holds, and what is answered."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from code_executor.grading.receipts import MOST_TEXT


class VerifyRequest(BaseModel):
    """A receipt to verify."""

    model_config = ConfigDict(extra="forbid", strict=True)

    receipt: Annotated[str, Field(max_length=MOST_TEXT)] = Field(description="As it is in a grade: a compact JWS.")


class VerifyResponse(BaseModel):
    """Whether a receipt is this service's, and what it says."""

    valid: bool
    claims: dict[str, Any] | None = Field(description="null if it is not valid: then nothing in it counts.")
    why: str | None = Field(description="Why it is not valid.")


class KeyOut(BaseModel):
    """A public key (RFC 7517, RFC 8037)."""

    kty: str
    crv: str
    x: str
    kid: str = Field(description="Its thumbprint (RFC 7638), as receipts name it.")
    use: str
    alg: str


class KeysResponse(BaseModel):
    """A JSON Web Key Set."""

    keys: list[KeyOut] = Field(description="The newest first; none before the first receipt.")
