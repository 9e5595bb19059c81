"""Labs made of code that a teacher has: no model is asked. Each is verified before it is offered."""

from code_labs.generate.make import Generated, generate
from code_labs.generate.sources import Piece, pieces_of

__all__ = ["Generated", "Piece", "generate", "pieces_of"]
