/** The page at /notebook. */

import "../src/notebook.js";
import { installThemeButton } from "./theme.js";
import { letIn } from "./visitor.js";

const notebook = document.querySelector("run-notebook");
const about = ["import math\n\nradius = 2", "area = math.pi * radius ** 2\narea"];
if (notebook && notebook.cells.every((code) => !code)) notebook.cells = about;
if (notebook) {
  letIn(notebook);
  addEventListener("hashchange", () => letIn(notebook));
}
installThemeButton();
