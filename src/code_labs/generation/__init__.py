"""Labs of what is said in a video, with a model (large language model) that a teacher or an administrator chose.

`generate` makes labs of code, without a model. Nothing here is used until a model is named.
"""

from code_labs.generation.make import Draft, Failed, Origin, Request, Step, from_model
from code_labs.generation.model import Model, ModelError
from code_labs.generation.settings import ModelSettings, open_model
from code_labs.generation.stretches import Stretch, stretches

__all__ = [
    "Draft",
    "Failed",
    "Model",
    "ModelError",
    "ModelSettings",
    "Origin",
    "Request",
    "Step",
    "Stretch",
    "from_model",
    "open_model",
    "stretches",
]
