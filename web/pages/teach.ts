/** The page at /teach: a teacher's courses, a course (`?course=…`), a lab (`?course=…&lab=…`). */

import { teachLab } from "../src/labs/teach-lab.js";
import { teachCourse, teachCourses } from "../src/labs/teach-page.js";
import { open } from "./door.js";

const asked = new URLSearchParams(location.search);
const [course, lab] = [asked.get("course"), asked.get("lab")];

void open((client) => (!course ? teachCourses(client) : lab ? teachLab(client, course, lab) : teachCourse(client, course)));
