"""A talk with a model, within its bounds: how many requests, how many tokens, and what to do when it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from code_labs.generation.budget import BudgetError
from code_labs.generation.model import BusyError, Form, Message, Model, ModelError, RefusedError, Reply

MOST_CALLS = 4
"""Requests for one lab, whatever became of them."""

RETRIES = 2
"""How often the same is asked again because the service is busy or has failed."""

LONGEST_WAIT = 60.0
"""Seconds. Whoever wants us to wait longer gets no second request."""

_LEAST_ANSWER = 500
_CHARACTERS = 3
"""Of a token. Text has more; so that a guess is rather too high."""

_LOWER = {Form.SCHEMA: Form.OBJECT, Form.OBJECT: Form.TEXT}


class Talk:
    """All requests for one lab. ``calls`` and ``tokens``: what was used so far."""

    def __init__(self, model: Model, schema: Mapping[str, Any]) -> None:
        self._model = model
        self._schema = schema
        self.calls = 0
        self.tokens = 0
        self.reply = Reply("")

    @property
    def is_over(self) -> bool:
        """Whether nothing more can be asked."""
        return self.calls >= MOST_CALLS

    async def ask(self, messages: Sequence[Message]) -> AsyncGenerator[str, None]:
        """Ask until there is a ``reply``; yield sentences on what is in the way; raise ``LabsError``."""
        retries = 0
        while True:
            if self.is_over:
                raise ModelError(f"the model was asked {MOST_CALLS} times, which is all that one lab gets")
            try:
                self.reply = await self._once(messages)
            except RefusedError as error:
                if not error.adapted:
                    if self._model.form not in _LOWER:
                        raise
                    self._model.form = _LOWER[self._model.form]
                if self.is_over:
                    raise
                yield f"{_sentence(error)}. It is asked again for {_FORMS[self._model.form]}."
            except BusyError as error:
                wait = self._model.budget.pause * 2**retries if error.retry_after is None else error.retry_after
                if retries == RETRIES or self.is_over:
                    raise
                if wait > LONGEST_WAIT:
                    raise ModelError(f"{error}; it wants us to wait for {wait:.0f} seconds: try again later") from None
                retries += 1
                yield f"{_sentence(error)}. It is asked again in {wait:g} seconds."
                await asyncio.sleep(wait)
            else:
                return

    async def _once(self, messages: Sequence[Message]) -> Reply:
        """Send one request, if its tokens are left."""
        budget = self._model.budget
        asked = sum(len(message.content) for message in messages) // _CHARACTERS + 1
        most = min(budget.answer, budget.job - self.tokens - asked)
        if most < min(_LEAST_ANSWER, budget.answer):
            raise BudgetError(
                f"the tokens for one lab are used up (CODE_LABS_MODEL_TOKENS_PER_JOB is {budget.job:,}): "
                "choose a shorter stretch, or raise it"
            )
        taken = asked + most
        budget.ledger.take(taken)
        self.calls += 1
        used = taken  # an answer that never came may have been paid for
        try:
            reply = await self._model.ask(messages, self._schema, most)
            used = reply.tokens or asked + len(reply.text) // _CHARACTERS + 1
        except (BusyError, RefusedError):
            used = 0
            raise
        finally:
            self.tokens += used
            budget.ledger.give_back(taken - used)
        return reply


_FORMS = {
    Form.SCHEMA: "JSON of a schema",
    Form.OBJECT: "a JSON object",
    Form.TEXT: "plain text",
}


def _sentence(error: ModelError) -> str:
    said = str(error).rstrip(".")
    return said[:1].upper() + said[1:]
