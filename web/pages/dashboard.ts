/** The page at /dashboard: how a course goes (`?course=…`). */

import { chooseCourse, dashboard } from "../src/labs/figures.js";
import { open } from "./door.js";

const course = new URLSearchParams(location.search).get("course");

void open((client) => (course ? dashboard(client, course) : chooseCourse(client)));
