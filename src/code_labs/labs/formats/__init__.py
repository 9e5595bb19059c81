"""Labs of other systems. Each import and export says what it could not carry over."""

from code_labs.labs.formats.coderunner import export_coderunner, import_coderunner
from code_labs.labs.formats.exchange import Exported, Imported
from code_labs.labs.formats.exercism import import_exercism
from code_labs.labs.formats.nbgrader import export_nbgrader, import_nbgrader

__all__ = [
    "Exported",
    "Imported",
    "export_coderunner",
    "export_nbgrader",
    "import_coderunner",
    "import_exercism",
    "import_nbgrader",
]
