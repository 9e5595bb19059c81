/** The page at /labs: courses, a course (`?course=…`), a lab (`?course=…&lab=…`). */

import { CodeLabElement } from "../src/labs/code-lab.js";
import { coursePage, coursesPage } from "../src/labs/courses-page.js";
import { open } from "./door.js";

const asked = new URLSearchParams(location.search);
const [course, lab] = [asked.get("course"), asked.get("lab")];

void open(async (client) => {
  if (!course) return coursesPage(client);
  if (!lab) return coursePage(client, course);
  const element = new CodeLabElement();
  element.client = client;
  element.setAttribute("course", course);
  element.setAttribute("lab", lab);
  return [element];
});
