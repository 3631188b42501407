"""What is asked and answered over HTTP."""

from pydantic import BaseModel, Field


class Ask(BaseModel):
    """Which item, and how many like it."""

    item: str = Field(min_length=1, max_length=128)
    limit: int = Field(default=10, ge=1, le=200)


class Result(BaseModel):
    """One of the items."""

    item: str
    title: str
    score: float


class Recommendation(BaseModel):
    """The answer."""

    id: str
    results: list[Result]
